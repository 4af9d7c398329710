//! The ports that tests get for their servers, on a machine whose ports others hold.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::thread;

use rustix::net::{self, AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tracer_tests::stack::proxy::{Kind, Proxy, Setup};
use tracer_tests::stack::{Address, Worker, http};
use tracer_tests::{free_port, need_root};

/// How many ports the kernel hands out in the namespace of [`in_small_namespace`].
const PORTS: usize = 5_000;

/// Runs `test` in a network namespace in which the kernel hands out only [`PORTS`] ports, and
/// where a process may have as many files open.
fn in_small_namespace(test: impl FnOnce() + Send) {
    need_root();
    let limit = Some(2 * PORTS as u64);
    let files = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Nofile, files).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: what this thread then does not share with the others is its network.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            let script = format!(
                "ip link set lo up && echo 40000 {} >/proc/sys/net/ipv4/ip_local_port_range",
                40_000 + PORTS - 1
            );
            let status = Command::new("sh").args(["-c", &script]).status().unwrap();
            assert!(status.success());
            test();
        });
    });
}

/// Sockets of somebody else that hold `count` ports of the kernel's choice.
fn hold(count: usize) -> Vec<OwnedFd> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    (0..count)
        .map(|_| {
            let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            net::bind(&socket, &any).unwrap();
            socket
        })
        .collect()
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

#[track_caller]
fn assert_refused(port: u16) {
    let error = connect(port).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{port}");
}

#[test]
fn a_port_is_found_among_thousands_that_others_hold() {
    in_small_namespace(|| {
        let _others = hold(PORTS - 100);
        let ports: BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50, "no port twice");
        for port in ports {
            assert_refused(port);
            for address in ["127.0.0.1", "0.0.0.0", "[::1]", "[::]"] {
                let listener = TcpListener::bind(format!("{address}:{port}"));
                drop(listener.unwrap_or_else(|error| panic!("{address}:{port}: {error}")));
            }
            assert_refused(port);
        }
    });
}

#[test]
fn neither_connections_nor_other_servers_take_a_reserved_port() {
    in_small_namespace(|| {
        let _others = hold(PORTS - 100);
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
        let server = listener.local_addr().unwrap().port();
        let mut clients = Vec::new();
        let error = loop {
            match connect(server) {
                Ok(client) => clients.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{error}");
        assert!(clients.len() >= 90, "{} connections", clients.len());
        let own = |client: &TcpStream| client.local_addr().unwrap().port();
        assert!(clients.iter().all(|client| own(client) != port));
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let other = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        assert!(net::bind(&other, &any).is_err(), "no port is left");
        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    });
}

#[test]
fn every_server_of_the_tests_can_listen_on_a_reserved_port_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Address::Tcp(free_port());
    let mut worker = Worker::start("ports", &upstream, None);
    for _ in 0..2 {
        worker.kill();
        worker = Worker::start("ports", &upstream, None);
    }
    for kind in [Kind::Nginx, Kind::Apache, Kind::Haproxy, Kind::Caddy] {
        let proxy = Proxy::start(kind, folder.path(), &Setup::before(&upstream));
        let port = proxy.address().port();
        assert_eq!(http::get(port, "/ok").unwrap().status, 200, "{kind:?}");
        drop(proxy);
        assert_refused(port);
    }
}
