//! What the options of the command line do: which findings are reported, the exit code, colours;
//! and the schema of the findings.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{Guard, Tracer, need_root, run_tracer};

/// A program that no other test uses. A rule in `tracer.toml` names its service after it.
struct Named {
    directory: tempfile::TempDir,
    name: String,
}

impl Named {
    fn new(what: &str) -> Self {
        let named = Self {
            directory: tempfile::tempdir().unwrap(),
            name: format!("{what}{}", std::process::id()),
        };
        std::fs::copy("/bin/sh", named.path()).unwrap();
        named
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    fn shell(&self, script: &str) -> Guard {
        Guard::spawn(Command::new(self.path()).args(["-c", script]))
    }

    /// Starts a tracer for this service only.
    fn watch(&self, args: &[&str]) -> Tracer {
        let all = [&["--all", "--service", &self.name], args].concat();
        // The command line of the tracer contains the name too.
        let cmdline = format!("{} -c", self.name);
        Tracer::start_naming(&[(&self.name, &cmdline)], &all)
    }
}

#[test]
fn events_just_before_the_stop_are_still_reported() {
    let mut tracer = Tracer::start(["--all"]);
    let mut pids = Vec::new();
    for _ in 0..20 {
        let mut child = Guard::spawn(&mut Command::new("/bin/true"));
        child.wait();
        pids.push(child.pid());
    }
    tracer.signal(Signal::INT);
    let run = tracer.finish();
    for pid in pids {
        let deaths = run
            .findings
            .iter()
            .filter(|f| f["kind"] == "death" && f["process"]["pid"] == pid);
        assert_eq!(deaths.count(), 1, "{pid}: {run:?}");
    }
}

#[test]
fn neither_a_clean_exit_nor_another_service_fails_the_run() {
    let [program, other] = [Named::new("clean"), Named::new("other")];
    let mut tracer = program.watch(&["--fail-on", "death"]);
    other.shell("exit 7").wait();
    let mut child = program.shell("exit 0");
    child.wait();
    tracer.death_of(child.pid());
    let run = tracer.stop();
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let deaths = run.findings.iter().filter(|f| f["kind"] == "death");
    let services: Vec<_> = deaths.map(|f| f["service"]["name"].clone()).collect();
    assert_eq!(
        services,
        [&*program.name],
        "only deaths of the chosen service are reported"
    );
}

#[test]
fn without_all_a_clean_exit_outside_services_is_counted_but_not_reported() {
    let program = Named::new("quiet");
    let tracer = Tracer::start::<&str>([]);
    let mut child = program.shell("exit 0");
    child.wait();
    let run = tracer.stop();
    let of_child = |f: &&Value| f["process"]["pid"] == child.pid();
    assert_eq!(run.findings.iter().filter(of_child).count(), 0);
    let end = run.findings.last().unwrap();
    assert!(end["exits"].as_u64() > Some(0), "{end}");
}

#[test]
fn wrong_arguments_exit_with_2_and_name_the_right_ones() {
    for (args, wants) in [
        (&["watch", "--for", "soon"][..], &["soon", "90s"][..]),
        (&["watch", "--color", "pink"], &["pink", "never"]),
        (&["watch", "--service", "a[b"], &["a[b"]),
        (&["wacht"], &["wacht", "watch"]),
        (&[], &["watch", "doctor"]),
    ] {
        let (status, stdout, stderr) = run_tracer(args);
        assert_eq!(status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(stdout, "", "{args:?}");
        for want in wants {
            assert!(stderr.contains(want), "{args:?}: {stderr}");
        }
    }
}

#[test]
fn the_schema_fits_its_examples_and_no_unknown_kind() {
    let examples = tracer_tests::schema::schema()["examples"]
        .as_array()
        .unwrap();
    for example in examples {
        tracer_tests::schema::check(example);
    }
    for kind in ["start", "oom", "death", "connect_failed", "incident", "end"] {
        assert!(examples.iter().any(|it| it["kind"] == kind), "{kind}");
    }
    let mut wrong = examples[0].clone();
    wrong["kind"] = "strat".into();
    let checked = std::panic::catch_unwind(|| tracer_tests::schema::check(&wrong));
    assert!(checked.is_err(), "an unknown kind fits the schema");
}

#[test]
fn services_lists_running_services_with_listeners_and_memory() {
    need_root();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (status, stdout, stderr) = run_tracer(["services", "--json"]);
    assert_eq!(status.code(), Some(0), "{stderr}");
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let own = Value::from(std::process::id());
    let row = rows
        .iter()
        .find(|row| row["pids"].as_array().unwrap().contains(&own))
        .unwrap_or_else(|| panic!("this test is not listed: {stdout}"));
    let listens = row["listens"].as_array().unwrap();
    assert!(listens.contains(&Value::from(&*address)), "{row}");
    assert!(row["memory_bytes"].as_u64() > Some(1 << 20), "{row}");

    let (status, text, stderr) = run_tracer(["services"]);
    assert_eq!(status.code(), Some(0), "{stderr}");
    let name = row["name"].as_str().unwrap();
    let line = text.lines().find(|line| line.contains(&address));
    let line = line.unwrap_or_else(|| panic!("{address}: {text}"));
    assert!(line.starts_with(name), "{line}");
}

#[test]
fn a_rule_of_the_configuration_names_a_service() {
    need_root();
    let program = Named::new("ruled");
    let mut child = program.shell("echo up; kill -STOP $$");
    assert_eq!(child.line(), "up");
    let config = program.directory.path().join("tracer.toml");
    let rule = format!(
        "[[service]]\nname = \"the ruled one\"\nexe = \"{}\"\n",
        program.name
    );
    std::fs::write(&config, rule).unwrap();
    let (status, stdout, stderr) = run_tracer([
        "services".as_ref(),
        "--json".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
    ]);
    assert_eq!(status.code(), Some(0), "{stderr}");
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let row = rows.iter().find(|row| row["name"] == "the ruled one");
    let row = row.unwrap_or_else(|| panic!("not listed: {stdout}"));
    assert_eq!(row["manager"], "config", "{row}");
    assert_eq!(row["pids"], Value::from(vec![child.pid()]), "{row}");
    let evidence = row["evidence"].as_str().unwrap();
    assert!(evidence.contains("tracer.toml"), "{row}");
}

#[test]
fn colours_are_only_printed_on_request() {
    need_root();
    let coloured = |args: &[&str], no_color: bool| {
        let mut command = Command::new(tracer_tests::binary());
        command.args(["watch", "--for", "100ms"]).args(args);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout.contains(&0x1b)
    };
    assert!(!coloured(&[], false), "a pipe is not a terminal");
    assert!(!coloured(&["--color", "never"], false));
    assert!(coloured(&["--color", "always"], false));
    assert!(coloured(&["--color", "always"], true), "the option wins");
}
