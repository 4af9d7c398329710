//! Which hierarchy cgroup ids belong to.

/// The hierarchy of the cgroup ids that hooks send: the one that accounts memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// Version 2.
    Unified,
    /// Version 1's memory controller.
    MemoryV1,
}
