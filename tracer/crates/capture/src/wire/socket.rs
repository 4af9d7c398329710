//! Sockets: addresses, listeners, failed connects, cut connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use tracer_model::{self as model, ConnectError, Endpoint as Address, SocketId, What};

use super::message::{Unknown, Wire, all, list, nanos, required, short, some};
use super::process::{Actor, Key};

/// Encodes an IP address as 4 or 16 bytes.
pub(super) fn ip(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Decodes an IP address.
pub(super) fn read_ip(bytes: &[u8]) -> Result<IpAddr, Unknown> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        Ok(four.into())
    } else {
        <[u8; 16]>::try_from(bytes)
            .map(Into::into)
            .map_err(|_| Unknown("ip"))
    }
}

/// [`Address`]. IPv4 addresses are numbers: they are by far the most common, and numbers need no
/// allocation.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Endpoint {
    #[prost(fixed32, optional, tag = "1")]
    v4: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "2")]
    v6: Option<Vec<u8>>,
    #[prost(uint32, tag = "3")]
    port: u32,
    #[prost(string, optional, tag = "4")]
    unix: Option<String>,
    #[prost(uint32, tag = "5")]
    v6_flow: u32,
    #[prost(uint32, tag = "6")]
    v6_scope: u32,
}

impl Wire for Endpoint {
    type Model = Address;

    fn of(model: &Address) -> Self {
        let mut wire = Self::default();
        match model {
            Address::Tcp(SocketAddr::V4(v4)) => {
                wire.v4 = Some((*v4.ip()).into());
                wire.port = v4.port().into();
            }
            Address::Tcp(SocketAddr::V6(v6)) => {
                wire.v6 = Some(v6.ip().octets().to_vec());
                wire.port = v6.port().into();
                wire.v6_flow = v6.flowinfo();
                wire.v6_scope = v6.scope_id();
            }
            Address::Unix(path) => wire.unix = Some(path.to_string()),
        }
        wire
    }

    fn model(self) -> Result<Address, Unknown> {
        if let Some(path) = self.unix {
            return Ok(Address::Unix(path.into()));
        }
        let port = short("port", self.port)?;
        if let Some(v4) = self.v4 {
            return Ok(Address::Tcp((Ipv4Addr::from(v4), port).into()));
        }
        let v6: [u8; 16] = self
            .v6
            .and_then(|v6| v6.try_into().ok())
            .ok_or(Unknown("endpoint"))?;
        let v6 = SocketAddrV6::new(Ipv6Addr::from(v6), port, self.v6_flow, self.v6_scope);
        Ok(Address::Tcp(SocketAddr::V6(v6)))
    }
}

/// [`SocketId`]: the kernel's, or a scan's if `scanned`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Socket {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(bool, tag = "2")]
    scanned: bool,
}

impl Wire for Socket {
    type Model = SocketId;

    fn of(model: &SocketId) -> Self {
        let (id, scanned) = match *model {
            SocketId::Kernel(id) => (id, false),
            SocketId::Scanned(id) => (id, true),
        };
        Self { id, scanned }
    }

    fn model(self) -> Result<SocketId, Unknown> {
        Ok(if self.scanned {
            SocketId::Scanned(self.id)
        } else {
            SocketId::Kernel(self.id)
        })
    }
}

/// [`model::Listener`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Listener {
    #[prost(message, optional, tag = "1")]
    socket: Option<Socket>,
    #[prost(uint32, tag = "2")]
    netns: u32,
    #[prost(message, optional, tag = "3")]
    address: Option<Endpoint>,
    #[prost(message, repeated, tag = "4")]
    holders: Vec<Key>,
}

impl Wire for Listener {
    type Model = model::Listener;

    fn of(model: &model::Listener) -> Self {
        let model::Listener {
            socket,
            netns,
            address,
            holders,
        } = model;
        Self {
            socket: some(socket),
            netns: *netns,
            address: some(address),
            holders: all(holders),
        }
    }

    fn model(self) -> Result<model::Listener, Unknown> {
        Ok(model::Listener {
            socket: required(self.socket)?,
            netns: self.netns,
            address: required(self.address)?,
            holders: list(self.holders)?,
        })
    }
}

/// [`What::ListenerDown`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListenerDown {
    #[prost(message, optional, tag = "1")]
    pub(super) socket: Option<Socket>,
    #[prost(uint32, tag = "2")]
    pub(super) netns: u32,
    #[prost(message, optional, tag = "3")]
    pub(super) address: Option<Endpoint>,
    #[prost(message, optional, tag = "4")]
    pub(super) by: Option<Actor>,
    #[prost(bool, tag = "5")]
    pub(super) exiting: bool,
}

impl ListenerDown {
    pub(super) fn model(self) -> Result<What, Unknown> {
        Ok(What::ListenerDown {
            socket: required(self.socket)?,
            netns: self.netns,
            address: required(self.address)?,
            by: required(self.by)?,
            exiting: self.exiting,
        })
    }
}

/// [`What::ListenersScanned`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListenersScanned {
    #[prost(uint32, tag = "1")]
    pub(super) netns: u32,
    #[prost(bool, tag = "2")]
    pub(super) unix: bool,
    #[prost(message, repeated, tag = "3")]
    pub(super) listeners: Vec<Listener>,
}

impl ListenersScanned {
    pub(super) fn model(self) -> Result<What, Unknown> {
        Ok(What::ListenersScanned {
            netns: self.netns,
            unix: self.unix,
            listeners: list(self.listeners)?,
        })
    }
}

/// [`ConnectError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ConnectErrorKind {
    Other = 0,
    Refused = 1,
    Timeout = 2,
    Unreachable = 3,
    Reset = 4,
    NoSocketFile = 5,
    BacklogFull = 6,
    PermissionDenied = 7,
    NoLocalPort = 8,
}

impl From<ConnectError> for ConnectErrorKind {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused => Self::Refused,
            ConnectError::Timeout => Self::Timeout,
            ConnectError::Unreachable => Self::Unreachable,
            ConnectError::Reset => Self::Reset,
            ConnectError::NoSocketFile => Self::NoSocketFile,
            ConnectError::BacklogFull => Self::BacklogFull,
            ConnectError::PermissionDenied => Self::PermissionDenied,
            ConnectError::NoLocalPort => Self::NoLocalPort,
            ConnectError::Other => Self::Other,
        }
    }
}

impl From<ConnectErrorKind> for ConnectError {
    fn from(kind: ConnectErrorKind) -> Self {
        match kind {
            ConnectErrorKind::Refused => Self::Refused,
            ConnectErrorKind::Timeout => Self::Timeout,
            ConnectErrorKind::Unreachable => Self::Unreachable,
            ConnectErrorKind::Reset => Self::Reset,
            ConnectErrorKind::NoSocketFile => Self::NoSocketFile,
            ConnectErrorKind::BacklogFull => Self::BacklogFull,
            ConnectErrorKind::PermissionDenied => Self::PermissionDenied,
            ConnectErrorKind::NoLocalPort => Self::NoLocalPort,
            ConnectErrorKind::Other => Self::Other,
        }
    }
}

/// [`model::ConnectFailed`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ConnectFailed {
    #[prost(message, optional, tag = "1")]
    owner: Option<Actor>,
    #[prost(uint32, tag = "2")]
    netns: u32,
    #[prost(message, optional, tag = "3")]
    remote: Option<Endpoint>,
    #[prost(enumeration = "ConnectErrorKind", tag = "4")]
    error: i32,
    #[prost(uint32, tag = "5")]
    errno: u32,
    #[prost(uint64, tag = "6")]
    elapsed_ns: u64,
    #[prost(uint64, tag = "7")]
    count: u64,
}

impl Wire for ConnectFailed {
    type Model = model::ConnectFailed;

    fn of(model: &model::ConnectFailed) -> Self {
        let model::ConnectFailed {
            owner,
            netns,
            remote,
            error,
            errno,
            elapsed,
            count,
        } = model;
        Self {
            owner: some(owner),
            netns: *netns,
            remote: some(remote),
            error: ConnectErrorKind::from(*error).into(),
            errno: *errno,
            elapsed_ns: nanos(*elapsed),
            count: *count,
        }
    }

    fn model(self) -> Result<model::ConnectFailed, Unknown> {
        let error = self.error().into();
        Ok(model::ConnectFailed {
            owner: required(self.owner)?,
            netns: self.netns,
            remote: required(self.remote)?,
            error,
            errno: self.errno,
            elapsed: Duration::from_nanos(self.elapsed_ns),
            count: self.count,
        })
    }
}

/// [`What::ConnectionCut`].
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ConnectionCut {
    #[prost(message, optional, tag = "1")]
    pub(super) owner: Option<Actor>,
    #[prost(uint32, tag = "2")]
    pub(super) netns: u32,
    #[prost(message, optional, tag = "3")]
    pub(super) local: Option<Endpoint>,
    #[prost(message, optional, tag = "4")]
    pub(super) remote: Option<Endpoint>,
}

impl ConnectionCut {
    pub(super) fn model(self) -> Result<What, Unknown> {
        Ok(What::ConnectionCut {
            owner: required(self.owner)?,
            netns: self.netns,
            local: required(self.local)?,
            remote: required(self.remote)?,
        })
    }
}
