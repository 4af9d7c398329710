//! HTTP requests at proxies, as the kernel, TLS libraries and logs witnessed them.

use std::time::Duration;

use tracer_model::{
    self as model, Failure, HttpEnd, HttpExchange, LogEntry, Phase, ProxyKind, Side, Timestamp,
    WallTime, Witness,
};

use super::message::{Unknown, Wire, nanos, optional, required, short, some, text};
use super::process::{Actor, Key};
use super::socket::{ConnectErrorKind, Endpoint, ip, read_ip};

/// [`model::Request`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Request {
    #[prost(string, tag = "1")]
    method: String,
    #[prost(string, tag = "2")]
    target: String,
    #[prost(string, optional, tag = "3")]
    host: Option<String>,
    #[prost(string, optional, tag = "4")]
    forwarded_for: Option<String>,
}

impl Wire for Request {
    type Model = model::Request;

    fn of(model: &model::Request) -> Self {
        let model::Request {
            method,
            target,
            host,
            forwarded_for,
        } = model;
        Self {
            method: method.to_string(),
            target: target.to_string(),
            host: text(host.as_deref()),
            forwarded_for: text(forwarded_for.as_deref()),
        }
    }

    fn model(self) -> Result<model::Request, Unknown> {
        Ok(model::Request {
            method: model::method_name(&self.method),
            target: self.target.into(),
            host: self.host.map(Into::into),
            forwarded_for: self.forwarded_for.map(Into::into),
        })
    }
}

/// [`Witness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum WitnessKind {
    Http = 0,
    Tls = 1,
    Log = 2,
}

/// [`HttpEnd`] without its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum EndKind {
    Status = 0,
    Closed = 1,
    Died = 2,
    PeerClosed = 3,
    PeerReset = 4,
}

/// [`model::Connected`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Connected {
    #[prost(uint64, tag = "1")]
    at_ns: u64,
    #[prost(message, optional, tag = "2")]
    address: Option<Endpoint>,
    #[prost(bool, tag = "3")]
    returned: bool,
    #[prost(enumeration = "ConnectErrorKind", optional, tag = "4")]
    error: Option<i32>,
}

impl Wire for Connected {
    type Model = model::Connected;

    fn of(model: &model::Connected) -> Self {
        let model::Connected { at, remote, result } = model;
        let error = result.and_then(Result::err);
        Self {
            at_ns: at.0,
            address: some(remote),
            returned: result.is_some(),
            error: error.map(|error| ConnectErrorKind::from(error).into()),
        }
    }

    fn model(self) -> Result<model::Connected, Unknown> {
        let result = match self.error {
            Some(_) => Err(self.error().into()),
            None => Ok(()),
        };
        Ok(model::Connected {
            at: Timestamp(self.at_ns),
            remote: required(self.address)?,
            result: self.returned.then_some(result),
        })
    }
}

/// [`HttpExchange`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Http {
    #[prost(enumeration = "WitnessKind", tag = "1")]
    witness: i32,
    #[prost(bool, tag = "2")]
    outbound: bool,
    #[prost(message, optional, tag = "3")]
    actor: Option<Actor>,
    #[prost(uint32, tag = "4")]
    netns: u32,
    #[prost(message, optional, tag = "5")]
    local: Option<Endpoint>,
    #[prost(message, optional, tag = "6")]
    remote: Option<Endpoint>,
    #[prost(message, optional, tag = "7")]
    request: Option<Request>,
    #[prost(uint64, tag = "8")]
    began_ns: u64,
    #[prost(enumeration = "EndKind", tag = "9")]
    end: i32,
    #[prost(uint32, tag = "10")]
    status: u32,
    #[prost(message, optional, tag = "11")]
    connected: Option<Connected>,
}

impl Wire for Http {
    type Model = HttpExchange;

    fn of(model: &HttpExchange) -> Self {
        let HttpExchange {
            witness,
            side,
            actor,
            netns,
            local,
            remote,
            request,
            began,
            end,
            connected,
        } = model;
        let witness = match witness {
            Witness::Http => WitnessKind::Http,
            Witness::Tls => WitnessKind::Tls,
            Witness::Log => WitnessKind::Log,
        };
        let (end, status) = match *end {
            HttpEnd::Status(status) => (EndKind::Status, status),
            HttpEnd::Closed => (EndKind::Closed, 0),
            HttpEnd::Died => (EndKind::Died, 0),
            HttpEnd::PeerClosed => (EndKind::PeerClosed, 0),
            HttpEnd::PeerReset => (EndKind::PeerReset, 0),
        };
        Self {
            witness: witness.into(),
            outbound: match side {
                Side::Inbound => false,
                Side::Outbound => true,
            },
            actor: some(actor),
            netns: *netns,
            local: local.as_ref().map(Wire::of),
            remote: remote.as_ref().map(Wire::of),
            request: request.as_ref().map(Wire::of),
            began_ns: began.0,
            end: end.into(),
            status: status.into(),
            connected: connected.as_ref().map(Wire::of),
        }
    }

    fn model(self) -> Result<HttpExchange, Unknown> {
        let witness = match WitnessKind::try_from(self.witness) {
            Ok(WitnessKind::Http) => Witness::Http,
            Ok(WitnessKind::Tls) => Witness::Tls,
            Ok(WitnessKind::Log) => Witness::Log,
            Err(_) => return Err(Unknown("witness")),
        };
        let end = match EndKind::try_from(self.end) {
            Ok(EndKind::Status) => HttpEnd::Status(short("status", self.status)?),
            Ok(EndKind::Closed) => HttpEnd::Closed,
            Ok(EndKind::Died) => HttpEnd::Died,
            Ok(EndKind::PeerClosed) => HttpEnd::PeerClosed,
            Ok(EndKind::PeerReset) => HttpEnd::PeerReset,
            Err(_) => return Err(Unknown("end")),
        };
        Ok(HttpExchange {
            witness,
            side: if self.outbound {
                Side::Outbound
            } else {
                Side::Inbound
            },
            actor: required(self.actor)?,
            netns: self.netns,
            local: optional(self.local)?,
            remote: optional(self.remote)?,
            request: optional(self.request)?,
            began: Timestamp(self.began_ns),
            end,
            connected: optional(self.connected)?,
        })
    }
}

/// [`model::HttpCounted`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HttpCounted {
    #[prost(uint32, tag = "1")]
    netns: u32,
    #[prost(message, optional, tag = "2")]
    local: Option<Endpoint>,
    #[prost(uint32, tag = "3")]
    status: u32,
    #[prost(uint64, tag = "4")]
    count: u64,
}

impl Wire for HttpCounted {
    type Model = model::HttpCounted;

    fn of(model: &model::HttpCounted) -> Self {
        let model::HttpCounted {
            netns,
            local,
            status,
            count,
        } = model;
        Self {
            netns: *netns,
            local: some(local),
            status: (*status).into(),
            count: *count,
        }
    }

    fn model(self) -> Result<model::HttpCounted, Unknown> {
        Ok(model::HttpCounted {
            netns: self.netns,
            local: required(self.local)?,
            status: short("status", self.status)?,
            count: self.count,
        })
    }
}

/// [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum FailureKind {
    Unknown = 0,
    Refused = 1,
    Timeout = 2,
    Unreachable = 3,
    NoSocketFile = 4,
    BacklogFull = 5,
    PermissionDenied = 6,
    Cut = 7,
    Reset = 8,
    NoLiveUpstreams = 9,
    Answered = 10,
    ProxyClosed = 11,
    ProxyDied = 12,
    ClientGone = 13,
}

impl From<Failure> for FailureKind {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused => Self::Refused,
            Failure::Timeout => Self::Timeout,
            Failure::Unreachable => Self::Unreachable,
            Failure::NoSocketFile => Self::NoSocketFile,
            Failure::BacklogFull => Self::BacklogFull,
            Failure::PermissionDenied => Self::PermissionDenied,
            Failure::Cut => Self::Cut,
            Failure::Reset => Self::Reset,
            Failure::NoLiveUpstreams => Self::NoLiveUpstreams,
            Failure::Answered => Self::Answered,
            Failure::ProxyClosed => Self::ProxyClosed,
            Failure::ProxyDied => Self::ProxyDied,
            Failure::ClientGone => Self::ClientGone,
            Failure::Unknown => Self::Unknown,
        }
    }
}

impl From<FailureKind> for Failure {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Refused => Self::Refused,
            FailureKind::Timeout => Self::Timeout,
            FailureKind::Unreachable => Self::Unreachable,
            FailureKind::NoSocketFile => Self::NoSocketFile,
            FailureKind::BacklogFull => Self::BacklogFull,
            FailureKind::PermissionDenied => Self::PermissionDenied,
            FailureKind::Cut => Self::Cut,
            FailureKind::Reset => Self::Reset,
            FailureKind::NoLiveUpstreams => Self::NoLiveUpstreams,
            FailureKind::Answered => Self::Answered,
            FailureKind::ProxyClosed => Self::ProxyClosed,
            FailureKind::ProxyDied => Self::ProxyDied,
            FailureKind::ClientGone => Self::ClientGone,
            FailureKind::Unknown => Self::Unknown,
        }
    }
}

/// [`Phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum PhaseKind {
    Unknown = 0,
    Connecting = 1,
    Waiting = 2,
    Answering = 3,
}

/// [`LogEntry`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProxyLog {
    #[prost(message, optional, tag = "1")]
    proxy: Option<Key>,
    /// [`ProxyKind::number`]; 0: not known.
    #[prost(int32, tag = "2")]
    format: i32,
    #[prost(uint32, optional, tag = "3")]
    pid: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    tid: Option<u32>,
    #[prost(uint64, optional, tag = "5")]
    connection: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "6")]
    client: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "7")]
    client_port: Option<u32>,
    #[prost(message, optional, tag = "8")]
    request: Option<Request>,
    #[prost(bool, optional, tag = "9")]
    http1: Option<bool>,
    #[prost(message, optional, tag = "10")]
    upstream: Option<Endpoint>,
    #[prost(string, optional, tag = "11")]
    upstream_name: Option<String>,
    #[prost(uint32, optional, tag = "12")]
    status: Option<u32>,
    #[prost(enumeration = "FailureKind", tag = "13")]
    failure: i32,
    #[prost(enumeration = "PhaseKind", tag = "14")]
    phase: i32,
    #[prost(uint64, optional, tag = "15")]
    elapsed_ns: Option<u64>,
    #[prost(sint64, optional, tag = "16")]
    ended_ns: Option<i64>,
}

impl Wire for ProxyLog {
    type Model = LogEntry;

    fn of(model: &LogEntry) -> Self {
        let LogEntry {
            proxy,
            format,
            pid,
            tid,
            connection,
            client,
            client_port,
            request,
            http1,
            upstream,
            upstream_name,
            status,
            failure,
            phase,
            elapsed,
            ended,
        } = model;
        let phase = match phase {
            Phase::Connecting => PhaseKind::Connecting,
            Phase::Waiting => PhaseKind::Waiting,
            Phase::Answering => PhaseKind::Answering,
            Phase::Unknown => PhaseKind::Unknown,
        };
        Self {
            proxy: some(proxy),
            format: format.map_or(0, ProxyKind::number),
            pid: *pid,
            tid: *tid,
            connection: *connection,
            client: client.map(ip),
            client_port: client_port.map(Into::into),
            request: request.as_ref().map(Wire::of),
            http1: *http1,
            upstream: upstream.as_ref().map(Wire::of),
            upstream_name: text(upstream_name.as_deref()),
            status: status.map(Into::into),
            failure: FailureKind::from(*failure).into(),
            phase: phase.into(),
            elapsed_ns: elapsed.map(nanos),
            ended_ns: ended.map(|ended| ended.0),
        }
    }

    fn model(self) -> Result<LogEntry, Unknown> {
        let phase = match self.phase() {
            PhaseKind::Connecting => Phase::Connecting,
            PhaseKind::Waiting => Phase::Waiting,
            PhaseKind::Answering => Phase::Answering,
            PhaseKind::Unknown => Phase::Unknown,
        };
        let failure = self.failure().into();
        let port = |field| move |port| short(field, port);
        Ok(LogEntry {
            proxy: required(self.proxy)?,
            format: ProxyKind::from_number(self.format),
            pid: self.pid,
            tid: self.tid,
            connection: self.connection,
            client: self.client.map(|bytes| read_ip(&bytes)).transpose()?,
            client_port: self.client_port.map(port("client_port")).transpose()?,
            request: optional(self.request)?,
            http1: self.http1,
            upstream: optional(self.upstream)?,
            upstream_name: self.upstream_name.map(Into::into),
            status: self.status.map(port("status")).transpose()?,
            failure,
            phase,
            elapsed: self.elapsed_ns.map(Duration::from_nanos),
            ended: self.ended_ns.map(WallTime),
        })
    }
}

/// [`model::Witnesses`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Witnesses {
    #[prost(message, optional, tag = "1")]
    proxy: Option<Key>,
    #[prost(bool, tag = "2")]
    http: bool,
    #[prost(bool, tag = "3")]
    tls: bool,
    #[prost(bool, tag = "4")]
    log: bool,
}

impl Wire for Witnesses {
    type Model = model::Witnesses;

    fn of(model: &model::Witnesses) -> Self {
        let model::Witnesses {
            proxy,
            http,
            tls,
            log,
        } = *model;
        Self {
            proxy: some(&proxy),
            http,
            tls,
            log,
        }
    }

    fn model(self) -> Result<model::Witnesses, Unknown> {
        Ok(model::Witnesses {
            proxy: required(self.proxy)?,
            http: self.http,
            tls: self.tls,
            log: self.log,
        })
    }
}
