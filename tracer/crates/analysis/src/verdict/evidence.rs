//! What a verdict may be based on.

use std::time::Duration;

use tracer_model::{ExitStatus, Timestamp};

use super::oom_facts::OomFacts;
use super::sent::{INT, QUIT, Sent, TERM};

/// A manager's stop signal explains an exit this long after it.
const STOP_WINDOW: Duration = Duration::from_secs(90);

/// A SIGKILL this long after a request to stop is its consequence; managers wait up to minutes.
const IGNORED_WINDOW: Duration = Duration::from_mins(10);

/// What is known of a death.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// How it exited; `None` when nobody saw that.
    pub status: Option<ExitStatus>,
    /// When.
    pub at: Timestamp,
    /// Time since its creation.
    pub uptime: Duration,
    /// Peak resident set, bytes; 0 when not known.
    pub peak_bytes: u64,
    /// The last TERM, INT, QUIT, HUP or ABRT.
    pub stop: Option<Sent>,
    /// The last other fatal signal: KILL, SEGV and so on.
    pub other: Option<Sent>,
    /// The OOM kill that it was a victim of, or was killed along with.
    pub oom: Option<OomFacts>,
    /// V8's heap limit, when it is a node process.
    pub heap_limit_bytes: Option<u64>,
}

impl Evidence {
    /// The request to stop that a process followed by exiting.
    pub(crate) fn asked(&self) -> Option<&Sent> {
        self.stop.as_ref().filter(|stop| {
            self.at.since(stop.at) <= STOP_WINDOW && stop.is_polite() && !stop.by_itself()
        })
    }

    /// The request to stop that a process ignored until it was killed with `kill`. Not HUP: that
    /// mostly asks to reload.
    pub(super) fn ignored_stop(&self, kill: &Sent) -> Option<&Sent> {
        self.stop.as_ref().filter(|stop| {
            stop.at <= kill.at
                && kill.at.since(stop.at) <= IGNORED_WINDOW
                && matches!(stop.signal, TERM | INT | QUIT)
                && !stop.by_itself()
        })
    }
}
