//! Words about requests that observations and findings share: the request itself, its witnesses,
//! how it failed.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use crate::connect::ConnectError;

/// A source that reported a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The kernel, on the proxy's connections. Hook `cgroup_skb`.
    Http,
    /// The proxy's TLS library. Uprobes on OpenSSL's `SSL_read` and `SSL_write`.
    Tls,
    /// The proxy's own log.
    Log,
}

/// A request, from its first bytes. Made safe by the observer: no query unless configured, values
/// that look like tokens masked, no other headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: Cow<'static, str>,
    /// Path, and the query if configured. At most 1 KiB; ends with `…` if it was longer than what
    /// was kept.
    pub target: Box<str>,
    /// The Host header.
    pub host: Option<Box<str>>,
    /// The first address in X-Forwarded-For.
    pub forwarded_for: Option<Box<str>>,
}

/// A request's method. The common ones take no memory of their own: a storm keeps one request per
/// line.
pub fn method_name(method: &str) -> Cow<'static, str> {
    Cow::Borrowed(match method {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        other => return Cow::Owned(other.to_owned()),
    })
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The upstream refused the connection: nothing listened there.
    Refused,
    /// The upstream did not respond (or accept) in time.
    Timeout,
    /// The upstream can't be reached.
    Unreachable,
    /// The upstream's socket file is missing.
    NoSocketFile,
    /// The upstream's listen backlog is full.
    BacklogFull,
    /// The proxy may not connect to the upstream.
    PermissionDenied,
    /// The upstream died, or closed the connection, before it responded in full.
    Cut,
    /// The upstream died, or reset the connection, before it responded in full.
    Reset,
    /// The proxy considers all upstreams down and tried none.
    NoLiveUpstreams,
    /// The application returned the status itself.
    Answered,
    /// The proxy closed the connection without a response.
    ProxyClosed,
    /// The proxy's process died.
    ProxyDied,
    /// The client disconnected before it got a response.
    ClientGone,
    /// No evidence.
    Unknown,
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused => Self::Refused,
            ConnectError::Timeout => Self::Timeout,
            ConnectError::Unreachable => Self::Unreachable,
            ConnectError::Reset => Self::Reset,
            ConnectError::NoSocketFile => Self::NoSocketFile,
            ConnectError::BacklogFull => Self::BacklogFull,
            ConnectError::PermissionDenied => Self::PermissionDenied,
            ConnectError::NoLocalPort | ConnectError::Other => Self::Unknown,
        }
    }
}

/// How sure the upstream of a failed request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The proxy's log names it, or the proxy's own request to it was observed.
    Certain,
    /// The thread that served the request connected to it during the request.
    Likely,
    /// A process of the proxy failed to connect to it during the request.
    Guess,
}
