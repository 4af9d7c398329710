//! A container made by hand, as engines make them: its own namespaces, in a scope of systemd that
//! is named like Docker's and has a memory limit.

use std::process::{Child, Command, Stdio};

use rustix::process::geteuid;

use super::hog::hog;
use crate::findings::TracerService;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub fn run() {
    assert!(geteuid().is_root());
    let mut tracer = TracerService::start();
    let scope = format!("docker-{ID}.scope");
    let mut container = start(&scope);
    let up = tracer.wait_for("the container's listener", |one| {
        one["kind"] == "listener_up" && one["address"] == "127.0.0.1:8080"
    });
    let death = tracer.wait_for("the death in the container", |one| {
        one["kind"] == "death" && one["cause"] == "oom_cgroup"
    });
    let down = tracer.wait_for("the container's listener going down", |one| {
        one["kind"] == "listener_down" && one["address"] == "127.0.0.1:8080"
    });
    let _ = container.wait();
    for finding in [&up, &death, &down] {
        assert_eq!(finding["service"]["name"], ID[..12], "{finding}");
        assert_eq!(finding["service"]["manager"], "container", "{finding}");
    }
    assert_eq!(death["memory"]["limit_bytes"], 48 << 20, "{death}");
    let cgroup = death["memory"]["limit_cgroup"].as_str().unwrap();
    assert!(cgroup.ends_with(&scope), "{death}");
    assert_eq!(death["process"]["comm"], "python3", "{death}");
    let own = own_netns();
    if let Some(netns) = up["netns"].as_u64() {
        assert_ne!(netns, own, "{up}");
    }
    tracer.stop();
}

/// The load: a process that listens for two seconds, so that the tracer sees it, and then leaks.
fn start(scope: &str) -> Child {
    let script = format!(
        "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 8080)); s.listen(); \
         time.sleep(2); {}",
        hog(200)
    );
    Command::new("systemd-run")
        .args(["--scope", "--quiet", "--unit", scope])
        .args(["-p", "MemoryMax=48M", "-p", "MemorySwapMax=0", "--"])
        .args(["unshare", "--net", "--pid", "--mount", "--uts", "--ipc"])
        .args(["--fork", "--mount-proc", "--"])
        .args([
            "sh",
            "-c",
            "ip link set lo up; exec python3 -c \"$0\"",
            &script,
        ])
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Inode of this process's network namespace.
fn own_netns() -> u64 {
    let link = std::fs::read_link("/proc/self/ns/net").unwrap();
    let text = link.to_str().unwrap();
    let number = text.trim_start_matches("net:[").trim_end_matches(']');
    number.parse().unwrap()
}
