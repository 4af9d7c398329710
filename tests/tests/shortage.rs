//! The tracer among those who are short of memory: it stays, and tells.

use std::fs;
use std::time::Duration;

use tracer_tests::{Guard, MemoryCgroup, Tracer, fixture, wait_until};

const MIB: u64 = 1 << 20;
/// The kernel may take its time to give up reclaiming.
const PATIENCE: Duration = Duration::from_secs(20);

/// A number of /proc/PID/status.
fn status(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let words = line.unwrap_or_else(|| panic!("no {field} in {text}"));
    words.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn it_outlives_every_leak_of_the_cgroup_it_shares_and_tells_of_each() {
    // Where the tracer is not permitted to stand last, the kernel kills the largest: each leak, as
    // long as the tracer takes less than half of what there is.
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
fn what_it_needs_is_locked_in_memory() {
    let tracer = Tracer::start::<&str>([]);
    wait_until("memory is locked", PATIENCE, || {
        (status(tracer.pid(), "VmLck:") > 0).then_some(())
    });
    // Locking must not bring in what it never uses.
    let resident = status(tracer.pid(), "VmRSS:") * 1024;
    assert!(resident < 24 * MIB, "{resident} bytes");
    assert!(tracer.stop().status.success());
}
