//! Traefik with a file of routes. Its TLS is Go's own, into which nobody but its access log looks.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::setup::{Setup, TIMEOUT_S};
use crate::stack::installed::from_pypi;
use crate::stack::worker::Address;

pub(super) fn prepare(
    folder: &Path,
    config: &Path,
    setup: &Setup,
    address: SocketAddr,
) -> (String, Command) {
    let servers: Vec<_> = setup
        .upstreams
        .iter()
        .map(|upstream| match upstream {
            Address::Tcp(port) => json!({ "url": format!("http://127.0.0.1:{port}") }),
            Address::Unix(path) => panic!("Traefik has no unix sockets: {}", path.display()),
        })
        .collect();
    let mut router = json!({ "rule": "PathPrefix(`/`)", "service": "shop" });
    if setup.tls() {
        router["tls"] = json!({});
    }
    // JSON is YAML. -1: no connection is kept.
    let mut text = json!({
        "http": {
            "routers": { "shop": router },
            "services": {
                "shop": { "loadBalancer": { "servers": servers, "serversTransport": "shop" } },
            },
            "serversTransports": { "shop": {
                "maxIdleConnsPerHost": if setup.keep_alive { 2 } else { -1 },
                "forwardingTimeouts": {
                    "dialTimeout": format!("{TIMEOUT_S}s"),
                    "responseHeaderTimeout": format!("{TIMEOUT_S}s"),
                },
            } },
        },
    });
    if setup.tls() {
        text["tls"] = json!({ "certificates": [{
            "certFile": folder.join("cert.pem"),
            "keyFile": folder.join("key.pem"),
        }] });
    }
    let format = if setup.json_log { "json" } else { "common" };
    let mut command = Command::new(from_pypi("bin/traefik"));
    command
        .arg("--global.checknewversion=false")
        .arg("--global.sendanonymoususage=false")
        .arg(format!("--entrypoints.web.address={address}"))
        .arg(format!("--providers.file.filename={}", config.display()))
        .arg("--providers.file.watch=false")
        .arg(format!(
            "--accesslog.filepath={}",
            folder.join("access.log").display()
        ))
        .arg(format!("--accesslog.format={format}"));
    (text.to_string(), command)
}
