//! For tests: a killed process that keeps exiting until it is released.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use tracer_model::{Comm, Pid, ProcessKey};

use crate::proc_dir::ProcDir;

/// A killed process whose exit does not complete. The first process of a pid namespace waits for all
/// others in it, and one of them is not reaped: its parent is outside and stopped.
pub struct SlowExit {
    pub key: ProcessKey,
    unshare: Child,
    nsenter: Child,
}

impl SlowExit {
    /// Starts one and waits until its memory is freed.
    pub fn start() -> Self {
        let run = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.arg("--pid").args(args).args(["sleep", "60"]);
            let child = command.spawn().unwrap();
            let key = wait_for(|| sleeping_child(child.id()));
            (child, key)
        };
        let (unshare, key) = run("unshare", &["--fork"]);
        let (nsenter, _) = run("nsenter", &["--target", &key.pid.to_string()]);
        signal(nsenter.id(), Signal::STOP);
        // Until it is stopped it could still reap its child, and nothing would delay the exit.
        wait_for(|| is_stopped(nsenter.id()).then_some(()));
        signal(key.pid, Signal::KILL);
        let exe = format!("/proc/{}/exe", key.pid);
        wait_for(|| std::fs::read_link(&exe).is_err().then_some(()));
        Self {
            key,
            unshare,
            nsenter,
        }
    }

    /// Lets the exit complete and reaps the process.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for SlowExit {
    fn drop(&mut self) {
        let _ = self.nsenter.kill();
        let _ = self.nsenter.wait();
        // It reaps the exiting process, and exits itself.
        let _ = self.unshare.wait();
    }
}

fn signal(pid: Pid, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap());
    kill_process(pid.unwrap(), signal).unwrap();
}

/// Whether a signal stopped a process.
fn is_stopped(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.starts_with('T')
}

/// The child of a process, once it runs `sleep`.
fn sleeping_child(parent: Pid) -> Option<ProcessKey> {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let pid = std::fs::read_to_string(children)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let stat = ProcDir::open(pid)?.stat(&mut Vec::new())?;
    let start_ticks = stat.start_ticks;
    (stat.comm == Comm::new("sleep")).then_some(ProcessKey { pid, start_ticks })
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "not seen within 30 s");
        thread::sleep(Duration::from_millis(10));
    }
}
