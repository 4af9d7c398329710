//! The event loop of the commands that trace.

use anyhow::Context as _;

/// The single-threaded runtime of every tracing command.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the event loop could not be started")
}
