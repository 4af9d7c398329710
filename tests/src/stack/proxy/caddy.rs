//! Caddy. It uses Go's own TLS, so that its log is the only witness inside TLS.

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
    let upstreams: Vec<String> = setup
        .upstreams
        .iter()
        .map(|upstream| match upstream {
            Address::Tcp(port) => format!("127.0.0.1:{port}"),
            Address::Unix(path) => format!("unix/{}", path.display()),
        })
        .collect();
    let upstreams = upstreams.join(" ");
    let scheme = if setup.tls() { "https" } else { "http" };
    let tls = if setup.tls() {
        "tls cert.pem key.pem"
    } else {
        ""
    };
    let protocols = if setup.listen == Listen::TlsHttp2 {
        "h1 h2"
    } else {
        "h1"
    };
    let log = if setup.access_log { "log" } else { "" };
    let keep_alive = if setup.keep_alive { "10s" } else { "off" };
    let text = format!(
        "{{
    admin off
    auto_https off
    storage file_system {}
    servers {{
        protocols {protocols}
    }}
}}
{scheme}://:{} {{
    bind {}
    {tls}
    {log}
    reverse_proxy {upstreams} {{
        transport http {{
            dial_timeout {TIMEOUT_S}s
            response_header_timeout {TIMEOUT_S}s
            keepalive {keep_alive}
        }}
    }}
}}
",
        folder.display(),
        address.port(),
        address.ip(),
    );
    let mut command = Command::new(program("caddy"));
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(config)
        .env("HOME", folder);
    (text, command)
}
