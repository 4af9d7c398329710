//! Listening sockets from sock_diag(7). The kernel filters them and returns names with their length, so
//! a name can't forge the line of another socket, as it can in /proc/net/unix.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use bytes::BytesMut;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, SocketId, StateFlags as TcpStates,
};
use netlink_packet_sock_diag::unix::nlas::UnixDiagName;
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags as UnixStates, UnixRequest};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use tracer_model::Endpoint;

/// Listeners kept of one kind in one namespace.
pub(super) const MAX_LISTENERS: usize = 20_000;

/// Time limit for one part of an answer; the kernel answers at once.
const TIMEOUT: Duration = Duration::from_secs(1);

/// TCP listeners in the network namespace of the calling thread: inodes and addresses.
pub(super) fn tcp_listeners() -> io::Result<Vec<(u64, Endpoint)>> {
    let mut found = Vec::new();
    for (family, socket_id) in [
        (AF_INET, SocketId::new_v4()),
        (AF_INET6, SocketId::new_v6()),
    ] {
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: TcpStates::LISTEN,
            socket_id,
        };
        dump(SockDiagMessage::InetRequest(request), |message| {
            if let SockDiagMessage::InetResponse(response) = message {
                let id = &response.header.socket_id;
                let address = Endpoint::tcp(id.source_address, id.source_port);
                found.push((response.header.inode.into(), address));
            }
            found.len() < MAX_LISTENERS
        })?;
    }
    Ok(found)
}

/// Named unix stream listeners in the network namespace of the calling thread.
pub(super) fn unix_listeners() -> io::Result<Vec<(u64, Endpoint)>> {
    /// `SOCK_STREAM`.
    const STREAM: u8 = 1;
    let request = UnixRequest {
        state_flags: UnixStates::LISTEN,
        inode: 0,
        show_flags: ShowFlags::NAME,
        cookie: [0xff; 8],
    };
    let mut found = Vec::new();
    dump(SockDiagMessage::UnixRequest(request), |message| {
        if let SockDiagMessage::UnixResponse(response) = message
            && response.header.kind == STREAM
            && let Some(name) = response.name()
        {
            let address = match name {
                UnixDiagName::Pathname(path) => Endpoint::unix(path.as_bytes()),
                UnixDiagName::Abstract(name) => Endpoint::unix(&[&[0], &name[..]].concat()),
            };
            found.push((response.header.inode.into(), address));
        }
        found.len() < MAX_LISTENERS
    })?;
    Ok(found)
}

/// Sends a request and passes each answer to `accept`, until the last one or until it returns false.
fn dump(
    request: SockDiagMessage,
    mut accept: impl FnMut(&SockDiagMessage) -> bool,
) -> io::Result<()> {
    let socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, request.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut part = BytesMut::with_capacity(32 << 10);
    loop {
        part.clear();
        socket.recv(&mut part, 0)?;
        let mut rest = &part[..];
        if rest.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(length) = message_length(rest) {
            let (message, after) = rest.split_at(length);
            rest = after;
            // A socket that the crate can't decode is skipped; the others still count.
            let Ok(message) = NetlinkMessage::<SockDiagMessage>::deserialize(message) else {
                continue;
            };
            match message.payload {
                NetlinkPayload::InnerMessage(answer) if accept(&answer) => {}
                NetlinkPayload::InnerMessage(_) | NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
        }
    }
}

/// Length of the first netlink message in `bytes`, with its padding; `None` if there is no complete one.
fn message_length(bytes: &[u8]) -> Option<usize> {
    const HEADER: usize = 16;
    let length = u32::from_ne_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    if length < HEADER || length > bytes.len() {
        return None;
    }
    Some(length.next_multiple_of(4).min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_cannot_forge_another_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir
            .path()
            .join("x\n0: 00000002 00000000 00010000 0001 01 7 ");
        std::fs::create_dir_all(path.join("run")).unwrap();
        let path = path.join("run/f.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let found = unix_listeners().unwrap();
        let path = Endpoint::Unix(path.to_str().unwrap().into());
        assert!(found.iter().any(|(_, address)| *address == path));
        let forged = |(_, address): &(u64, Endpoint)| address.to_string() == "unix:/run/f.sock";
        assert!(!found.iter().any(forged));
    }

    proptest! {
        #[test]
        fn messages_never_overrun(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(length) = message_length(&bytes) {
                prop_assert!((16..=bytes.len()).contains(&length));
            }
        }
    }
}
