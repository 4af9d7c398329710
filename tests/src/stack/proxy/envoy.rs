//! Envoy, configured statically. Its TLS is BoringSSL without symbols, into which nobody but its
//! access log looks.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::setup::{Listen, Setup, TIMEOUT_S};
use crate::stack::installed::from_pypi;
use crate::stack::worker::Address;

/// The log's keys with Istio's names, and what each stands for.
const JSON_LOG: [(&str, &str); 14] = [
    ("start_time", "%START_TIME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
    ("duration", "%DURATION%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
];

pub(super) fn prepare(
    folder: &Path,
    config: &Path,
    setup: &Setup,
    address: SocketAddr,
) -> (String, Command) {
    let socket =
        |ip: &str, port: u16| json!({ "socket_address": { "address": ip, "port_value": port } });
    let endpoints: Vec<Value> = setup
        .upstreams
        .iter()
        .map(|upstream| match upstream {
            Address::Tcp(port) => socket("127.0.0.1", *port),
            Address::Unix(path) => json!({ "pipe": { "path": path } }),
        })
        .map(|address| json!({ "endpoint": { "address": address } }))
        .collect();
    let mut chain = json!({ "filters": [{
        "name": "http",
        "typed_config": connection_manager(folder, setup),
    }] });
    if setup.tls() {
        chain["transport_socket"] = transport_socket(folder, setup);
    }
    // 0: no limit.
    let requests = u32::from(!setup.keep_alive);
    let text = json!({ "static_resources": {
        "listeners": [{
            "name": "web",
            "address": socket(&address.ip().to_string(), address.port()),
            "filter_chains": [chain],
        }],
        "clusters": [{
            "name": "shop",
            "type": "STATIC",
            "connect_timeout": format!("{TIMEOUT_S}s"),
            "load_assignment": {
                "cluster_name": "shop",
                "endpoints": [{ "lb_endpoints": endpoints }],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": kind("upstreams.http.v3.HttpProtocolOptions"),
                    "common_http_protocol_options": { "max_requests_per_connection": requests },
                    "explicit_http_config": { "http_protocol_options": {} },
                },
            },
        }],
    } });
    let mut command = Command::new(from_pypi("envoy/_bin/envoy"));
    command
        .args(["--disable-hot-restart", "--concurrency", "2"])
        .args(["--log-level", "error", "--config-path"])
        .arg(config);
    if let Some(interval) = setup.log_every_ms {
        command.args(["--file-flush-interval-msec", &interval.to_string()]);
    }
    (text.to_string(), command)
}

/// The name of a type of its configuration.
fn kind(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}

fn connection_manager(folder: &Path, setup: &Setup) -> Value {
    let mut log = json!({
        "@type": kind("access_loggers.file.v3.FileAccessLog"),
        "path": folder.join("access.log"),
    });
    if setup.json_log {
        let keys: serde_json::Map<String, Value> = JSON_LOG
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        log["log_format"] = json!({ "json_format": keys });
    }
    let mut filters = vec![json!({
        "name": "router",
        "typed_config": { "@type": kind("filters.http.router.v3.Router") },
    })];
    if setup.listen == Listen::TlsHttp2 {
        // Whole requests only: curl takes an answer for an error that comes before the end of a body.
        let buffer = json!({
            "name": "buffer",
            "typed_config": {
                "@type": kind("filters.http.buffer.v3.Buffer"),
                "max_request_bytes": 65536,
            },
        });
        filters.insert(0, buffer);
    }
    json!({
        "@type": kind("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "web",
        "use_remote_address": true,
        "access_log": [{ "name": "file", "typed_config": log }],
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{
                "match": { "prefix": "/" },
                "route": { "cluster": "shop", "timeout": format!("{TIMEOUT_S}s") },
            }],
        }] },
        "http_filters": filters,
    })
}

fn transport_socket(folder: &Path, setup: &Setup) -> Value {
    let protocols = match setup.listen {
        Listen::TlsHttp2 => json!(["h2", "http/1.1"]),
        _ => json!(["http/1.1"]),
    };
    json!({
        "name": "tls",
        "typed_config": {
            "@type": kind("transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "alpn_protocols": protocols,
                "tls_certificates": [{
                    "certificate_chain": { "filename": folder.join("cert.pem") },
                    "private_key": { "filename": folder.join("key.pem") },
                }],
            },
        },
    })
}
