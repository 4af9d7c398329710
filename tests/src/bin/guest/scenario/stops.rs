//! How units stop and die under systemd: a restart, a stop that times out into SIGKILL, and the two
//! ways in which an OOM kill takes a whole unit with it.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tracer_tests::{MemoryCgroup, wait_until};

use super::hog::hog;
use super::systemd::{stack, wait_for_answer};
use crate::findings::{TracerService, about, only};
use crate::systemd::{PATIENCE, main_pid, property, systemctl, unit, wait_for_state};

/// The memory limit of the units and cgroups that reach it.
const LIMIT: u64 = 40 << 20;

pub fn run() {
    stack();
    let mut tracer = TracerService::start();
    let stubborn = stubborn();
    let restarted = restarted();
    let group = whole_group("group.service", "kill");
    let policy = whole_group("policy.service", "stop");
    for pid in [stubborn, restarted, group, policy] {
        tracer.death_of(pid);
    }
    kernels_group(&mut tracer);
    systemctl(&["stop", "nginx.service", "api.service"]);
    let findings = tracer.stop();
    let killed = only(&findings, "death", "stubborn.service");
    assert_eq!(killed["process"]["pid"], stubborn, "{killed}");
    assert_eq!(killed["cause"], "killed", "{killed}");
    assert_eq!(killed["signal"], "SIGKILL", "{killed}");
    assert_eq!(killed["by"]["comm"], "systemd", "{killed}");
    let why = killed["why"].as_str().unwrap();
    assert!(why.contains("it had not stopped 2."), "{killed}");
    assert!(why.contains("after SIGTERM"), "{killed}");
    restart(&findings, restarted);
    assert_oom(&findings, "group.service", group);
    assert_oom(&findings, "policy.service", policy);
    assert_eq!(property("policy.service", "Result"), "oom-kill");
}

/// A unit that ignores SIGTERM.
fn stubborn() -> u32 {
    unit(
        "stubborn.service",
        "[Service]\nExecStart=/usr/bin/python3 -c \"import signal; \
         signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()\"\n\
         Type=exec\nTimeoutStopSec=2\n",
    );
    systemctl(&["start", "stubborn.service"]);
    let pid = main_pid("stubborn.service");
    wait_until("the unit to ignore SIGTERM", PATIENCE, || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let ignored = status.lines().find_map(|it| it.strip_prefix("SigIgn:"))?;
        let ignored = u64::from_str_radix(ignored.trim(), 16).ok()?;
        (ignored >> 14 & 1 == 1).then_some(())
    });
    systemctl(&["stop", "stubborn.service"]);
    pid
}

/// Restarts a listening unit.
fn restarted() -> u32 {
    let pid = main_pid("api.service");
    systemctl(&["restart", "api.service"]);
    wait_for_answer(200);
    pid
}

fn restart(findings: &[Value], pid: u32) {
    let deaths = about(findings, "death", "api.service");
    let death = deaths.iter().find(|one| one["process"]["pid"] == pid);
    let death = death.unwrap_or_else(|| panic!("no death of {pid}"));
    assert_eq!(death["cause"], "clean", "{death}");
    assert_eq!(death["signal"], "SIGTERM", "{death}");
    assert_eq!(death["by"]["comm"], "systemd", "{death}");
    assert!(!about(findings, "listener_up", "api.service").is_empty());
}

/// A unit of two processes, one of which reaches the limit: both die.
fn whole_group(name: &str, policy: &str) -> u32 {
    unit(
        name,
        &format!(
            "[Service]\nExecStart=/bin/sh -c 'sleep 1000 & exec python3 -c \"{}\"'\n\
             MemoryMax=40M\nMemorySwapMax=0\nOOMPolicy={policy}\nType=exec\n",
            hog(200)
        ),
    );
    systemctl(&["start", name]);
    let pid = main_pid(name);
    wait_for_state(name, "failed");
    pid
}

/// The leaking process died because of the unit's limit. The kernel kills the other process too
/// (`OOMPolicy=kill`), unless systemd, which is notified at the same time, was faster.
fn assert_oom(findings: &[Value], service: &str, leaker: u32) {
    let deaths = about(findings, "death", service);
    assert!(!deaths.is_empty(), "no death in {service}");
    for death in deaths {
        let by_systemd = death["cause"] != "oom_cgroup" && death["by"]["comm"] == "systemd";
        if by_systemd && death["process"]["pid"] != leaker {
            continue;
        }
        assert_eq!(death["cause"], "oom_cgroup", "{death}");
        assert_eq!(death["memory"]["limit_bytes"], LIMIT, "{death}");
        let cgroup = format!("/system.slice/{service}");
        assert_eq!(death["memory"]["limit_cgroup"], cgroup, "{death}");
    }
}

/// A cgroup that the kernel kills as a whole, without systemd.
fn kernels_group(tracer: &mut TracerService) {
    let cgroup = MemoryCgroup::new("group", LIMIT);
    cgroup.write("memory.oom.group", "1");
    let mut bystander = Command::new("sleep");
    let mut bystander = cgroup.enter(bystander.arg("1000")).spawn().unwrap();
    let mut leaker = Command::new("python3");
    let mut leaker = cgroup
        .enter(leaker.args(["-c", &hog(200)]))
        .spawn()
        .unwrap();
    for member in [&mut bystander, &mut leaker] {
        member.wait().unwrap();
        let death = tracer.death_of(member.id());
        assert_eq!(death["cause"], "oom_cgroup", "{death}");
        assert_eq!(death["memory"]["limit_cgroup"], cgroup.path(), "{death}");
        assert_eq!(death["trigger"]["comm"], "python3", "{death}");
    }
}
