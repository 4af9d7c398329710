//! What the hooks should read about the self-check's child.

use tracer_model::{Endpoint, NetNs, ProcessFacts};

/// The facts about the child that are known without the kernel programs.
#[derive(Debug)]
pub(super) struct Expected {
    /// Its facts, read while it waited to be killed.
    pub(super) child: ProcessFacts,
    /// Its command line.
    pub(super) args: Vec<Box<str>>,
    /// Its name before it renamed itself.
    pub(super) first_comm: String,
    /// Facts about the process that started and killed it.
    pub(super) parent: ProcessFacts,
    /// Its peak resident set in bytes. Until its exec it shared this process's memory, which counts.
    pub(super) peak_bytes: u64,
    /// Where it listened.
    pub(super) listeners: Vec<Endpoint>,
    /// The connections it held open: its end, the other end.
    pub(super) connections: Vec<(Endpoint, Endpoint)>,
    /// The addresses that refused its connects.
    pub(super) refused: Vec<Endpoint>,
    /// A missing socket file that it tried to connect to; none if the hooks can't see such connects.
    pub(super) missing: Option<Endpoint>,
}

impl Expected {
    pub(super) fn netns(&self) -> NetNs {
        self.child.netns
    }
}
