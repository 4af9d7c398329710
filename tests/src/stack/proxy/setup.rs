//! The configuration of a proxy.

use crate::stack::worker::Address;

/// Seconds that a proxy waits for the response of its upstream: more than the application needs on
/// a busy machine.
pub const TIMEOUT_S: u64 = 5;

/// The program.
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
    /// Its access log is a file.
    Traefik,
    /// Its access log is a file.
    Envoy,
}

impl Kind {
    /// The name that the tracer gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    /// Whether its log has one line for a whole request, with the final status.
    pub fn logs_whole_requests(self) -> bool {
        !matches!(self, Self::Nginx | Self::Apache)
    }

    /// Whether its TLS is OpenSSL's.
    pub fn has_openssl(self) -> bool {
        matches!(self, Self::Nginx | Self::Apache | Self::Haproxy)
    }
}

/// The protocol of its listener.
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

/// What a test chooses.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The protocol of its listener.
    pub listen: Listen,
    /// The addresses of the application; the proxy tries the next one when one fails.
    pub upstreams: Vec<Address>,
    /// Whether it keeps connections to them open.
    pub keep_alive: bool,
    /// Whether it logs all requests (only for Caddy).
    pub access_log: bool,
    /// Whether its log is JSON (only for Traefik and Envoy).
    pub json_log: bool,
    /// How often it writes its log to the file, in milliseconds (only for Envoy); None: its default.
    pub log_every_ms: Option<u32>,
}

impl Setup {
    /// Plain HTTP in front of one application.
    pub fn before(upstream: &Address) -> Self {
        Self {
            listen: Listen::Plain,
            upstreams: vec![upstream.clone()],
            keep_alive: false,
            access_log: false,
            json_log: false,
            log_every_ms: Some(20),
        }
    }

    pub(super) fn tls(&self) -> bool {
        matches!(self.listen, Listen::Tls | Listen::TlsHttp2)
    }
}
