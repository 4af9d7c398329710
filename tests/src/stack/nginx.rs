//! nginx as the proxy in front of an application.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::daemon::Daemon;
use super::http::{self, Response};
use super::installed::program;
use crate::patience::wait_until;
use crate::port::free_port;

/// An nginx with one worker and one upstream.
pub struct Nginx {
    port: u16,
    log: PathBuf,
    _daemon: Daemon,
}

impl Nginx {
    /// Starts it in front of an HTTP server on 127.0.0.1.
    #[track_caller]
    pub fn before_http(folder: &Path, upstream: u16) -> Self {
        Self::start(folder, &format!("proxy_pass http://127.0.0.1:{upstream};"))
    }

    /// Starts it in front of a PHP script, over FastCGI.
    #[track_caller]
    pub fn before_fastcgi(folder: &Path, socket: &Path, script: &Path, started: &Path) -> Self {
        Self::start(
            folder,
            &format!(
                "fastcgi_pass unix:{};
            fastcgi_param SCRIPT_FILENAME {};
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param APP_STARTED {};",
                socket.display(),
                script.display(),
                started.display(),
            ),
        )
    }

    #[track_caller]
    fn start(folder: &Path, pass: &str) -> Self {
        let port = free_port();
        let log = folder.join("nginx.log");
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
        listen 127.0.0.1:{port};
        location / {{
            {pass}
        }}
    }}
}}
"
        );
        fs::write(&config, text).unwrap();
        let daemon = Daemon::spawn(
            Command::new(program("nginx"))
                .arg("-p")
                .arg(folder)
                .arg("-c")
                .arg(&config),
            &log,
        );
        Self {
            port,
            log,
            _daemon: daemon,
        }
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends one request.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        http::get(self.port, path).unwrap()
    }

    /// Requests `/` until the response has this status; waits for the start of nginx too.
    #[track_caller]
    pub fn wait_for(&self, status: u16) -> Response {
        let what = format!("a response of {status}");
        wait_until(&what, Duration::from_secs(15), || {
            http::get(self.port, "/")
                .ok()
                .filter(|response| response.status == status)
        })
    }

    /// How many connects to its upstream failed, according to its log.
    #[track_caller]
    pub fn failed_connects(&self) -> u64 {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines()
            .filter(|line| line.contains(" failed (") && line.contains("connecting to upstream"))
            .count() as u64
    }
}
