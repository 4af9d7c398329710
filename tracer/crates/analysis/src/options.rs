//! What the user configured about analysis.

use tracer_model::{NetNs, Pid};

/// What to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Report every exit and every failed connect.
    pub all: bool,
    /// The tracer's own network namespace, which findings leave out.
    pub own_netns: NetNs,
    /// The tracer itself, whose exits and connects are not reported.
    pub own_pid: Pid,
}

impl Options {
    /// A network namespace; the tracer's own if it is unknown (0).
    pub(super) fn netns(&self, netns: NetNs) -> NetNs {
        match netns {
            0 => self.own_netns,
            known => known,
        }
    }

    /// Whether a pid is the tracer's own.
    pub(super) fn is_own(&self, pid: Pid) -> bool {
        self.own_pid != 0 && pid == self.own_pid
    }
}
