//! A network namespace for a test.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::privilege::need_root;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A named namespace with its loopback up; removed when dropped.
pub struct NetNamespace {
    name: String,
}

impl NetNamespace {
    /// Makes one.
    #[track_caller]
    pub fn new() -> Self {
        need_root();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tracer-test-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        let netns = Self { name };
        netns.ip(&["link", "set", "lo", "up"]);
        netns
    }

    /// Runs `ip` inside.
    #[track_caller]
    pub fn ip(&self, args: &[&str]) {
        let mut all = vec!["-n", &self.name];
        all.extend(args);
        ip(&all);
    }

    /// Sets a setting of the namespace, a path below /proc/sys.
    #[track_caller]
    pub fn sysctl(&self, name: &str, value: &str) {
        let set = format!("echo {value} > /proc/sys/{name}");
        let mut shell = self.command("sh".as_ref());
        let status = shell.args(["-c", &set]).status().unwrap();
        assert!(status.success(), "{set}");
    }

    /// A command that runs inside: `ip netns exec NAME program`.
    pub fn command(&self, program: &std::ffi::OsStr) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Default for NetNamespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for NetNamespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

#[track_caller]
fn ip(args: &[&str]) {
    let status = Command::new("ip")
        .args(args)
        .status()
        .expect("ip (iproute2) is not installed");
    assert!(status.success(), "ip {args:?}");
}
