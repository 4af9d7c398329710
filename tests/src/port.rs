//! TCP ports for the servers of a test.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

/// A TCP port that refuses connects until a server of the test listens there, on any address of
/// the machine.
///
/// The kernel chooses it among those that nobody uses, and it stays reserved until the process
/// ends: a socket that is bound and does not listen holds it. Nobody else is given it by the
/// kernel, neither for a server nor for an outgoing connection, while the test's server is down.
/// A server may bind it all the same, as often as it likes, because both have `SO_REUSEADDR`:
/// nginx, Apache, HAProxy, Caddy, node, PHP-FPM and the standard libraries set it.
#[track_caller]
pub fn free_port() -> u16 {
    static RESERVED: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
    let (socket, port) = reserve().expect("no TCP port can be reserved");
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    reserved.push(socket);
    port
}

/// A reserved port, and the socket that holds it.
fn reserve() -> Result<(OwnedFd, u16), Errno> {
    let socket = bound()?;
    // Only now: with it, bind() could have chosen a port that another test has reserved.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    let address = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((socket, address.port()))
}

/// A socket on a port of the kernel's choice, of IPv4 and, where there is IPv6, of that too.
fn bound() -> Result<OwnedFd, Errno> {
    let open = |family| net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    match open(AddressFamily::INET6) {
        Ok(socket) => {
            sockopt::set_ipv6_v6only(&socket, false)?;
            net::bind(&socket, &SocketAddr::from(([0; 16], 0)))?;
            Ok(socket)
        }
        Err(Errno::AFNOSUPPORT) => {
            let socket = open(AddressFamily::INET)?;
            net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
            Ok(socket)
        }
        Err(errno) => Err(errno),
    }
}
