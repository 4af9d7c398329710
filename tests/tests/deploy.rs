//! `tracer deploy` with scripts that restart a real stack.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tracer_tests::stack::deployment::{Site, Under};
use tracer_tests::stack::kill_by_script;
use tracer_tests::tmux::Tmux;
use tracer_tests::{binary, need_root, run_tracer, wait_until};

/// A unique name for the service of a test: tests that run at the same time see each other's
/// services.
fn name(under: Under, story: &str) -> String {
    match under {
        Under::Supervisor => format!("deploy-s-{story}"),
        Under::Pm2 => format!("deploy-p-{story}"),
    }
}

#[track_caller]
fn a_good_restart(under: Under) {
    let site = Site::start(&name(under, "good"), under, true);
    let before = site.worker();
    let deployed = site.deploy("worker.js", "10s", &[]);
    assert_eq!(deployed.status.code(), Some(0), "{deployed:#?}");
    assert!(deployed.stdout.ends_with("deployed\n"), "{deployed:#?}");
    assert!(!deployed.stdout.contains("deployment"), "{deployed:#?}");
    assert!(
        deployed.stderr.contains("deployment succeeded"),
        "{deployed:#?}"
    );
    let service = deployed.service();
    assert_eq!(service["asked_for"], 1, "{deployed:#?}");
    assert_eq!(service["unexpected"], 0, "{deployed:#?}");
    assert_eq!(service["ended"][0]["pid"], before, "{deployed:#?}");
    assert_eq!(service["ended"][0]["asked_for"], true, "{deployed:#?}");
    assert_eq!(service["ended"][0]["cause"], "clean", "{deployed:#?}");
    assert_eq!(service["new"][0], site.worker(), "{deployed:#?}");
    let listener = &service["listeners"][0];
    assert_eq!(listener["address"], site.address(), "{deployed:#?}");
    assert_eq!(listener["state"], "back", "{deployed:#?}");
    // Its warm-up is 800 ms.
    assert!(
        listener["down_ms"].as_f64().unwrap() > 700.0,
        "{deployed:#?}"
    );
    let memory = &service["memory"];
    assert_eq!(memory["limit_bytes"], 128 << 20, "{deployed:#?}");
    assert!(
        memory["peak_bytes"].as_u64().unwrap() > 10 << 20,
        "{deployed:#?}"
    );
    let marks = deployed.report["marks"]["items"].as_array().unwrap();
    assert_eq!(marks.len(), 2, "{deployed:#?}");
}

#[track_caller]
fn a_release_that_dies_on_start(under: Under) {
    let site = Site::start(&name(under, "dies"), under, false);
    let deployed = site.deploy("release_dies.js", "12s", &[]);
    assert_eq!(deployed.status.code(), Some(3), "{deployed:#?}");
    assert!(deployed.stderr.contains("crash loop"), "{deployed:#?}");
    let service = deployed.service();
    assert_eq!(service["crash_loop"], true, "{deployed:#?}");
    assert_eq!(service["asked_for"], 1, "{deployed:#?}");
    assert!(
        service["unexpected"].as_u64().unwrap() >= 3,
        "{deployed:#?}"
    );
    assert_eq!(
        service["listeners"][0]["state"], "not_back",
        "{deployed:#?}"
    );
    assert_eq!(
        deployed.failures(),
        ["death", "listener_down"],
        "{deployed:#?}"
    );
}

#[track_caller]
fn a_release_that_is_oom_killed_under_load(under: Under) {
    let site = Site::start(&name(under, "leaks"), under, true);
    let _load = site.load();
    let deployed = site.deploy("release_leaks.js", "15s", &[]);
    assert_eq!(deployed.status.code(), Some(3), "{deployed:#?}");
    let service = deployed.service();
    let ended = service["ended"].as_array().unwrap();
    assert_eq!(ended[0]["asked_for"], true, "{deployed:#?}");
    let oom = ended.iter().find(|it| it["cause"] == "oom_cgroup");
    let oom = oom.unwrap_or_else(|| panic!("no OOM kill: {deployed:#?}"));
    assert_eq!(oom["asked_for"], false, "{deployed:#?}");
    assert!(
        service["memory"]["peak_bytes"].as_u64().unwrap() > 64 << 20,
        "{deployed:#?}"
    );
    assert_eq!(service["memory"]["limit_bytes"], 128 << 20, "{deployed:#?}");
    let failures = deployed.failures();
    assert_eq!(failures[0], "death", "{deployed:#?}");
    assert!(failures.contains(&"request_failed"), "{deployed:#?}");
    let requests = deployed.verdict()["requests"].as_array().unwrap();
    let because = |text: &str| {
        requests.iter().any(|it| {
            it["because"]
                .as_str()
                .is_some_and(|because| because.contains(text))
        })
    };
    assert!(because("OOM"), "{deployed:#?}");
}

#[track_caller]
fn a_release_that_never_listens(under: Under) {
    let site = Site::start(&name(under, "deaf"), under, false);
    let deployed = site.deploy("release_deaf.js", "3s", &[]);
    assert_eq!(deployed.status.code(), Some(3), "{deployed:#?}");
    let service = deployed.service();
    assert_eq!(service["asked_for"], 1, "{deployed:#?}");
    assert_eq!(service["unexpected"], 0, "{deployed:#?}");
    assert_eq!(service["crash_loop"], false, "{deployed:#?}");
    assert_eq!(
        service["listeners"][0]["state"], "not_back",
        "{deployed:#?}"
    );
    assert_eq!(deployed.failures(), ["listener_down"], "{deployed:#?}");
    assert!(
        deployed.stderr.contains("NOT listening again"),
        "{deployed:#?}"
    );
}

#[test]
fn a_good_restart_under_supervisord_is_good() {
    a_good_restart(Under::Supervisor);
}

#[test]
fn a_good_restart_under_pm2_is_good() {
    a_good_restart(Under::Pm2);
}

#[test]
fn a_release_that_dies_on_start_under_supervisord_fails_as_a_crash_loop() {
    a_release_that_dies_on_start(Under::Supervisor);
}

#[test]
fn a_release_that_dies_on_start_under_pm2_fails_as_a_crash_loop() {
    a_release_that_dies_on_start(Under::Pm2);
}

#[test]
fn a_release_that_is_oom_killed_under_supervisord_fails_with_its_requests() {
    a_release_that_is_oom_killed_under_load(Under::Supervisor);
}

#[test]
fn a_release_that_is_oom_killed_under_pm2_fails_with_its_requests() {
    a_release_that_is_oom_killed_under_load(Under::Pm2);
}

#[test]
fn a_release_that_never_listens_under_supervisord_fails() {
    a_release_that_never_listens(Under::Supervisor);
}

#[test]
fn a_release_that_never_listens_under_pm2_fails() {
    a_release_that_never_listens(Under::Pm2);
}

#[test]
fn a_kill_by_the_script_is_requested_and_a_kill_by_somebody_else_is_not() {
    let site = Site::start("deploy-kill", Under::Supervisor, false);
    let kill = format!("kill -KILL {}", site.worker());
    let by_script = site.run("12s", &[], &["sh", "-c", &kill]);
    assert_eq!(by_script.status.code(), Some(0), "{by_script:#?}");
    assert_eq!(by_script.service()["asked_for"], 1, "{by_script:#?}");
    assert_eq!(by_script.service()["listeners"][0]["state"], "back");

    let worker = site.worker();
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let command = format!("echo $$ > {}", pid_file.display());
    let by_other = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for_the_end_of(&pid_file);
            kill_by_script(folder.path(), worker);
        });
        site.run("12s", &[], &["sh", "-c", &command])
    });
    assert_eq!(by_other.status.code(), Some(3), "{by_other:#?}");
    assert_eq!(by_other.service()["unexpected"], 1, "{by_other:#?}");
    assert_eq!(by_other.failures(), ["death"], "{by_other:#?}");
}

/// Waits until the command that writes its pid to this file has exited and is reaped.
#[track_caller]
fn wait_for_the_end_of(pid_file: &Path) {
    let limit = Duration::from_secs(20);
    let pid = wait_until("the command to run", limit, || {
        let text = fs::read_to_string(pid_file).ok()?;
        text.strip_suffix('\n')?.parse::<u32>().ok()
    });
    wait_until("the command to exit", limit, || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

#[test]
fn the_commands_own_failure_is_the_exit_code() {
    need_root();
    let run = |command: &[&str]| {
        let args = ["deploy", "--grace", "0s", "--service", "none", "--"];
        let (status, stdout, stderr) = run_tracer(args.iter().chain(command));
        (status.code(), stdout, stderr)
    };
    let (code, stdout, stderr) = run(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(code, Some(7), "{stderr}");
    assert_eq!(stdout, "out\n");
    assert!(
        stderr.starts_with("err\n") && stderr.contains("exited with 7"),
        "{stderr}"
    );

    let (code, _, stderr) = run(&["sh", "-c", "kill -TERM $$"]);
    assert_eq!(code, Some(128 + 15), "{stderr}");
    assert!(stderr.contains("was killed by SIGTERM"), "{stderr}");

    let (code, _, stderr) = run(&["/no/such/program"]);
    assert_eq!(code, Some(127), "{stderr}");
    assert!(stderr.contains("cannot run /no/such/program"), "{stderr}");

    let (code, _, stderr) = run(&["true"]);
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn ctrl_c_in_a_terminal_ends_the_command_and_leaves_nothing_behind() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let tmux = Tmux::start(120, 30, &[("TRACER_RUN_DIR", run.to_str().unwrap())]);
    // Job control gives the deployment its own process group.
    tmux.type_text("set -m; clear\n");
    let nap = format!("sleep {}", 7000 + std::process::id() % 1000);
    let command = format!(
        "{} deploy --service none --grace 60s -- sh -c 'test -t 0 && echo a terminal; {nap} | {nap}'",
        binary().display()
    );
    tmux.type_text(&format!("{command}; echo code $?\n"));
    tmux.wait_for("the command", |shown| shown.contains("a terminal\n"));
    let napping = || {
        let output = Command::new("pgrep")
            .args(["-f", "-x", &nap])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    wait_until("two sleeping processes", Duration::from_secs(5), || {
        (napping() == 2).then_some(())
    });
    let pressed = Instant::now();
    tmux.press(["C-c"]);
    tmux.wait_for("the exit code", |shown| shown.contains("\ncode 130"));
    // Ctrl-C also skips the grace period.
    assert!(pressed.elapsed() < Duration::from_secs(10));
    assert_eq!(napping(), 0);
    assert_eq!(
        fs::read_dir(&run).unwrap().count(),
        0,
        "the control socket was not removed"
    );
}

#[test]
fn a_signal_to_the_tracer_is_passed_to_the_command() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let trap = "trap 'echo caught; exit 5' TERM; echo begun; while :; do sleep 0.05; done";
    let args = [
        "deploy",
        "--service",
        "none",
        "--grace",
        "60s",
        "--",
        "sh",
        "-c",
        trap,
    ];
    let mut tracer = tracer_tests::Program::start(folder.path(), "deploy", args);
    tracer.prints("begun");
    tracer.signal(rustix::process::Signal::TERM);
    assert_eq!(
        tracer.wait_for_exit().code(),
        Some(5),
        "{}",
        tracer.stderr()
    );
    tracer.prints("caught");
}

#[test]
fn github_gets_a_summary_and_only_the_annotations_of_the_tracer() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.md");
    fs::write(&summary, "before\n").unwrap();
    let site = Site::start("deploy-ci", Under::Supervisor, false);
    let script = site.script("release_deaf.js");
    let output = Command::new(binary())
        .args(["deploy", "--service", "deploy-ci", "--grace", "2s", "--"])
        .arg("sh")
        .arg(script)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let errors: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("::error"))
        .collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert!(
        errors[0].contains("deploy-ci no longer listens on"),
        "{stderr}"
    );
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.starts_with("before\n"), "{summary}");
    assert!(summary.contains("deployment FAILED"), "{summary}");
    assert!(summary.contains("NOT listening again"), "{summary}");
}
