//! OOM kills: the OOM victim event comes first, then the death with the limit that was reached.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{Guard, MemoryCgroup, Tracer, fixture, slowness};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 48 * MIB;
/// The kernel may reclaim memory for a while before it kills.
const PATIENCE: Duration = Duration::from_secs(20);

/// A fixture in the cgroup that leaks when it is released.
fn leaker(cgroup: &MemoryCgroup, mode: &str) -> Guard {
    Guard::spawn(cgroup.enter(fixture().arg(mode)))
}

fn of_kind(findings: &[Value], kind: &str, pid: u32) -> Vec<usize> {
    let fits = |one: &Value| one["kind"] == kind && one["process"]["pid"] == pid;
    (0..findings.len())
        .filter(|&index| fits(&findings[index]))
        .collect()
}

fn oom_death(tracer: &mut Tracer, pid: u32) -> Value {
    tracer.wait_for("the victim's death", PATIENCE, |one| {
        one["kind"] == "death" && one["process"]["pid"] == pid
    })
}

/// Checks a death by the limit of this cgroup.
fn assert_oom(death: &Value, cgroup: &MemoryCgroup) {
    assert_eq!(death["cause"], "oom_cgroup", "{death}");
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    assert_eq!(death["exit_code"], Value::Null, "{death}");
    assert_eq!(death["memory"]["limit_bytes"], LIMIT, "{death}");
    assert_eq!(death["memory"]["limit_cgroup"], cgroup.path(), "{death}");
    let peak = death["memory"]["peak_bytes"].as_u64().unwrap();
    assert!((LIMIT / 2..LIMIT + 16 * MIB).contains(&peak), "{death}");
}

#[test]
fn a_leak_past_the_limit_is_an_oom_victim_event_and_then_a_death() {
    let cgroup = MemoryCgroup::new("tracer-test-leak", LIMIT);
    let mut tracer = Tracer::start::<&str>([]);
    let mut process = leaker(&cgroup, "leak");
    assert_eq!(process.line(), "ready");
    process.wait();
    let pid = process.pid();
    let death = oom_death(&mut tracer, pid);
    assert_oom(&death, &cgroup);
    assert_eq!(death["trigger"]["pid"], pid, "{death}");
    assert_eq!(death["trigger"]["comm"], "fixture", "{death}");
    let findings = tracer.stop().findings;
    let (events, deaths) = (
        of_kind(&findings, "oom", pid),
        of_kind(&findings, "death", pid),
    );
    assert_eq!((events.len(), deaths.len()), (1, 1));
    assert!(events[0] < deaths[0], "the death came first");
    let event = &findings[events[0]];
    assert_eq!(event["cause"], "oom_cgroup", "{event}");
    assert_eq!(event["trigger"]["pid"], pid, "{event}");
    // The victims of other tests count too.
    let end = findings.last().unwrap();
    assert!(end["oom_kills"].as_u64().unwrap() >= 1, "{end}");
}

#[test]
fn the_limit_of_a_parent_cgroup_is_named() {
    let parent = MemoryCgroup::new("tracer-test-parent", LIMIT);
    let child = parent.child("child", None);
    let mut tracer = Tracer::start::<&str>([]);
    let mut process = leaker(&child, "leak");
    process.wait();
    assert_oom(&oom_death(&mut tracer, process.pid()), &parent);
}

#[test]
fn the_cgroups_own_limit_is_named_below_a_larger_one() {
    let parent = MemoryCgroup::new("tracer-test-larger", 4 * LIMIT);
    let child = parent.child("child", Some(LIMIT));
    let mut tracer = Tracer::start::<&str>([]);
    let mut process = leaker(&child, "leak");
    process.wait();
    assert_oom(&oom_death(&mut tracer, process.pid()), &child);
}

#[test]
fn a_leak_by_any_thread_is_the_death_of_its_process() {
    let cgroup = MemoryCgroup::new("tracer-test-thread", LIMIT);
    let mut tracer = Tracer::start::<&str>([]);
    let mut process = leaker(&cgroup, "leak-from-thread");
    process.wait();
    let death = oom_death(&mut tracer, process.pid());
    assert_oom(&death, &cgroup);
    assert_eq!(death["trigger"]["pid"], process.pid(), "{death}");
    let findings = tracer.stop().findings;
    assert_eq!(of_kind(&findings, "death", process.pid()).len(), 1);
}

#[test]
fn processes_that_share_memory_die_together() {
    let cgroup = MemoryCgroup::new("tracer-test-shared", LIMIT);
    let mut tracer = Tracer::start_naming(&[("sharing", "fixture leak-shared")], &[]);
    let mut process = leaker(&cgroup, "leak-shared");
    let other: u32 = process.line().parse().unwrap();
    process.wait();
    let deaths = [process.pid(), other].map(|pid| oom_death(&mut tracer, pid));
    for death in &deaths {
        assert_eq!(death["cause"], "oom_cgroup", "{death}");
        assert_eq!(death["memory"]["limit_bytes"], LIMIT, "{death}");
        assert_eq!(death["service"]["name"], "sharing", "{death}");
    }
    let [one, other] = deaths.map(|death| death["incident"].as_u64().unwrap());
    let findings = tracer.stop().findings;
    let states: Vec<(u64, &str)> = findings
        .iter()
        .filter(|one| one["kind"] == "incident" && one["service"]["name"] == "sharing")
        .map(|one| (one["id"].as_u64().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    let ids: BTreeSet<u64> = states.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, BTreeSet::from([one, other]), "{findings:?}");
    if one != other {
        // They died so far apart that the incident of the first was closed.
        assert!(slowness() > 1, "two incidents: {findings:?}");
        let [first, second] = [one.min(other), one.max(other)];
        let at = |what| states.iter().position(|state| *state == what).unwrap();
        assert!(at((first, "closed")) < at((second, "open")), "{states:?}");
    }
}

#[test]
fn a_sigkill_in_a_limited_cgroup_is_not_called_oom() {
    let cgroup = MemoryCgroup::new("tracer-test-killed", LIMIT);
    let mut tracer = Tracer::start(["--all"]);
    let mut process = leaker(&cgroup, "hold");
    assert_eq!(process.line(), "ready");
    process.signal(Signal::KILL);
    process.wait();
    let death = tracer.death_of(process.pid());
    assert_eq!(death["cause"], "killed", "{death}");
    assert_eq!(death["by"]["pid"], std::process::id(), "{death}");
    assert_eq!(death["trigger"], Value::Null, "{death}");
    let findings = tracer.stop().findings;
    assert!(of_kind(&findings, "oom", process.pid()).is_empty());
}
