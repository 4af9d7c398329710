//! What a proxy's witnesses observe of failed requests.
//!
//! A request has two sides: the client's to the proxy (inbound), and the proxy's own to an upstream
//! (outbound). Witnesses report either only if it failed.

use std::net::IpAddr;
use std::time::Duration;

use crate::address::{Endpoint, NetNs};
use crate::connect::ConnectError;
use crate::identity::{Actor, Pid, ProcessKey};
use crate::request::{Failure, Request, Witness};
use crate::service::ProxyKind;
use crate::time::{Timestamp, WallTime};

/// Which side of a proxy a connection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client's request to the proxy.
    Inbound,
    /// The proxy's request to an upstream.
    Outbound,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpEnd {
    /// With a status of 500 or more.
    Status(u16),
    /// Without a response: this end closed the connection.
    Closed,
    /// Without a response: this end's process died.
    Died,
    /// Without a response: the other end had closed the connection.
    PeerClosed,
    /// Without a response: the other end reset the connection.
    PeerReset,
}

/// A request that got a status of 500 or more, or no response. Hooks `cgroup_skb` and
/// `inet_sock_set_state`, or the uprobes.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpExchange {
    /// [`Witness::Http`] or [`Witness::Tls`].
    pub witness: Witness,
    /// Who sent the request.
    pub side: Side,
    /// The process that ran when it ended. For plaintext the kernel may be sending for another
    /// process: only trust it if it belongs to the proxy.
    pub actor: Actor,
    /// Network namespace of the connection; 0 when unknown.
    pub netns: NetNs,
    /// The proxy's end: inbound, where it listens. None if a TLS session could not be matched to
    /// its connection.
    pub local: Option<Endpoint>,
    /// The client's or the upstream's end.
    pub remote: Option<Endpoint>,
    /// None if its first bytes were not kept.
    pub request: Option<Request>,
    /// When its first bytes were seen.
    pub began: Timestamp,
    /// How it ended; when is the observation's time.
    pub end: HttpEnd,
    /// Inbound: where the actor's thread last connected to, if that was after `began`; the connect
    /// may have succeeded.
    pub connected: Option<Connected>,
}

/// A connect of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// When connect() was called.
    pub at: Timestamp,
    /// Where to.
    pub remote: Endpoint,
    /// What it returned; None when unknown, as with TCP, where connect() returns before it is
    /// decided.
    pub result: Option<Result<(), ConnectError>>,
}

/// Failed inbound requests that were only counted, without details: there were too many at once.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpCounted {
    /// Network namespace of the connections.
    pub netns: NetNs,
    /// Where the proxy listens.
    pub local: Endpoint,
    /// The status; 0: no response.
    pub status: u16,
    /// How many since the last such observation.
    pub count: u64,
}

/// The phase of a request in which a proxy met an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Choosing or connecting to an upstream.
    Connecting,
    /// Sending the request, or waiting for the header of the response.
    Waiting,
    /// Passing on the body of the response: the client already has its header.
    Answering,
    /// The line does not say.
    Unknown,
}

/// An error about a request, from a proxy's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// A process that has the log open.
    pub proxy: ProcessKey,
    /// The proxy whose format the log has; None when only a newer release knows it.
    pub format: Option<ProxyKind>,
    /// The worker that wrote the line, from the line: a pid inside the proxy's pid namespace.
    pub pid: Option<Pid>,
    /// Its thread.
    pub tid: Option<Pid>,
    /// nginx's connection number, `*57`: lines of one request share it.
    pub connection: Option<u64>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The client's port.
    pub client_port: Option<u16>,
    /// The request, if the line has it. Lines of Apache don't.
    pub request: Option<Request>,
    /// Whether the kernel's or the TLS library's witness can follow the request: false for HTTP/2
    /// and HTTP/3, and for a proxy with a TLS implementation of its own (Caddy). None if the line
    /// does not say.
    pub http1: Option<bool>,
    /// The upstream's address.
    pub upstream: Option<Endpoint>,
    /// The upstream as the proxy's configuration names it (`backend`, `be/srv1`).
    pub upstream_name: Option<Box<str>>,
    /// The final status, if the line has it: the request is over.
    pub status: Option<u16>,
    /// What went wrong.
    pub failure: Failure,
    /// In which phase of the request.
    pub phase: Phase,
    /// How long the request took, if the line says.
    pub elapsed: Option<Duration>,
    /// When the request ended, if the line says: some proxies write their lines seconds later.
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
