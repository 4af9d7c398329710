//! Requests inside TLS, observed by probes on the OpenSSL that the proxy has mapped.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracer_tests::stack::{Daemon, asset};
use tracer_tests::{Tracer, free_port, wait_until};

const LIMIT: Duration = Duration::from_secs(10);

/// An nginx with TLS in front of an upstream that refuses connects.
struct Nginx {
    port: u16,
    _daemon: Daemon,
}

impl Nginx {
    #[track_caller]
    fn start(folder: &Path) -> Self {
        let port = free_port();
        let dead = free_port();
        let pem = asset("localhost.pem");
        let pem = pem.display();
        let config = folder.join("nginx.conf");
        let text = format!(
            "daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        listen [::1]:{port} ssl;
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        location / {{ return 200; }}
        location /api {{ proxy_pass http://127.0.0.1:{dead}; }}
    }}
}}
"
        );
        fs::write(&config, text).unwrap();
        let nginx = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("nginx is not installed: run `cargo xtask setup --tests`");
        let daemon = Daemon::spawn(
            Command::new(nginx)
                .arg("-p")
                .arg(folder)
                .arg("-c")
                .arg(&config),
            &folder.join("nginx.log"),
        );
        let nginx = Self {
            port,
            _daemon: daemon,
        };
        wait_until("nginx to listen", LIMIT, || {
            (nginx.curl("127.0.0.1", &["/"], &[]) == [200]).then_some(())
        });
        nginx
    }

    /// Sends requests on one connection, and returns the statuses.
    fn curl(&self, host: &str, paths: &[&str], options: &[&str]) -> Vec<u16> {
        let mut command = Command::new("curl");
        command.args(["--insecure", "--http1.1", "--silent", "--max-time", "10"]);
        command
            .args(["--write-out", "%{http_code}\n"])
            .args(options);
        for path in paths {
            command.args(["--output", "/dev/null"]);
            command.arg(format!("https://{host}:{}{path}", self.port));
        }
        let output = command.output().expect("curl is not installed");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| line.parse().unwrap()).collect()
    }
}

fn is_failure(path: &str) -> impl Fn(&Value) -> bool {
    move |one| one["kind"] == "request_failed" && one["path"] == path
}

#[track_caller]
fn assert_seen_in_tls(found: &Value, client: &str, method: &str) {
    assert_eq!(found["client"], client, "{found}");
    assert_eq!(found["method"], method, "{found}");
    assert_eq!(found["status"], 502, "{found}");
    assert_eq!(found["failure"], "refused", "{found}");
    let evidence = found["evidence"].as_array().unwrap();
    assert!(evidence.contains(&"tls".into()), "{found}");
}

#[test]
fn failed_requests_inside_tls_are_reported_once_with_their_clients_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(folder.path());
    let mut tracer = Tracer::start::<&str>([]);
    let statuses = nginx.curl("127.0.0.1", &["/fine", "/api/orders?id=7", "/fine"], &[]);
    assert_eq!(statuses, [200, 502, 200]);
    assert_eq!(
        nginx.curl("[::1]", &["/api/six"], &["--data", "x=1"]),
        [502]
    );
    tracer.wait_for("the last failure", LIMIT, is_failure("/api/six"));
    let run = tracer.stop();
    let of_nginx = |one: &&Value| {
        one["kind"] == "request_failed"
            && one["host"]
                .as_str()
                .is_some_and(|host| host.ends_with(&format!(":{}", nginx.port)))
    };
    let failed: Vec<&Value> = run.findings.iter().filter(of_nginx).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert_eq!(failed[0]["path"], "/api/orders");
    assert_seen_in_tls(failed[0], "127.0.0.1", "GET");
    assert_seen_in_tls(failed[1], "::1", "POST");
}

#[test]
fn requests_inside_tls_are_seen_at_a_proxy_that_starts_after_the_tracer() {
    let folder = tempfile::tempdir().unwrap();
    let mut tracer = Tracer::start::<&str>([]);
    let nginx = Nginx::start(folder.path());
    // The tracer finds its library a moment after its start.
    let until = Instant::now() + LIMIT;
    let mut number = 0;
    loop {
        number += 1;
        let path = format!("/api/{number}");
        assert_eq!(nginx.curl("127.0.0.1", &[&path], &[]), [502]);
        let seen = tracer.watch_for(Duration::from_millis(300));
        let found = seen.iter().find(|one| is_failure(&path)(one));
        let in_tls = |one: &&Value| one["evidence"].to_string().contains("\"tls\"");
        if let Some(found) = found.filter(in_tls) {
            assert_seen_in_tls(found, "127.0.0.1", "GET");
            return;
        }
        assert!(Instant::now() < until, "{seen:?}");
    }
}
