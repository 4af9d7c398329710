//! Many events at once: important events are not lost among others, and lost events are counted.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{Guard, Tracer, fixture, free_port};

/// The time that a finding may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The number of failed connects to `port`, by process and error.
fn refused(findings: &[Value], port: u16) -> BTreeMap<String, u64> {
    let mut refused = BTreeMap::new();
    for finding in findings {
        let count = refusals_in(finding, port);
        if count > 0 {
            let by = format!("{} {}", finding["process"]["pid"], finding["error"]);
            *refused.entry(by).or_default() += count;
        }
    }
    refused
}

/// The number of failed connects to `port` that a finding counts.
fn refusals_in(finding: &Value, port: u16) -> u64 {
    let address = format!("127.0.0.1:{port}");
    if finding["kind"] == "connect_failed" && finding["upstream"]["address"] == *address {
        finding["count"].as_u64().unwrap()
    } else {
        0
    }
}

fn lost(findings: &[Value], ring: &str) -> u64 {
    findings
        .iter()
        .filter(|f| f["kind"] == "lost" && f["ring"] == ring)
        .map(|f| f["count"].as_u64().unwrap())
        .sum()
}

fn connect(port: u16) {
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn no_death_is_lost_in_a_storm_of_refused_connects() {
    let mut tracer = Tracer::start(["--all"]);
    let port = free_port();
    let stop = AtomicBool::new(false);
    let made = AtomicU64::new(0);
    let mut pids = Vec::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    connect(port);
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..200 {
            let mut child = Guard::spawn(&mut Command::new("/bin/false"));
            child.wait();
            pids.push(child.pid());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let made = made.into_inner();
    assert!(made > 10_000, "no storm: {made}");
    for &pid in &pids {
        assert_eq!(tracer.death_of(pid)["exit_code"], 1, "{pid}");
    }
    let findings = tracer.stop().findings;
    assert_eq!(lost(&findings, "deaths"), 0);
    let counted = refused(&findings, port);
    // From 7.0 on the kernel may skip hooks; the tracer counts those as lost.
    let least = made.saturating_sub(lost(&findings, "traffic"));
    let by = format!("{} \"refused\"", std::process::id());
    assert_eq!(counted.keys().collect::<Vec<_>>(), [&by], "{counted:?}");
    assert!(
        (least..=made).contains(&counted[&by]),
        "{made}: {findings:?}"
    );
}

#[test]
fn a_tracer_that_was_paused_still_counts_exactly() {
    const CONNECTS: u64 = 30_000;
    let mut tracer = Tracer::start(["--all"]);
    let port = free_port();
    tracer.signal(Signal::STOP);
    for _ in 0..CONNECTS {
        connect(port);
    }
    let mut child = Guard::spawn(&mut Command::new("/bin/false"));
    child.wait();
    tracer.signal(Signal::CONT);
    tracer.death_of(child.pid());
    // Most are only in the counters of the kernel programs. The tracer reads these when it
    // continues.
    let counted = Cell::new(0);
    tracer.wait_for("all connects counted", LIMIT, |finding| {
        counted.set(counted.get() + refusals_in(finding, port));
        counted.get() == CONNECTS
    });
    connect(port);
    let findings = tracer.stop().findings;
    let by = format!("{} \"refused\"", std::process::id());
    let all = BTreeMap::from([(by, CONNECTS + 1)]);
    assert_eq!(refused(&findings, port), all);
    let end = findings.last().unwrap();
    let total: u64 = findings
        .iter()
        .filter(|f| f["kind"] == "lost")
        .map(|f| f["count"].as_u64().unwrap())
        .sum();
    assert_eq!(end["lost"], total, "{end}");
}

/// A kernel that is preemptible during a hook does not run the hook again for events in between.
#[test]
fn exits_that_interrupt_the_hook_of_others_are_reported() {
    const COUNT: usize = 3_000;
    let mut tracer = Tracer::start(["--all"]);
    let mut storm = Guard::ready(fixture().args(["preempt", &COUNT.to_string(), "7"]));
    storm.release();
    let pids: BTreeSet<u64> = storm
        .line()
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), COUNT);
    assert!(storm.wait().success());
    tracer.death_of(storm.pid());
    let findings = tracer.stop().findings;
    let mut reported = BTreeMap::new();
    for death in findings.iter().filter(|f| f["kind"] == "death") {
        let pid = death["process"]["pid"].as_u64().unwrap();
        if pids.contains(&pid) && death["exit_code"] == 7 {
            *reported.entry(pid).or_insert(0) += 1;
        }
    }
    assert!(reported.values().all(|&times| times == 1), "reported twice");
    // An exit that interrupts two nested hooks may be lost, but is counted then.
    let missing = (COUNT - reported.len()) as u64;
    assert!(missing <= 3, "{missing} of {COUNT} not reported");
    assert!(
        missing <= lost(&findings, "deaths"),
        "{missing} not counted"
    );
}

/// Pauses the tracer during more exits than its ring holds, and then during `then`.
fn make_it_lose_exits(tracer: &Tracer, then: impl FnOnce()) {
    tracer.signal(Signal::STOP);
    let forks = "i=0; while [ $i -lt 4000 ]; do (:); i=$((i + 1)); done";
    let mut others = Guard::spawn(Command::new("sh").args(["-c", forks]));
    assert!(others.wait().success());
    then();
    tracer.signal(Signal::CONT);
}

#[test]
fn a_lost_death_is_reported_as_soon_as_it_is_noticed() {
    let mut tracer = Tracer::start_naming(&[("lost", "fixture named lost-in-a-storm")], &[]);
    let mut victim = Guard::ready(fixture().args(["named", "lost-in-a-storm"]));
    // It only notices the absence of a process that it knows.
    tracer.catch_up();
    make_it_lose_exits(&tracer, || {
        victim.signal(Signal::KILL);
        victim.wait();
    });
    let death = tracer.death_of(victim.pid());
    assert_eq!(death["cause"], "unknown", "{death}");
    assert_eq!(death["service"]["name"], "lost", "{death}");
    let run = tracer.stop();
    assert!(lost(&run.findings, "deaths") > 0, "{run:?}");
}

/// /proc shows only the processes of the container there: one that is not shown may be alive.
#[test]
fn in_a_container_no_process_is_taken_for_dead() {
    let mut tracer = Tracer::start_contained();
    let blind = &tracer.start_finding()["blind"];
    assert!(blind.to_string().contains("--pid=host"), "{blind}");
    let bystander = Guard::ready(fixture().args(["named", "bystander"]));
    tracer.catch_up();
    make_it_lose_exits(&tracer, || {});
    // Time itself is tested: outside of a container it would report a missing process after a
    // second.
    tracer.watch_for(Duration::from_secs(3));
    bystander.signal(Signal::KILL);
    let death = tracer.death_of(bystander.pid());
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    let run = tracer.stop();
    assert!(lost(&run.findings, "deaths") > 0, "{run:?}");
}

#[test]
fn a_storm_of_processes_does_not_make_it_grow() {
    let tracer = Tracer::start::<&str>([]);
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", tracer.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() << 10
    };
    let storm = || {
        for _ in 0..1_500 {
            Guard::spawn(&mut Command::new("/bin/true")).wait();
        }
    };
    storm();
    let before = resident();
    storm();
    let after = resident();
    assert!(after < 200 << 20, "{after} bytes");
    assert!(after < before + (8 << 20), "{before} → {after} bytes");
}
