//! The cause of a death: one verdict from the evidence, with the sentence a tired person can act
//! on. Pure: everything it may use is in [`Evidence`].

mod heap;
mod oom;
mod signal;

use std::borrow::Cow;
use std::time::Duration;

pub use heap::{default_heap, heap_limit};
pub use oom::{OomFacts, Scope};
pub use signal::{SenderFacts, SenderKind, Sent, sender_kind};

use tracer_model::quantity::{bytes, duration};
use tracer_model::{Cause, ExitStatus, SignalName, Timestamp};

/// A manager's stop signal explains an exit this long after it.
const STOP_WINDOW: Duration = Duration::from_secs(90);

/// A SIGKILL this long after a request to end is its consequence; managers wait up to minutes.
const IGNORED_WINDOW: Duration = Duration::from_mins(10);

/// What is known of a death.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// How it ended; exit status 0 by default.
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
    /// The OOM kill it was marked for, or a member of.
    pub oom: Option<OomFacts>,
    /// V8's heap limit, when it is a node process.
    pub heap_limit_bytes: Option<u64>,
}

/// What is concluded. Most deaths are clean exits that nobody wants to know of: words are made only
/// as far as the cause needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The cause.
    pub cause: Cause,
    /// A few words: `OOM (cgroup limit 2.0 GiB)`.
    pub summary: Cow<'static, str>,
    /// One sentence, without what `tail` adds.
    said: Cow<'static, str>,
    tail: Tail,
}

/// How the sentence about a death ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// As it is.
    Nothing,
    /// `, up 3m12s`.
    Up,
    /// `, peak 1.98 GiB, up 3m12s`.
    PeakAndUp,
}

impl Verdict {
    fn new(
        cause: Cause,
        said: impl Into<Cow<'static, str>>,
        tail: Tail,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            cause,
            summary: summary.into(),
            said: said.into(),
            tail,
        }
    }

    /// One sentence. `evidence` is what the verdict is of.
    pub fn why(&self, evidence: &Evidence) -> String {
        let said = &self.said;
        match self.tail {
            Tail::PeakAndUp if evidence.peak_bytes != 0 => {
                format!(
                    "{said}, peak {}{}",
                    bytes(evidence.peak_bytes),
                    up(evidence)
                )
            }
            Tail::PeakAndUp | Tail::Up => format!("{said}{}", up(evidence)),
            Tail::Nothing => said.clone().into_owned(),
        }
    }
}

/// The verdict.
pub fn verdict(evidence: &Evidence) -> Verdict {
    match evidence.status {
        None => Verdict::new(
            Cause::Unknown,
            "ended unseen, while events were lost",
            Tail::Nothing,
            "ended unseen",
        ),
        Some(ExitStatus::Code(code)) => exited(code, evidence),
        Some(ExitStatus::Signal {
            signal,
            core_dumped,
        }) => {
            let signal = u32::from(signal);
            if signal == signal::KILL
                && let Some(oom) = &evidence.oom
            {
                return oom::verdict(oom);
            }
            heap::verdict(signal, evidence)
                .unwrap_or_else(|| signal::verdict(signal, core_dumped, evidence))
        }
    }
}

impl Evidence {
    /// The request to end that a process followed which then exited.
    pub(super) fn asked(&self) -> Option<&Sent> {
        self.stop.as_ref().filter(|stop| {
            self.at.since(stop.at) <= STOP_WINDOW && stop.is_polite() && !stop.by_itself()
        })
    }

    /// The request to end that a process did not follow before it was killed with `kill`. Not HUP:
    /// that mostly asks to reload.
    fn ignored_stop(&self, kill: &Sent) -> Option<&Sent> {
        self.stop.as_ref().filter(|stop| {
            stop.at <= kill.at
                && kill.at.since(stop.at) <= IGNORED_WINDOW
                && matches!(stop.signal, signal::TERM | signal::INT | signal::QUIT)
                && !stop.by_itself()
        })
    }
}

fn exited(code: u8, evidence: &Evidence) -> Verdict {
    let asked = evidence.asked();
    let conventional = asked.is_some_and(|stop| u32::from(code) == 128 + stop.signal);
    match (code, asked) {
        (0, Some(stop)) => Verdict::new(
            Cause::Clean,
            format!("{} ({}), exited cleanly", stop.stopped(), stop.name()),
            Tail::Nothing,
            stop.stopped(),
        ),
        (0, None) => Verdict::new(Cause::Clean, "exited cleanly", Tail::Up, "exited cleanly"),
        (code, Some(stop)) if stop.by_manager() || conventional => Verdict::new(
            Cause::Clean,
            format!("{} ({}), exited with {code}", stop.stopped(), stop.name()),
            Tail::Nothing,
            stop.stopped(),
        ),
        (code, _) => {
            let reported = match code {
                126 => Cow::from(": its command could not be executed"),
                127 => ": a command was not found".into(),
                129..=159 => {
                    let signal = SignalName(u32::from(code) - 128);
                    format!(": a child or wrapper reported {signal}").into()
                }
                _ => "".into(),
            };
            Verdict::new(
                Cause::Error,
                format!("exit status {code}{reported}"),
                Tail::Up,
                format!("exit status {code}"),
            )
        }
    }
}

fn up(evidence: &Evidence) -> String {
    format!(", up {}", duration(evidence.uptime))
}

#[cfg(test)]
mod tests;
