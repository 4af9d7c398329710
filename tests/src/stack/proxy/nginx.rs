//! nginx with one worker, so that all requests share the state of the upstreams.

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
    for upstream in &setup.upstreams {
        let at = match upstream {
            Address::Tcp(port) => format!("127.0.0.1:{port}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        };
        // Never marked as down: nginx tries every request.
        writeln!(servers, "        server {at} max_fails=0;").unwrap();
    }
    let keep_alive = if setup.keep_alive { "keepalive 8;" } else { "" };
    let tls = match setup.listen {
        Listen::Plain | Listen::PlainV6 => "",
        Listen::Tls => " ssl",
        Listen::TlsHttp2 => " ssl http2",
    };
    let certificate = if setup.tls() {
        "ssl_certificate cert.pem;\n        ssl_certificate_key key.pem;"
    } else {
        ""
    };
    let text = format!(
        "daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream shop {{
{servers}        {keep_alive}
    }}
    server {{
        listen {address}{tls};
        {certificate}
        location / {{
            proxy_pass http://shop;
            proxy_http_version 1.1;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_connect_timeout {TIMEOUT_S}s;
            proxy_read_timeout {TIMEOUT_S}s;
            proxy_next_upstream error timeout;
        }}
    }}
}}
"
    );
    let mut command = Command::new(program("nginx"));
    command.arg("-p").arg(folder).arg("-c").arg(config);
    (text, command)
}
