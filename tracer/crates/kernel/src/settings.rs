//! What the user may choose about what is observed; nothing about how it is shown.

/// Whose HTTP requests the kernel follows (`--http`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
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
    /// Report every exit and every failed connect.
    pub all: bool,
    /// Whose requests are followed.
    pub http: HttpMode,
    /// Keep the query strings of requests.
    pub show_query: bool,
}
