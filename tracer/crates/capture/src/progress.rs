//! How a recording goes: what the user should know at once, and what it amounted to.

/// What the user should know at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Writing failed. The recorder tries again.
    Stopped {
        /// The reason.
        why: String,
    },
    /// Writing works again.
    Resumed {
        /// Observations that are missing from the capture.
        lost: u64,
    },
    /// The reader of the stream is gone: the recording is over.
    Gone,
    /// A smaller problem: the file could not be rotated, or the disk does not sync.
    Trouble(String),
}

/// What a recording amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Observations that were written.
    pub observations: u64,
    /// Observations that could not be written.
    pub lost: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Files that were begun.
    pub files: u32,
}
