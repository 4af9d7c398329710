//! Deaths of every kind: each is reported once, with the right cause, status and sender.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{Guard, Tracer, fixture, slowness};

const LIMIT: Duration = Duration::from_secs(5);

/// A tracer that reports all exits.
fn tracer() -> Tracer {
    Tracer::start(["--all"])
}

/// Runs a fixture until it exits, and returns its death.
fn death(tracer: &mut Tracer, args: &[&str]) -> Value {
    let mut process = Guard::spawn(fixture().args(args));
    process.wait();
    tracer.death_of(process.pid())
}

/// The number of deaths of each pid.
fn deaths_by_pid(findings: &[Value]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings.iter().filter(|one| one["kind"] == "death") {
        *counts
            .entry(finding["process"]["pid"].as_u64().unwrap())
            .or_default() += 1;
    }
    counts
}

#[test]
fn exit_statuses_are_distinguished_from_signals() {
    let mut tracer = tracer();
    for (code, cause) in [(0, "clean"), (1, "error"), (137, "error"), (255, "error")] {
        let death = death(&mut tracer, &["exit", &code.to_string()]);
        assert_eq!(death["cause"], cause, "{death}");
        assert_eq!(death["exit_code"], code, "{death}");
        assert_eq!(death["signal"], Value::Null, "{death}");
        assert_eq!(death["process"]["ppid"], std::process::id(), "{death}");
        assert_eq!(death["process"]["comm"], "fixture", "{death}");
        let cmdline = death["process"]["cmdline"].as_str().unwrap();
        assert!(
            cmdline.ends_with(&format!("fixture exit {code}")),
            "{death}"
        );
    }
}

#[test]
fn the_sender_of_a_signal_is_named() {
    let mut tracer = tracer();
    for (number, name) in [(libc::SIGKILL, "SIGKILL"), (libc::SIGTERM, "SIGTERM")] {
        let mut victim = Guard::ready(fixture().arg("hold"));
        let mut sender = Guard::spawn(fixture().args([
            "kill-as",
            "grim reaper",
            &victim.pid().to_string(),
            &number.to_string(),
        ]));
        assert_eq!(sender.line(), "sent");
        let death = tracer.death_of(victim.pid());
        assert_eq!(death["cause"], "killed", "{death}");
        assert_eq!(death["signal"], name, "{death}");
        assert_eq!(death["core_dumped"], false, "{death}");
        assert_eq!(death["exit_code"], Value::Null, "{death}");
        assert_eq!(death["by"]["pid"], sender.pid(), "{death}");
        assert_eq!(death["by"]["comm"], "grim reaper", "{death}");
        victim.wait();
    }
}

#[test]
fn a_clean_exit_names_the_sender_of_a_stop_signal_only() {
    let mut tracer = tracer();
    let run = |script: &str| {
        let mut shell = Guard::ready(Command::new("bash").args(["-c", script]));
        let pid = shell.pid();
        shell.signal(if script.contains("TERM") {
            Signal::TERM
        } else {
            Signal::USR1
        });
        assert_eq!(shell.line(), "got it");
        shell.wait();
        pid
    };
    let wait = "echo ready; while :; do read -t 0.05; done";
    let asked = run(&format!("trap 'echo got it; exit 0' TERM; {wait}"));
    let death = tracer.death_of(asked);
    assert_eq!(death["cause"], "clean", "{death}");
    assert_eq!(death["by"]["pid"], std::process::id(), "{death}");
    let unasked = run(&format!("trap 'echo got it; exit 0' USR1; {wait}"));
    let death = tracer.death_of(unasked);
    assert_eq!(death["cause"], "clean", "{death}");
    assert_eq!(death["by"], Value::Null, "{death}");
}

#[test]
fn a_kill_after_an_unheeded_sigterm_says_so() {
    let mut tracer = tracer();
    // One catches SIGTERM, one ignores it.
    for trap in ["echo no", ""] {
        let script = format!("trap '{trap}' TERM; echo ready; while :; do read -t 0.05; done");
        let mut stubborn = Guard::ready(Command::new("bash").args(["-c", &script]));
        stubborn.signal(Signal::TERM);
        if !trap.is_empty() {
            assert_eq!(stubborn.line(), "no");
        }
        stubborn.signal(Signal::KILL);
        stubborn.wait();
        let death = tracer.death_of(stubborn.pid());
        assert_eq!(death["cause"], "killed", "{death}");
        assert_eq!(death["by"]["pid"], std::process::id(), "{death}");
        let why = death["why"].as_str().unwrap();
        assert!(why.contains(": it had not stopped "), "{death}");
        assert!(why.contains(" after SIGTERM, up "), "{death}");
    }
}

#[test]
fn a_kill_by_another_process_is_reported_without_all() {
    let mut tracer = Tracer::start::<&str>([]);
    let victim = Guard::ready(fixture().arg("hold"));
    victim.signal(Signal::KILL);
    let death = tracer.death_of(victim.pid());
    assert_eq!(death["by"]["pid"], std::process::id(), "{death}");
}

#[test]
fn crashes_are_reported_with_their_signal() {
    let mut tracer = tracer();
    for (mode, signal) in [("segfault", "SIGSEGV"), ("abort", "SIGABRT")] {
        let death = death(&mut tracer, &[mode]);
        assert_eq!(death["cause"], "crash", "{death}");
        assert_eq!(death["signal"], signal, "{death}");
        assert_eq!(death["core_dumped"], false, "{death}");
    }
}

#[test]
fn a_process_whose_leader_exits_first_dies_once_with_its_last_status() {
    let mut tracer = tracer();
    let mut process = Guard::spawn(fixture().args(["leader-first", "3"]));
    assert_eq!(process.line(), "leader gone");
    process.wait();
    let death = tracer.death_of(process.pid());
    assert_eq!(death["exit_code"], 3, "{death}");
    let counts = deaths_by_pid(&tracer.stop().findings);
    assert_eq!(counts[&process.pid().into()], 1);
}

#[test]
fn two_hundred_threads_that_exit_at_once_are_one_death() {
    let mut tracer = tracer();
    let mut process = Guard::spawn(fixture().args(["threads", "200", "5"]));
    process.wait();
    let death = tracer.death_of(process.pid());
    assert_eq!(death["exit_code"], 5, "{death}");
    let counts = deaths_by_pid(&tracer.stop().findings);
    assert_eq!(counts[&process.pid().into()], 1);
}

#[test]
fn any_thread_may_exit_the_process() {
    let mut tracer = tracer();
    let death = death(&mut tracer, &["exit-from-thread", "4"]);
    assert_eq!(death["exit_code"], 4, "{death}");
    assert_eq!(death["cause"], "error", "{death}");
}

#[test]
fn a_child_that_never_ran_a_program_has_its_parents_command_line() {
    let mut tracer = tracer();
    let mut parent = Guard::spawn(fixture().args(["fork-without-exec", "7"]));
    let child: u32 = parent.line().parse().unwrap();
    parent.release();
    let death = tracer.death_of(child);
    assert_eq!(death["exit_code"], 7, "{death}");
    assert_eq!(death["process"]["ppid"], parent.pid(), "{death}");
    let cmdline = death["process"]["cmdline"].as_str().unwrap();
    assert!(cmdline.ends_with("fixture fork-without-exec 7"), "{death}");
}

#[test]
fn a_reused_pid_is_two_processes() {
    let mut tracer = tracer();
    let mut parent = Guard::spawn(fixture().arg("reuse-pid"));
    let pid: u32 = parent.line().parse().unwrap();
    for (code, last) in [(3, "exit 3 first"), (4, "exit 4 second")] {
        let death = tracer.wait_for("a death of the pid with its own status", LIMIT, |one| {
            one["process"]["pid"] == pid && one["exit_code"] == code
        });
        let cmdline = death["process"]["cmdline"].as_str().unwrap();
        assert!(cmdline.ends_with(last), "{death}");
    }
    let counts = deaths_by_pid(&tracer.stop().findings);
    assert_eq!(counts[&pid.into()], 2);
}

#[test]
fn after_exec_a_process_is_known_by_its_new_program() {
    let mut tracer = tracer();
    let mut process = Guard::ready(fixture().arg("exec-later"));
    process.wait();
    let death = tracer.death_of(process.pid());
    assert_eq!(death["exit_code"], 6, "{death}");
    let cmdline = death["process"]["cmdline"].as_str().unwrap();
    assert!(cmdline.ends_with("fixture exit 6 after-exec"), "{death}");
}

#[test]
fn processes_too_short_lived_for_proc_still_have_their_command_line() {
    let mut tracer = tracer();
    let pids: Vec<(u32, String)> = (0..50)
        .map(|number| {
            let mark = format!("mark-{number}");
            let mut child = Command::new("/bin/true").arg(&mark).spawn().unwrap();
            child.wait().unwrap();
            (child.id(), mark)
        })
        .collect();
    for (pid, mark) in pids {
        let death = tracer.death_of(pid);
        assert_eq!(death["process"]["comm"], "true", "{death}");
        assert_eq!(death["process"]["cmdline"], format!("/bin/true {mark}"));
        assert_eq!(death["process"]["ppid"], std::process::id(), "{death}");
    }
}

#[test]
fn many_quick_processes_are_each_counted_once() {
    // Where the tracer may not run for long, no more than the ring has room for.
    let count = 2000 / slowness();
    let mut tracer = tracer();
    let mut parent = Guard::spawn(fixture().args(["quick", &count.to_string()]));
    let pids: Vec<u32> = parent
        .line()
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), count as usize);
    tracer.death_of(*pids.last().unwrap());
    let run = tracer.stop();
    let counts = deaths_by_pid(&run.findings);
    let deaths = |pid: &u32| counts.get(&u64::from(*pid)).copied().unwrap_or(0);
    let twice = pids.iter().find(|pid| deaths(pid) > 1);
    assert_eq!(twice, None, "reported more than once");
    let end = run.findings.last().unwrap();
    let missing = pids.iter().filter(|pid| deaths(pid) == 0).count();
    // From 7.0 on the kernel may skip a hook; the tracer counts that as lost.
    assert!(missing as u64 <= end["lost"].as_u64().unwrap(), "{end}");
    assert!(
        missing < pids.len() / 10,
        "{missing} deaths were not reported"
    );
}
