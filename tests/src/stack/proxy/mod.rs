//! The proxies that failed requests are shown with, each a real program with a configuration of its
//! own, on loopback.

mod apache;
mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::client::Curl;
use super::worker::Address;
use super::{Daemon, program, wait_until};
use crate::free_port;

/// How long a proxy waits for its upstream's answer, in seconds: more than the application ever
/// needs on a busy machine.
pub const TIMEOUT_S: u64 = 5;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One worker process. Its error log is a file.
    Nginx,
    /// `mod_proxy_http` and the event MPM. Its error log is a file.
    Apache,
    /// `option httplog`. Its log is its standard output.
    Haproxy,
    /// Its log is its standard error, in JSON.
    Caddy,
    /// Its access log is a file.
    Traefik,
    /// Its access log is a file.
    Envoy,
}

impl Kind {
    /// What the tracer calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    /// Whether its log has one line for a whole request, with the final status.
    pub fn logs_whole_requests(self) -> bool {
        !matches!(self, Self::Nginx | Self::Apache)
    }

    /// Whether its TLS is OpenSSL's.
    pub fn has_openssl(self) -> bool {
        matches!(self, Self::Nginx | Self::Apache | Self::Haproxy)
    }
}

/// How clients reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Plain HTTP/1 on 127.0.0.1.
    Plain,
    /// Plain HTTP/1 on ::1.
    PlainV6,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS.
    TlsHttp2,
}

/// What is configured.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How clients reach it.
    pub listen: Listen,
    /// Where the application listens; the next is tried when one fails.
    pub upstreams: Vec<Address>,
    /// Whether it keeps connections to them.
    pub keep_alive: bool,
    /// Whether it logs all requests, where that is the program's choice (Caddy).
    pub access_log: bool,
    /// Whether its log is JSON, where that is the program's choice (Traefik, Envoy).
    pub json_log: bool,
    /// How often it writes its log to the file (Envoy), in milliseconds; None: as usual.
    pub log_every_ms: Option<u32>,
}

impl Setup {
    /// Plain HTTP before one application.
    pub fn before(upstream: &Address) -> Self {
        Self {
            listen: Listen::Plain,
            upstreams: vec![upstream.clone()],
            keep_alive: false,
            access_log: false,
            json_log: false,
            log_every_ms: Some(20),
        }
    }

    fn tls(&self) -> bool {
        matches!(self.listen, Listen::Tls | Listen::TlsHttp2)
    }
}

/// A running proxy; it ends with the test.
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
        wait_until("the proxy's start", Duration::from_secs(10), || {
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether clients reach it in plain HTTP.
    pub fn plain(&self) -> bool {
        matches!(self.listen, Listen::Plain | Listen::PlainV6)
    }

    /// A client that speaks what it speaks.
    pub fn curl(&self) -> Curl {
        let (scheme, version) = match self.listen {
            Listen::Plain | Listen::PlainV6 => ("http", "--http1.1"),
            Listen::Tls => ("https", "--http1.1"),
            Listen::TlsHttp2 => ("https", "--http2"),
        };
        Curl::new(&format!("{scheme}://{}", self.address)).args(&[version])
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// The pids of its children: nginx's workers.
    #[track_caller]
    pub fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = fs::read_to_string(path).unwrap();
        text.split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    /// What its log says so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A program that the test set-up installed from PyPI.
#[track_caller]
fn from_pypi(path: &str) -> PathBuf {
    let cache = std::env::var_os("TRACER_TEST_CACHE")
        .expect("TRACER_TEST_CACHE is not set: run `cargo xtask test`");
    let program = Path::new(&cache).join("pypi").join(path);
    assert!(
        program.exists(),
        "{} is not there: run `cargo xtask setup --tests`",
        program.display()
    );
    program
}

/// A key and a certificate of its own: `key.pem`, `cert.pem`, and both in `both.pem`.
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
