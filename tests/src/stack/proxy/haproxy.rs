//! HAProxy without health checks: it tries every request.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::setup::{Listen, Setup, TIMEOUT_S};
use crate::stack::installed::program;
use crate::stack::worker::Address;

pub(super) fn prepare(
    folder: &Path,
    config: &Path,
    setup: &Setup,
    address: SocketAddr,
) -> (String, Command) {
    let mut servers = String::new();
    for (number, upstream) in setup.upstreams.iter().enumerate() {
        let at = match upstream {
            Address::Tcp(port) => format!("127.0.0.1:{port}"),
            Address::Unix(path) => format!("unix@{}", path.display()),
        };
        writeln!(servers, "    server shop{number} {at}").unwrap();
    }
    let both = folder.join("both.pem");
    let tls = match setup.listen {
        Listen::Plain | Listen::PlainV6 => String::new(),
        Listen::Tls => format!(" ssl crt {} alpn http/1.1", both.display()),
        Listen::TlsHttp2 => format!(" ssl crt {} alpn h2,http/1.1", both.display()),
    };
    let reuse = if setup.keep_alive { "safe" } else { "never" };
    let text = format!(
        "global
    log stdout format raw local0
    nbthread 2
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect {TIMEOUT_S}s
    timeout server {TIMEOUT_S}s
    timeout client 30s
    http-reuse {reuse}
frontend web
    bind {address}{tls}
    default_backend shop
backend shop
{servers}"
    );
    let mut command = Command::new(program("haproxy"));
    command.arg("-db").arg("-f").arg(config);
    (text, command)
}
