//! TCP ports for the servers of a test.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

/// A TCP port of this machine that refuses connects until a server of the test listens on it.
///
/// The kernel chooses a port that nobody uses. A socket that is bound and never listens holds it
/// until this process exits: meanwhile the kernel gives the port to no other server and to no
/// outgoing connection, also while the test's server is down. The test's server can bind it, as
/// often as it likes, because both sockets have `SO_REUSEADDR`: nginx, Apache, HAProxy, Caddy,
/// node, PHP-FPM and the standard libraries of Rust, Go and Python's servers set it.
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
    // After bind(), so that what bind() chose is nobody else's.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    let address = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((socket, address.port()))
}

/// A socket on a port that the kernel chose, for IPv4 and, if the kernel has it, IPv6.
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
