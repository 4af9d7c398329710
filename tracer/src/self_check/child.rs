//! The process that a self-check starts. It listens, connects, fails to connect, uses memory, reports
//! what it did, and waits to be killed.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use rustix::net::{AddressFamily, SocketType};
use tracer_model::Endpoint;

/// The executable of the child.
pub(super) const PROGRAM: &str = "/proc/self/exe";
/// The hidden subcommand of [`PROGRAM`].
pub(super) const SUBCOMMAND: &str = "self-check-child";
/// The name that the child gives itself; the kernel would cut a longer one.
const NAME: &std::ffi::CStr = c"self check";
/// How much memory it uses in addition to that of any process.
const MEMORY_BYTES: usize = 24 << 20;
/// A path that never exists.
const MISSING: &str = "/proc/self/no-such-socket";

/// What the child did: one line of words separated by tabs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) args: Vec<Box<str>>,
    pub(super) listeners: Vec<Endpoint>,
    pub(super) connections: Vec<(Endpoint, Endpoint)>,
    pub(super) refused: Vec<Endpoint>,
    pub(super) missing: Option<Endpoint>,
}

impl Report {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut report = Self::default();
        let mut words = line.strip_suffix('\n')?.split('\t');
        while let Some(word) = words.next() {
            match word {
                "arg" => report.args.push(words.next()?.into()),
                "listens" => report.listeners.push(endpoint(words.next()?)?),
                "connected" => {
                    let ends = (endpoint(words.next()?)?, endpoint(words.next()?)?);
                    report.connections.push(ends);
                }
                "refused" => report.refused.push(endpoint(words.next()?)?),
                "missing" => report.missing = Some(Endpoint::Unix(words.next()?.into())),
                _ => return None,
            }
        }
        Some(report)
    }
}

fn endpoint(text: &str) -> Option<Endpoint> {
    let address: SocketAddr = text.parse().ok()?;
    Some(Endpoint::tcp(address.ip(), address.port()))
}

/// Listens and connects in the address family of each server, then waits to be killed, or for the end
/// of standard input.
pub fn run(servers: &[OsString]) -> io::Result<()> {
    rustix::thread::set_name(NAME)?;
    let hoard = std::hint::black_box(vec![1_u8; MEMORY_BYTES]);
    let mut words = Vec::new();
    for arg in std::env::args() {
        words.extend(["arg".to_owned(), arg]);
    }
    let mut held = Vec::new();
    for server in servers {
        let server: SocketAddr = server
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an address"))?;
        // With a port chosen by the kernel, the hook would read port 0: the kernel releases such a port
        // before the hook runs.
        let listener = TcpListener::bind(free_address(server.ip())?)?;
        words.extend(["listens".to_owned(), listener.local_addr()?.to_string()]);
        let stream = TcpStream::connect(server)?;
        words.extend([
            "connected".to_owned(),
            stream.local_addr()?.to_string(),
            stream.peer_addr()?.to_string(),
        ]);
        let nobody = free_address(server.ip())?;
        if TcpStream::connect(nobody).is_err() {
            words.extend(["refused".to_owned(), nobody.to_string()]);
        }
        held.push((listener, stream));
    }
    if UnixStream::connect(MISSING).is_err() {
        words.extend(["missing".to_owned(), MISSING.to_owned()]);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", words.join("\t"))?;
    out.flush()?;
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    drop((hoard, held));
    Ok(())
}

/// An address that was free a moment ago, and on which nothing has listened.
fn free_address(ip: IpAddr) -> io::Result<SocketAddr> {
    let family = if ip.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(ip, 0))?;
    Ok(SocketAddr::try_from(rustix::net::getsockname(&socket)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_parsed_and_anything_else_is_rejected() {
        let tcp = |text| endpoint(text).unwrap();
        let line = "arg\t/proc/self/exe\tlistens\t[::1]:80\tconnected\t127.0.0.1:1\t\
                    127.0.0.1:2\trefused\t127.0.0.1:3\tmissing\t/x\n";
        let report = Report::parse(line).unwrap();
        assert_eq!(report.args, ["/proc/self/exe".into()]);
        assert_eq!(report.listeners, [tcp("[::1]:80")]);
        assert_eq!(
            report.connections,
            [(tcp("127.0.0.1:1"), tcp("127.0.0.1:2"))]
        );
        assert_eq!(report.refused, [tcp("127.0.0.1:3")]);
        assert_eq!(report.missing, Some(Endpoint::Unix("/x".into())));
        for broken in ["", "panicked", "listens\n", "listens\thome\n", "arg\tx"] {
            assert_eq!(Report::parse(broken), None, "{broken:?}");
        }
    }
}
