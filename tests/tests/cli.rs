//! The command line: exit codes, refused arguments, and terminals that hostile process names cannot
//! control.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{Guard, Tracer, binary, fixture, free_port, need_root, run_tracer};

/// Runs the tracer without root and without any capability.
fn ended_as_nobody(args: &[&str]) -> (Option<i32>, String) {
    need_root();
    // The folder of the build may not be open to others.
    let directory = tempfile::Builder::new().tempdir().unwrap();
    let copy = directory.path().join("tracer");
    std::fs::copy(binary(), &copy).unwrap();
    for path in [directory.path(), &copy] {
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, everybody).unwrap();
    }
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ])
        .arg(&copy)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("setpriv (util-linux) is not installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

/// A tracer that prints text, and its first line.
fn text_tracer() -> (Guard, String) {
    need_root();
    let mut tracer =
        Guard::spawn(Command::new(binary()).args(["watch", "--all", "--color", "never"]));
    let first = tracer.line();
    (tracer, first)
}

#[test]
fn a_signal_stops_the_trace_and_its_totals_are_printed() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut tracer = Tracer::start::<&str>([]);
        tracer.signal(signal);
        let run = tracer.finish();
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        let end = run.findings.last().unwrap();
        assert_eq!(end["kind"], "end", "{end}");
        assert_eq!(end["lost"], 0, "{end}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn the_trace_stops_after_the_given_time() {
    let began = Instant::now();
    let mut tracer = Tracer::start(["--for", "1s"]);
    let run = tracer.finish();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let end = run.findings.last().unwrap();
    assert_eq!(end["kind"], "end", "{end}");
    let watched = end["duration_ms"].as_u64().unwrap();
    assert!((900..5000).contains(&watched), "{end}");
}

#[test]
fn fail_on_sets_the_exit_status_if_the_finding_came() {
    let rules = [("victim", "named fail-on-victim")];
    for (service, code) in [("victim", 3), ("nobody-is-called-so", 0)] {
        let args = ["--fail-on", "death", "--service", service];
        let tracer = Tracer::start_naming(&rules, &args);
        let mut victim = Guard::ready(fixture().args(["named", "fail-on-victim"]));
        victim.signal(Signal::KILL);
        victim.wait();
        let run = tracer.stop();
        let deaths = run.findings.iter().filter(|one| one["kind"] == "death");
        assert_eq!(deaths.count(), usize::from(code == 3), "{run:?}");
        assert_eq!(run.status.code(), Some(code), "{run:?}");
    }
}

#[test]
fn an_unknown_fail_on_kind_is_refused_with_a_list_of_the_known_ones() {
    let (status, stdout, stderr) = run_tracer(["watch", "--fail-on", "deaht"]);
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert_eq!(stdout, "");
    for kind in ["deaht", "death", "oom", "connect_failed", "listener_down"] {
        assert!(stderr.contains(kind), "{stderr}");
    }
}

#[test]
fn the_trace_stops_silently_when_its_reader_closes_the_pipe() {
    need_root();
    for format in [&["--json"][..], &["--color", "never"]] {
        let mut child = Command::new(binary())
            .args(["watch", "--all"])
            .args(format)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut String::new()).unwrap();
        drop(reader);
        // Makes the tracer write.
        Guard::spawn(fixture().args(["exit", "1"])).wait();
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{stderr}");
        assert_eq!(stderr, "");
    }
}

#[test]
fn without_root_it_says_what_to_do() {
    for args in [&["watch", "--for", "1s"][..], &["demo"]] {
        let (code, said) = ended_as_nobody(args);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("root"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_broken_configuration_is_shown_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tracer.toml");
    std::fs::write(&path, "[[service]]\nname = \"api\"\ncmdlin = \"x\"\n").unwrap();
    let (status, _, stderr) =
        run_tracer(["watch", "--for", "1s", "--config", path.to_str().unwrap()]);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!("{}:3", path.display())),
        "{stderr}"
    );
    assert!(stderr.contains("cmdlin"), "{stderr}");
}

#[test]
fn a_missing_configuration_is_named() {
    let (status, _, stderr) =
        run_tracer(["watch", "--for", "1s", "--config", "/nowhere/tracer.toml"]);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("/nowhere/tracer.toml"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn the_schema_is_json_and_describes_findings() {
    let (status, stdout, stderr) = run_tracer(["schema"]);
    assert_eq!(status.code(), Some(0), "{stderr}");
    let schema: Value = serde_json::from_str(&stdout).unwrap();
    assert!(schema["$defs"]["Death"]["properties"]["cause"].is_object());
    assert!(schema["properties"]["at"].is_object());
}

#[test]
fn the_doctor_succeeds_on_this_machine() {
    let (status, stdout, stderr) = run_tracer(["doctor"]);
    assert_eq!(status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("self-check"), "{stdout}");
    let (status, stdout, stderr) = run_tracer(["doctor", "--json"]);
    assert_eq!(status.code(), Some(0), "{stderr}");
    let checks: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let find = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(find("self-check")["status"], "ok", "{stdout}");
    assert_eq!(find("exit")["status"], "ok", "{stdout}");
    // Tried even if no proxy runs.
    assert_eq!(find("http")["status"], "ok", "{stdout}");
    assert!(find("tls")["detail"].is_string(), "{stdout}");
    assert!(
        !checks.iter().any(|check| check["status"] == "fail"),
        "{stdout}"
    );
}

#[test]
fn the_doctor_compares_every_kind_of_event_with_proc() {
    let (_, stdout, stderr) = run_tracer(["doctor", "--json"]);
    let checks: Vec<Value> = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    let compared: Vec<&str> = checks
        .iter()
        .filter(|check| check["name"] == "self-check" && check["status"] == "ok")
        .filter_map(|check| check["detail"].as_str())
        .collect();
    for event in [
        "fork: start time, parent, ",
        "exec: start time, ",
        "listen: address, network namespace",
        "listener down: address, ",
        "refused connect: address, ",
        "unix connect: address, ",
        "cut connection: local address, remote address, ",
        "exit: start time, parent, pid in its namespace, uid, ",
        "signal: number, sender, ",
    ] {
        assert!(
            compared.iter().any(|detail| detail.starts_with(event)),
            "{event}: {compared:?}"
        );
    }
}

#[test]
fn services_lists_running_services_and_their_listeners() {
    let address = format!("127.0.0.1:{}", free_port());
    let server = Guard::ready(fixture().args(["listen", &address]));
    let (status, stdout, stderr) = run_tracer(["services", "--json"]);
    assert_eq!(status.code(), Some(0), "{stderr}");
    let services: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let service = services
        .iter()
        .find(|one| {
            one["pids"]
                .as_array()
                .unwrap()
                .contains(&server.pid().into())
        })
        .unwrap();
    let listens = service["listens"].as_array().unwrap();
    assert!(listens.contains(&address.as_str().into()), "{service}");
}

#[test]
fn a_hostile_name_cannot_control_the_terminal() {
    // Escape sequences, line breaks, a carriage return, a change of writing direction, and a C1
    // control sequence.
    let comm = "\x1b[2J\n\u{202e}a\rb";
    let args = ["\x1b]0;owned\x07", "two\nlines", "\u{9b}31m", "\u{202e}txt"];
    let (mut tracer, first) = text_tracer();
    assert!(!first.is_empty());
    let mut process = Guard::ready(fixture().arg("named").arg(comm).args(args));
    process.signal(Signal::KILL);
    process.wait();
    let mark = format!("[{}]", process.pid());
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains(&mark)) {
        let line = tracer.line();
        assert!(!line.is_empty(), "it has exited: {lines:?}");
        lines.push(line);
    }
    tracer.signal(Signal::TERM);
    loop {
        let line = tracer.line();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    assert_eq!(tracer.wait().code(), Some(0));
    for line in &lines {
        assert!(!line.chars().any(is_dangerous), "{line:?}");
    }
    // A line begins with the time, or is indented below its finding.
    let begins_well =
        |line: &String| line.starts_with(|c: char| c.is_ascii_digit() || " ─".contains(c));
    assert!(lines.iter().all(begins_well), "{lines:?}");
}

fn is_dangerous(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn the_demo_shows_the_incident_with_either_proxy() {
    for args in [&["demo", "--builtin-proxy"][..], &["demo"]] {
        let (status, stdout, stderr) = run_tracer(args);
        assert_eq!(status.code(), Some(0), "{stdout}\n{stderr}");
        assert!(stdout.contains("OOM"), "{stdout}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}
