//! What a proxy is and what is configured of it.

use crate::stack::worker::Address;

/// How long a proxy waits for its upstream's answer, in seconds: more than the application ever
/// needs on a busy machine.
pub const TIMEOUT_S: u64 = 5;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One worker process. Its error log is a file.
    Nginx,
    /// `mod_proxy_http` and the event MPM. Its error log is a file.
    Apache,
    /// `option httplog`. Its log is its standard output.
    Haproxy,
    /// Its log is its standard error, in JSON.
    Caddy,
}

/// How clients reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Plain HTTP/1 on 127.0.0.1.
    Plain,
    /// Plain HTTP/1 on ::1.
    PlainV6,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS.
    TlsHttp2,
}

/// What is configured.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How clients reach it.
    pub listen: Listen,
    /// Where the application listens; the next is tried when one fails.
    pub upstreams: Vec<Address>,
    /// Whether it keeps connections to them.
    pub keep_alive: bool,
    /// Whether it logs all requests, where that is the program's choice (Caddy).
    pub access_log: bool,
}

impl Setup {
    /// Plain HTTP before one application.
    pub fn before(upstream: &Address) -> Self {
        Self {
            listen: Listen::Plain,
            upstreams: vec![upstream.clone()],
            keep_alive: false,
            access_log: false,
        }
    }

    pub(super) fn tls(&self) -> bool {
        matches!(self.listen, Listen::Tls | Listen::TlsHttp2)
    }
}
