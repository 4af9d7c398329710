//! A running `tracer watch --json` and its findings.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::binary::binary;
use crate::cgroup::MemoryCgroup;
use crate::patience::patient;
use crate::privilege::need_root;
use crate::process::{Guard, fixture};
use crate::schema;

/// A running tracer. Dropping it kills it.
pub struct Tracer {
    child: Child,
    pid: u32,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    seen: Vec<Value>,
    /// Kept until this is dropped.
    config: Option<tempfile::NamedTempFile>,
}

/// A finished run of a tracer.
#[derive(Debug)]
pub struct Run {
    /// All findings, `start` to `end`.
    pub findings: Vec<Value>,
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard error.
    pub stderr: String,
}

impl Tracer {
    /// Starts `tracer watch --json` and waits until its hooks are armed.
    #[track_caller]
    pub fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::start_as(Command::new(binary()).args(["watch", "--json"]).args(args))
    }

    /// The same in a cgroup.
    #[track_caller]
    pub fn start_in(cgroup: &MemoryCgroup) -> Self {
        Self::start_as(cgroup.enter(Command::new(binary()).args(["watch", "--json"])))
    }

    /// The same in its own pid namespace, as in a container.
    #[track_caller]
    pub fn start_contained() -> Self {
        let namespace = ["--pid", "--fork", "--kill-child", "--mount-proc"];
        let mut unshare = Command::new("unshare");
        unshare.args(namespace).arg(binary());
        let mut tracer = Self::start_as(unshare.args(["watch", "--json"]));
        let children = format!("/proc/{0}/task/{0}/children", tracer.pid);
        let children = std::fs::read_to_string(children).unwrap();
        tracer.pid = children.trim().parse().unwrap();
        tracer
    }

    #[track_caller]
    fn start_as(command: &mut Command) -> Self {
        need_root();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tracer could not be started");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { break };
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut tracer = Self {
            pid: child.id(),
            child,
            lines,
            stderr: Some(stderr),
            seen: Vec::new(),
            config: None,
        };
        tracer.wait_for("start", Duration::from_secs(20), |f| f["kind"] == "start");
        tracer
    }

    /// The same with `[[service]]` rules: pairs of a name and a regex for the command line.
    #[track_caller]
    pub fn start_naming(services: &[(&str, &str)], args: &[&str]) -> Self {
        let mut text = String::new();
        for (name, cmdline) in services {
            writeln!(
                text,
                "[[service]]\nname = {name:?}\ncmdline = {cmdline:?}\n"
            )
            .unwrap();
        }
        let config = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(config.path(), text).unwrap();
        let mut all = vec!["--config".as_ref(), config.path().as_os_str()];
        all.extend(args.iter().map(AsRef::<OsStr>::as_ref));
        let mut tracer = Self::start(all);
        tracer.config = Some(config);
        tracer
    }

    /// Pid of the tracer.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The `start` finding.
    pub fn start_finding(&self) -> &Value {
        &self.seen[0]
    }

    /// Waits for the first finding that fits; it may have come already. After `limit` the test
    /// fails and prints all findings.
    #[track_caller]
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Value {
        if let Some(found) = self.seen.iter().find(|finding| fits(finding)) {
            return found.clone();
        }
        let limit = patient(limit);
        let until = Instant::now() + limit;
        loop {
            match self.next(until) {
                Ok(finding) if fits(&finding) => return finding,
                Ok(_) => {}
                Err(why) => self.give_up(what, limit, why),
            }
        }
    }

    /// All findings until `time` has passed.
    pub fn watch_for(&mut self, time: Duration) -> &[Value] {
        let until = Instant::now() + time;
        while self.next(until).is_ok() {}
        &self.seen
    }

    /// Waits for the death of `pid`.
    #[track_caller]
    pub fn death_of(&mut self, pid: u32) -> Value {
        self.wait_for(&format!("death of {pid}"), Duration::from_secs(5), |f| {
            f["kind"] == "death" && f["process"]["pid"] == pid
        })
    }

    /// Waits until everything that happened before this call has been observed: kills a process,
    /// whose death comes later in the stream of events, and waits for that.
    #[track_caller]
    pub fn catch_up(&mut self) {
        let last = Guard::ready(fixture().arg("hold"));
        last.signal(Signal::KILL);
        self.death_of(last.pid());
    }

    /// Stops it with SIGTERM.
    #[track_caller]
    pub fn stop(mut self) -> Run {
        self.signal(Signal::TERM);
        self.finish()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until it exits by itself.
    #[track_caller]
    pub fn finish(&mut self) -> Run {
        let limit = patient(Duration::from_secs(20));
        let until = Instant::now() + limit;
        loop {
            match self.next(until) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(why) => self.give_up("the tracer's exit", limit, why),
            }
        }
        Run {
            findings: std::mem::take(&mut self.seen),
            status: self.child.wait().unwrap(),
            stderr: self
                .stderr
                .take()
                .map_or_else(String::new, |it| it.join().unwrap()),
        }
    }

    fn next(&mut self, until: Instant) -> Result<Value, RecvTimeoutError> {
        let left = until.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left)?;
        let finding: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("not a line of JSON ({error}): {line}"));
        assert_eq!(finding["v"], 1, "{line}");
        schema::check(&finding);
        self.seen.push(finding.clone());
        Ok(finding)
    }

    #[track_caller]
    fn give_up(&mut self, what: &str, limit: Duration, why: RecvTimeoutError) -> ! {
        let mut text = String::new();
        for finding in &self.seen {
            writeln!(text, "  {finding}").unwrap();
        }
        if why == RecvTimeoutError::Disconnected {
            let stderr = self.stderr.take().map(|it| it.join().unwrap());
            writeln!(text, "  it has exited: {}", stderr.unwrap_or_default()).unwrap();
        }
        panic!("not found within {limit:?}: {what}. Found:\n{text}");
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Fails when it has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
