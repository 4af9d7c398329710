//! The proxies that are tested with failed requests: each is the program of the distribution with
//! its own configuration, on loopback.

mod apache;
mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod setup;
mod traefik;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use setup::{Kind, Listen, Setup, TIMEOUT_S};

use super::client::Curl;
use super::daemon::Daemon;
use crate::patience::wait_until;
use crate::port::free_port;

/// A running proxy. Dropping it stops it.
pub struct Proxy {
    kind: Kind,
    listen: Listen,
    address: SocketAddr,
    log: PathBuf,
    daemon: Daemon,
}

impl Proxy {
    /// Starts it, with its files in `folder`, and waits until it listens.
    #[track_caller]
    pub fn start(kind: Kind, folder: &Path, setup: &Setup) -> Self {
        let ip = match setup.listen {
            Listen::PlainV6 => IpAddr::from(Ipv6Addr::LOCALHOST),
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        let address = SocketAddr::new(ip, free_port());
        let folder = folder.join(kind.name());
        fs::create_dir(&folder).unwrap();
        if setup.tls() {
            certificate(&folder);
        }
        let config = folder.join(match kind {
            // They go by what the name ends in.
            Kind::Traefik | Kind::Envoy => "proxy.yaml",
            _ => "proxy.conf",
        });
        let (text, command) = match kind {
            Kind::Nginx => nginx::prepare(&folder, &config, setup, address),
            Kind::Apache => apache::prepare(&folder, &config, setup, address),
            Kind::Haproxy => haproxy::prepare(&folder, &config, setup, address),
            Kind::Caddy => caddy::prepare(&folder, &config, setup, address),
            Kind::Traefik => traefik::prepare(&folder, &config, setup, address),
            Kind::Envoy => envoy::prepare(&folder, &config, setup, address),
        };
        fs::write(&config, text).unwrap();
        let output = folder.join("output.log");
        let mut command = command;
        let daemon = Daemon::spawn(command.current_dir(&folder), &output);
        let proxy = Self {
            kind,
            listen: setup.listen,
            address,
            log: match kind {
                Kind::Nginx | Kind::Apache => folder.join("error.log"),
                Kind::Haproxy | Kind::Caddy => output,
                Kind::Traefik | Kind::Envoy => folder.join("access.log"),
            },
            daemon,
        };
        wait_until("the proxy to listen", Duration::from_secs(10), || {
            TcpStream::connect(address).ok()
        });
        if kind == Kind::Traefik {
            // It listens before it has read its routes. The application runs already.
            wait_until("Traefik's routes", Duration::from_secs(10), || {
                let status = proxy.curl().get("/ok").status;
                (status == Some(200)).then_some(())
            });
        }
        proxy
    }

    /// Which program it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether clients reach it in plain HTTP.
    pub fn plain(&self) -> bool {
        matches!(self.listen, Listen::Plain | Listen::PlainV6)
    }

    /// A client for its protocol.
    pub fn curl(&self) -> Curl {
        let (scheme, version) = match self.listen {
            Listen::Plain | Listen::PlainV6 => ("http", "--http1.1"),
            Listen::Tls => ("https", "--http1.1"),
            Listen::TlsHttp2 => ("https", "--http2"),
        };
        Curl::new(&format!("{scheme}://{}", self.address)).args(&[version])
    }

    /// The pid of its main process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The pids of its children, such as the workers of nginx.
    #[track_caller]
    pub fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = fs::read_to_string(path).unwrap();
        text.split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Makes a key and a certificate: `key.pem`, `cert.pem`, and both in `both.pem`.
#[track_caller]
fn certificate(folder: &Path) {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-nodes", "-days", "2"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=shop.test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .output()
        .expect("openssl is not installed: run `cargo xtask setup --tests`");
    assert!(output.status.success(), "openssl: {output:?}");
    let read = |name| fs::read_to_string(folder.join(name)).unwrap();
    let both = read("cert.pem") + &read("key.pem");
    fs::write(folder.join("both.pem"), both).unwrap();
}
