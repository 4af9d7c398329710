//! What a line of a log can be.

use std::sync::Arc;

use tracer_model::LogEntry;

/// What a line is.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// An error about a request. Its proxy is not filled in.
    Entry(Arc<LogEntry>),
    /// A line of the format that is about no such error.
    Ignored,
    /// A line that the proxy writes about itself, to a log that may or may not be the same.
    Notice,
    /// Not a line of the format.
    Unreadable,
}
