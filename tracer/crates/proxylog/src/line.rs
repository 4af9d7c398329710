//! What a line of a log is.

use std::sync::Arc;

use tracer_model::LogEntry;

/// What a line is.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// An error about a request. Its proxy is not filled in.
    Entry(Arc<LogEntry>),
    /// A line of the format that tells of no such error.
    Ignored,
    /// Not a line of the format.
    Unreadable,
}
