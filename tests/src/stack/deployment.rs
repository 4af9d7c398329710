//! A stack to deploy to: nginx in front of a node worker under a manager, and the script that
//! deploys a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::asset::asset;
use super::http;
use super::nginx::Nginx;
use super::node::node_command;
use super::pm2::Pm2;
use super::supervisor::Supervisor;
use crate::binary::binary;
use crate::cgroup::MemoryCgroup;
use crate::port::free_port;
use crate::privilege::need_root;

/// Enough for node, and soon reached by a leak.
const LIMIT_BYTES: u64 = 128 << 20;

/// The manager of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// supervisord.
    Supervisor,
    /// pm2.
    Pm2,
}

enum Manager {
    Supervisor(Supervisor),
    Pm2(Pm2),
}

/// The stack. Dropping it stops all of it.
pub struct Site {
    name: String,
    manager: Manager,
    nginx: Nginx,
    port: u16,
    folder: tempfile::TempDir,
    _cgroup: Option<MemoryCgroup>,
}

/// A finished `tracer deploy`.
#[derive(Debug)]
pub struct Deployed {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output: only the command's.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Its report.
    pub report: Value,
}

impl Site {
    /// Starts it with a good release and waits until that responds. The service has this name.
    #[track_caller]
    pub fn start(name: &str, under: Under, limited: bool) -> Self {
        need_root();
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let port = free_port();
        let cgroup = limited.then(|| MemoryCgroup::new(name, LIMIT_BYTES));
        let app = at.join("app.js");
        fs::copy(asset("worker.js"), &app).unwrap();
        let manager = match under {
            Under::Supervisor => {
                let command = node_command(cgroup.as_ref(), &app);
                Manager::Supervisor(Supervisor::start(at, name, &command, port))
            }
            Under::Pm2 => Manager::Pm2(Pm2::start_script(at, name, &app, cgroup.as_ref(), port)),
        };
        let nginx = Nginx::before_http(at, port);
        nginx.wait_for(200);
        Self {
            name: name.to_owned(),
            manager,
            nginx,
            port,
            folder,
            _cgroup: cgroup,
        }
    }

    /// Where the worker listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The pid of the worker that responds.
    #[track_caller]
    pub fn worker(&self) -> u64 {
        self.nginx.wait_for(200).number("pid")
    }

    /// A script that deploys a release of `fixtures/` and restarts the service.
    #[track_caller]
    pub fn script(&self, release: &str) -> PathBuf {
        let client = match &self.manager {
            Manager::Supervisor(supervisor) => supervisor.client(),
            Manager::Pm2(pm2) => pm2.client(),
        };
        let script = self.folder.path().join("deploy.sh");
        let text = format!(
            "set -e\ncp {} {}\n{client} restart {}\necho deployed\n",
            asset(release).display(),
            self.folder.path().join("app.js").display(),
            self.name,
        );
        fs::write(&script, text).unwrap();
        script
    }

    /// Deploys a release under `tracer deploy`.
    #[track_caller]
    pub fn deploy(&self, release: &str, grace: &str, args: &[&str]) -> Deployed {
        let script = self.script(release);
        self.run(grace, args, &["sh", script.to_str().unwrap()])
    }

    /// Runs a command under `tracer deploy`.
    #[track_caller]
    pub fn run(&self, grace: &str, args: &[&str], command: &[&str]) -> Deployed {
        Deployed::by(&self.name, grace, self.folder.path(), args, command)
    }

    /// Sends requests to nginx, one after another, until the guard is dropped.
    pub fn load(&self) -> Load {
        Load::on(self.nginx.port())
    }
}

/// Requests in the background.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Load {
    /// Sends requests to a port, for two minutes at most.
    pub fn on(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let until = Instant::now() + Duration::from_mins(2);
            while !stopped.load(Ordering::Relaxed) && Instant::now() < until {
                // The tracer reports the failures.
                let _ = http::get(port, "/");
                // The load: fifty requests a second at most.
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Deployed {
    /// Runs a command that deploys a service under `tracer deploy`, with the report in `folder`.
    #[track_caller]
    pub fn by(service: &str, grace: &str, folder: &Path, args: &[&str], command: &[&str]) -> Self {
        let report = folder.join("report.json");
        let output = Command::new(binary())
            .args(["deploy", "--service", service, "--grace", grace])
            .arg("--report")
            .arg(&report)
            .args(args)
            .arg("--")
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("the tracer could not be started");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let stderr = text(output.stderr);
        let report = fs::read(&report).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        Self {
            status: output.status,
            stdout: text(output.stdout),
            stderr,
            report: serde_json::from_slice(&report).unwrap(),
        }
    }

    /// The verdict in the report.
    pub fn verdict(&self) -> &Value {
        &self.report["deployment"]
    }

    /// The only service of the verdict.
    #[track_caller]
    pub fn service(&self) -> &Value {
        match &self.verdict()["services"].as_array().unwrap()[..] {
            [one] => one,
            many => panic!("{} services: {self:#?}", many.len()),
        }
    }

    /// The kinds of failures, in order.
    pub fn failures(&self) -> Vec<&str> {
        let failures = self.verdict()["failures"].as_array().unwrap();
        failures
            .iter()
            .filter_map(|failure| failure["kind"].as_str())
            .collect()
    }
}
