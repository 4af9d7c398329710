//! For tests: a killed process that stays on its way out until it is let go.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use tracer_model::{Comm, Pid, ProcessKey};

use crate::proc_dir::ProcDir;

/// A killed process that does not come to its end: the first one of a pid namespace waits until
/// nobody is in it whose parent, outside of it, does not ask for it.
pub struct Ending {
    pub key: ProcessKey,
    unshare: Child,
    nsenter: Child,
}

impl Ending {
    /// One whose memory is gone.
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
        // Before it stands still it could yet wait for its own child, and nothing was in the way.
        wait_for(|| stands_still(nsenter.id()).then_some(()));
        signal(key.pid, Signal::KILL);
        let exe = format!("/proc/{}/exe", key.pid);
        wait_for(|| std::fs::read_link(&exe).is_err().then_some(()));
        Self {
            key,
            unshare,
            nsenter,
        }
    }

    /// It comes to its end and is waited for.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.nsenter.kill();
        let _ = self.nsenter.wait();
        // It waits for the one that is ending, and ends.
        let _ = self.unshare.wait();
    }
}

fn signal(pid: Pid, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap());
    kill_process(pid.unwrap(), signal).unwrap();
}

/// Whether a process has been stopped by a signal.
fn stands_still(pid: Pid) -> bool {
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
