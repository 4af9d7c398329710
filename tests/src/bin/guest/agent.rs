//! Follows the plan: runs its steps one after another, each with a time limit, sends the results to
//! the host, and powers the machine off.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host;

const PROGRAMS: &str = "/run/vm/programs";
const DATA: &str = "/run/vm/data";
/// How often it sends the host a sign of life while a step runs.
const ALIVE: Duration = Duration::from_secs(10);
const PULSE: Duration = Duration::from_millis(50);

/// Runs the plan and powers the machine off.
pub fn run() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    host::send(&format!("up {}", release.trim()));
    let plan = fs::read_to_string(Path::new(PROGRAMS).join("plan.json")).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let boot = boot();
    let steps = plan.as_array().unwrap().iter();
    for step in steps.filter(|step| step["boot"] == boot) {
        let name = step["name"].as_str().unwrap();
        host::send(&format!("begin {name}"));
        let began = Instant::now();
        let failed = follow(step);
        let ms = began.elapsed().as_millis();
        match failed {
            None => host::send(&format!("pass {ms} {name}")),
            Some(why) => host::send(&format!("fail {ms} {name} {why}")),
        }
    }
    rustix::fs::sync();
    host::send("done");
    let _ = Command::new("systemctl").args(["poweroff", "-ff"]).status();
}

/// The number of this boot with the same data disk: 1, or 2 after the power was cut.
fn boot() -> u32 {
    let mark = Path::new(DATA).join("booted");
    if mark.exists() {
        return 2;
    }
    fs::write(&mark, "").unwrap();
    rustix::fs::sync();
    1
}

/// Runs one step. Returns why it failed, if it did.
fn follow(step: &Value) -> Option<String> {
    let mut command = Command::new(Path::new(PROGRAMS).join(step["program"].as_str()?));
    command
        .args(step["args"].as_array()?.iter().filter_map(Value::as_str))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in step["env"].as_object()? {
        command.env(name, value.as_str()?);
    }
    // The OOM killer spares the agent, but not the steps.
    // SAFETY: between fork and exec only a file is written, in a process with one thread.
    unsafe { command.pre_exec(|| fs::write("/proc/self/oom_score_adj", "0")) };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Some(format!("{command:?}: {error}")),
    };
    let readers = [
        child.stdout.take().map(pass_on),
        child.stderr.take().map(pass_on),
    ];
    let limit = Duration::from_secs(step["limit_s"].as_u64()?);
    let status = wait(&mut child, limit);
    for reader in readers.into_iter().flatten() {
        // Processes that a step left behind may keep its output open: this does not wait for them.
        let until = Instant::now() + Duration::from_secs(1);
        while !reader.is_finished() && Instant::now() < until {
            thread::sleep(PULSE);
        }
    }
    match status {
        Some(status) if status.success() => None,
        Some(status) => Some(status.to_string()),
        None => Some(format!("it took longer than {} s", limit.as_secs())),
    }
}

/// Waits until it exits; kills it when it takes longer than `limit`.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    let mut sent = began;
    while began.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if sent.elapsed() > ALIVE {
            host::send("alive");
            sent = Instant::now();
        }
        thread::sleep(PULSE);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Prints the output of a step, a line at a time.
fn pass_on(from: impl Read + Send + 'static) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            println!("{}", String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    })
}
