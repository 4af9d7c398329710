//! What the user may choose about what is observed; nothing about how it is shown.

use std::path::PathBuf;

/// Whose HTTP requests the kernel follows (`--http`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum HttpMode {
    /// Those of every server on the machine, proxies or not.
    All,
    /// Those of proxies.
    #[default]
    Proxies,
    /// Nobody's: no hook on the network, and none on TLS libraries.
    Off,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whose requests are followed.
    pub http: HttpMode,
    /// Keep the query strings of requests.
    pub show_query: bool,
    /// Error logs of proxies that can't be found through their open files (`[proxy] error_log`).
    pub error_logs: Vec<PathBuf>,
}
