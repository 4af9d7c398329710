//! What the user configures about observing; nothing about how it is shown.
//!
//! The command line and the pipeline use these settings too. They are in this crate because the
//! kernel programs depend on them, and this crate must not depend on the command line.

/// Whose HTTP requests the kernel programs follow (`--http`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum HttpMode {
    /// Every server's, whether it is a proxy or not.
    All,
    /// Only proxies'.
    #[default]
    Proxies,
    /// Nobody's: attach no hooks to the network or to TLS libraries.
    Off,
}

/// The user's choices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Report every exit and every failed connect.
    pub all: bool,
    /// Whose requests to follow.
    pub http: HttpMode,
    /// Keep the query strings of requests.
    pub show_query: bool,
}
