//! Which cgroup ids are meant.

/// The hierarchy whose cgroup ids the hooks tell: the one in which memory is accounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// Version 2.
    Unified,
    /// Version 1's memory controller.
    MemoryV1,
}
