//! The same stack behind TLS: probes on nginx's OpenSSL see the requests.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::systemd::{site, stack};
use crate::findings::TracerService;
use crate::systemd::{main_pid, systemctl};

/// A certificate for localhost and its key, which is not secret.
const PEM: &str = include_str!("../../../../fixtures/localhost.pem");

pub fn run() {
    fs::write("/run/localhost.pem", PEM).unwrap();
    stack();
    site(
        "server {
    listen 127.0.0.1:443 ssl default_server;
    ssl_certificate /run/localhost.pem;
    ssl_certificate_key /run/localhost.pem;
    location / { proxy_pass http://127.0.0.1:3000; }
}
",
    );
    systemctl(&["restart", "nginx.service"]);
    assert!(ask("/").contains(" 200 "));
    let pid = main_pid("api.service");
    let mut tracer = TracerService::start();
    let answer = ask("/leak");
    assert!(answer.contains(" 502 "), "{answer}");
    tracer.death_of(pid);
    let request = tracer.wait_for("the failed request", |one| {
        one["kind"] == "request_failed" && one["path"] == "/leak"
    });
    tracer.stop();
    systemctl(&["stop", "nginx.service", "api.service"]);
    assert_eq!(request["status"], 502, "{request}");
    assert_eq!(request["client"], "127.0.0.1", "{request}");
    assert_eq!(request["host"], "shop.test", "{request}");
    assert_eq!(request["because"]["death"], pid, "{request}");
    assert_eq!(request["because"]["cause"], "oom_cgroup", "{request}");
    let witnesses = request["evidence"].as_array().unwrap();
    assert!(witnesses.contains(&"tls".into()), "{request}");
}

/// Sends one request inside TLS, and returns the response.
#[track_caller]
fn ask(path: &str) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", "127.0.0.1:443"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Kept open: at the end of its input, the client would not wait for the response.
    let mut stdin = client.stdin.take().unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: shop.test\r\n\r\n");
    stdin.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut client.stdout.take().unwrap(), &mut answer).unwrap();
    drop(stdin);
    client.wait().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
