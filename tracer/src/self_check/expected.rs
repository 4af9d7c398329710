//! What the hooks should see of the self-check's child.

use tracer_model::{Endpoint, NetNs, ProcessFacts};

/// What is known about the child without the kernel programs.
#[derive(Debug)]
pub(super) struct Expected {
    /// Its facts, read while it waited to be killed.
    pub(super) child: ProcessFacts,
    /// Its command line.
    pub(super) args: Vec<Box<str>>,
    /// Its name before it changed it.
    pub(super) first_comm: String,
    /// Facts of the process that started and killed it.
    pub(super) parent: ProcessFacts,
    /// Its peak resident set, bytes. Up to its exec it had this process's memory, and that counts.
    pub(super) peak_bytes: u64,
    /// Where it listened.
    pub(super) listeners: Vec<Endpoint>,
    /// Connections it held open: its end, the other end.
    pub(super) connections: Vec<(Endpoint, Endpoint)>,
    /// Where nobody listened.
    pub(super) refused: Vec<Endpoint>,
    /// A socket file that is not there, when such connects can be seen.
    pub(super) missing: Option<Endpoint>,
}

impl Expected {
    pub(super) fn netns(&self) -> NetNs {
        self.child.netns
    }
}
