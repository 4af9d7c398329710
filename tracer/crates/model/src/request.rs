//! HTTP requests at a proxy: what its witnesses saw of them, and what analysis concluded.
//!
//! A request has two sides: the client's with the proxy (inbound), and the proxy's own with an
//! upstream (outbound). Witnesses tell of either only when it went wrong.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Actor, Because, ConnectError, Endpoint, NetNs, Pid, ProcessKey, ProxyKind, Service, Timestamp,
    Upstream, WallTime,
};

/// What told of a failed request.
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

/// Which side of a proxy a connection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client's request to the proxy.
    Inbound,
    /// The proxy's request to an upstream.
    Outbound,
}

/// A request as its first bytes tell. Made safe at the source: no query unless asked for, values
/// that look like tokens masked, no other headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: Cow<'static, str>,
    /// Path, and the query when it was asked for. At most 1 KiB; ends with `…` when it was longer
    /// than what was kept.
    pub target: Box<str>,
    /// The Host header.
    pub host: Option<Box<str>>,
    /// The first address in X-Forwarded-For.
    pub forwarded_for: Option<Box<str>>,
}

/// A request's method. The common ones take no memory of their own: in a storm a request a line is
/// kept.
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

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpEnd {
    /// With a status of 500 or more.
    Status(u16),
    /// Without an answer: this end closed the connection.
    Closed,
    /// Without an answer: this end's process died.
    Died,
    /// Without an answer: the other end had closed the connection.
    PeerClosed,
    /// Without an answer: the other end reset the connection.
    PeerReset,
}

/// A request that ended with a status of 500 or more, or without an answer. Hooks `cgroup_skb`
/// and `inet_sock_set_state`, or the uprobes.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpExchange {
    /// [`Witness::Http`] or [`Witness::Tls`].
    pub witness: Witness,
    /// Whose request.
    pub side: Side,
    /// The process that ran when it ended. For plaintext the kernel may be sending for somebody
    /// else: believe it only when it belongs to the proxy.
    pub actor: Actor,
    /// Network namespace of the connection; 0 when unknown.
    pub netns: NetNs,
    /// The proxy's end: inbound, where it listens. None when a TLS session could not be related to
    /// its connection.
    pub local: Option<Endpoint>,
    /// The client's or the upstream's end.
    pub remote: Option<Endpoint>,
    /// None when its first bytes were not kept.
    pub request: Option<Request>,
    /// When its first bytes were seen.
    pub began: Timestamp,
    /// How it ended; when is the observation's time.
    pub end: HttpEnd,
    /// Inbound: where the actor's thread last connected to, if since `began`; the connect may have
    /// succeeded.
    pub connected: Option<Connected>,
}

/// A connect of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// When connect() was called.
    pub at: Timestamp,
    /// Where to.
    pub remote: Endpoint,
    /// What it returned; None when that is not known, as with TCP, where it returns too early.
    pub result: Option<Result<(), ConnectError>>,
}

/// Failed inbound requests of which no detail was sent: there were too many at once.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpCounted {
    /// Network namespace of the connections.
    pub netns: NetNs,
    /// Where the proxy listens.
    pub local: Endpoint,
    /// The status; 0: no answer.
    pub status: u16,
    /// How many since the last such observation.
    pub count: u64,
}

/// In which phase of a request a proxy met an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Choosing or connecting to an upstream.
    Connecting,
    /// Sending the request, or waiting for the answer's header.
    Waiting,
    /// Passing on the answer's body: the client has its header already.
    Answering,
    /// The line does not tell.
    Unknown,
}

/// An error about a request, from a proxy's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// A process that has the log open.
    pub proxy: ProcessKey,
    /// Whose format the log has; None: a capture of a newer release has it.
    pub format: Option<ProxyKind>,
    /// The worker that wrote it, as the line tells: inside the proxy's pid namespace.
    pub pid: Option<Pid>,
    /// Its thread.
    pub tid: Option<Pid>,
    /// nginx's connection number, `*57`: lines of one request share it.
    pub connection: Option<u64>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The client's port.
    pub client_port: Option<u16>,
    /// The request, when the line tells it. Lines of Apache don't.
    pub request: Option<Request>,
    /// Whether the kernel's or the TLS library's witness can follow the request: false for HTTP/2
    /// and HTTP/3, and inside TLS that is the proxy's own (Caddy). None when the line does not
    /// tell.
    pub http1: Option<bool>,
    /// The upstream's address.
    pub upstream: Option<Endpoint>,
    /// The upstream as the proxy's configuration names it (`backend`, `be/srv1`).
    pub upstream_name: Option<Box<str>>,
    /// The final status, when the line tells it: the request is over.
    pub status: Option<u16>,
    /// What went wrong.
    pub failure: Failure,
    /// When in the request.
    pub phase: Phase,
    /// How long the request took, when the line tells it.
    pub elapsed: Option<Duration>,
    /// When the request ended, when the line has it: some proxies write lines seconds later.
    pub ended: Option<WallTime>,
}

/// A process that is a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyProcess {
    /// Which process.
    pub key: ProcessKey,
    /// What kind of proxy.
    pub kind: ProxyKind,
}

/// Which witnesses follow a proxy's process. Observed when a proxy is found, and on changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witnesses {
    /// A process of the proxy.
    pub proxy: ProcessKey,
    /// `cgroup_skb` is attached to its cgroup.
    pub http: bool,
    /// Uprobes are attached to its TLS library.
    pub tls: bool,
    /// Its error log is followed.
    pub log: bool,
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The upstream refused the connection: nobody listened.
    Refused,
    /// The upstream did not answer (or accept) in time.
    Timeout,
    /// The upstream can't be reached.
    Unreachable,
    /// The upstream's socket file is missing.
    NoSocketFile,
    /// The upstream's backlog is full.
    BacklogFull,
    /// The proxy may not connect to the upstream.
    PermissionDenied,
    /// The upstream closed the connection, or died, while it worked on the request.
    Cut,
    /// The upstream reset the connection while it worked on the request.
    Reset,
    /// The proxy regards all upstreams as down and did not try.
    NoLiveUpstreams,
    /// The application answered with the status itself.
    Answered,
    /// The proxy closed the connection without an answer.
    ProxyClosed,
    /// The proxy's process died.
    ProxyDied,
    /// The client went away before it had an answer.
    ClientGone,
    /// Nothing tells.
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

/// How sure it is that a failed request was meant for the upstream it is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The proxy's log names it, or the proxy's own request to it was seen.
    Certain,
    /// The thread that served the request connected to it meanwhile.
    Likely,
    /// A process of the proxy failed to connect to it meanwhile.
    Guess,
}

/// See [`super::Body::RequestFailed`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FailedRequest {
    /// The proxy that it went to.
    pub proxy: Service,
    /// The client's address, without port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The first address in X-Forwarded-For.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_for: Option<String>,
    /// `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The Host header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path: without query unless `--show-query`, values that look like tokens masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The status that the client got; left out when it got none, or when nothing tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From the request's first bytes to its end, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// How many requests this stands for: more than 1 only in a storm, and then without client,
    /// method and path.
    pub count: u64,
    /// The upstream that failed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// How sure that upstream is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// How it failed.
    pub failure: Failure,
    /// The death behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// What told of it, sorted.
    pub evidence: Vec<Witness>,
}

/// A failed request in an incident's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostRequest {
    /// When it failed.
    pub at: WallTime,
    /// As [`FailedRequest::client`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// As [`FailedRequest::method`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// As [`FailedRequest::path`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// As [`FailedRequest::status`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// As [`FailedRequest::failure`].
    pub failure: Failure,
}

/// Failed requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LostRequests {
    /// As [`FailedRequest::method`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path with ids replaced: `/api/orders/{n}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// As [`FailedRequest::status`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many.
    pub count: u64,
}

/// What a service lost, in the end's ranking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServiceLoss {
    /// The service that the requests were meant for; the proxy itself where no upstream is known.
    pub service: Service,
    /// Requests that failed.
    pub requests_failed: u64,
    /// Of those, how many a death explains.
    pub because_of_deaths: u64,
}
