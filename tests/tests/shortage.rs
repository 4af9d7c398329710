//! The tracer in a shortage of memory: it survives and reports.

use std::fs;
use std::time::Duration;

use tracer_tests::{Guard, MemoryCgroup, Tracer, fixture, wait_until};

const MIB: u64 = 1 << 20;
/// The kernel may reclaim memory for a while before it kills.
const PATIENCE: Duration = Duration::from_secs(20);

/// A number in /proc/PID/status.
fn status(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let words = line.unwrap_or_else(|| panic!("no {field} in {text}"));
    words.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn the_tracer_survives_every_leak_in_its_cgroup_and_reports_each() {
    // Where the tracer may not lower its OOM score, the kernel kills the largest process: the leak,
    // as long as the tracer takes less than half of the memory.
    let cgroup = MemoryCgroup::new("tracer-test-starved", 96 * MIB);
    let mut tracer = Tracer::start_in(&cgroup);
    for _ in 0..5 {
        let mut leaker = Guard::spawn(cgroup.enter(fixture().arg("leak")));
        leaker.wait();
        let pid = leaker.pid();
        let death = tracer.wait_for("the leaker's death", PATIENCE, |one| {
            one["kind"] == "death" && one["process"]["pid"] == pid
        });
        assert_eq!(death["cause"], "oom_cgroup", "{death}");
        assert_eq!(death["memory"]["limit_cgroup"], cgroup.path(), "{death}");
    }
    assert!(tracer.stop().status.success());
}

#[test]
fn the_memory_that_the_tracer_needs_is_locked() {
    let tracer = Tracer::start::<&str>([]);
    wait_until("memory is locked", PATIENCE, || {
        (status(tracer.pid(), "VmLck:") > 0).then_some(())
    });
    // Locking must not load memory that it never uses.
    let resident = status(tracer.pid(), "VmRSS:") * 1024;
    assert!(resident < 24 * MIB, "{resident} bytes");
    assert!(tracer.stop().status.success());
}
