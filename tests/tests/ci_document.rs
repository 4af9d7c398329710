//! `docs/ci.md`: the tests run the rule and the script exactly as they are on the page.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;
use tracer_tests::stack::Nginx;
use tracer_tests::{binary, fixture, free_port};

const PAGE: &str = include_str!("../../docs/ci.md");
/// All runs watch a service of the same name, so they take turns.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// The user's part: starts a server that exits cleanly when nobody has the file `hold` open.
const START: &str = "#!/bin/sh
mkfifo hold
sleep 60 >hold 2>/dev/null &
echo $! >holder
./shop-server listen 127.0.0.1:PORT <hold >said 2>&1 &
echo $! >server
for i in $(seq 400); do grep -q ready said && break; sleep 0.05; done
";

/// The code blocks of one language on the page, in order.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = PAGE.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs the page's script around this smoke test, in a project of its own. Returns its exit code,
/// and the findings that the page's command shows.
fn run(smoke_test: &str) -> (Option<i32>, String) {
    tracer_tests::need_root();
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let port = free_port();
    fs::write(at.join("tracer.toml"), &blocks("toml")[0]).unwrap();
    program(&at.join("smoke.sh"), &blocks("sh")[0]);
    program(&at.join("look.sh"), &blocks("sh")[1]);
    program(
        &at.join("start-stack"),
        &START.replace("PORT", &port.to_string()),
    );
    symlink(fixture().get_program(), at.join("shop-server")).unwrap();
    let bin = at.join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(binary().canonicalize().unwrap(), bin.join("tracer")).unwrap();
    // The test runs as root already.
    program(&bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n");
    let proxy = at.join("proxy");
    fs::create_dir(&proxy).unwrap();
    let nginx = Nginx::before_http(&proxy, port);
    let smoke_test = smoke_test.replace("PROXY", &format!("http://127.0.0.1:{}/", nginx.port()));
    program(
        &at.join("smoke-test"),
        &format!("#!/bin/sh\n{smoke_test}\n"),
    );
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.arg(script).current_dir(at).env("PATH", &path);
        command
    };
    let output = shell("smoke.sh").output().unwrap();
    let look = shell("look.sh").output().unwrap();
    for file in ["holder", "server"] {
        let pid = fs::read_to_string(at.join(file)).unwrap_or_default();
        // It has usually exited already.
        let _ = Command::new("kill").arg(pid.trim()).output();
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        output.status.code(),
        String::from_utf8_lossy(&look.stdout).into_owned() + &said,
    )
}

/// A shell command that waits up to 20 seconds until the tracer has written a finding of this kind.
fn until(kind: &str) -> String {
    let written = format!("grep -q '\"kind\":\"{kind}\"' findings.jsonl");
    format!("for i in $(seq 400); do {written} && break; sleep 0.05; done")
}

#[test]
fn a_run_in_which_nothing_happens_succeeds() {
    let (code, seen) = run("true");
    assert_eq!(code, Some(0), "{seen}");
}

#[test]
fn the_smoke_tests_own_failure_is_the_exit_code() {
    let (code, seen) = run("exit 7");
    assert_eq!(code, Some(7), "{seen}");
}

#[test]
fn a_death_fails_a_smoke_test_that_noticed_nothing() {
    let (code, seen) = run(&format!("kill -KILL $(cat server); {}", until("death")));
    assert_eq!(code, Some(3), "{seen}");
    assert!(seen.contains("\"kind\":\"death\""), "{seen}");
    assert!(seen.contains("\"name\":\"shop\""), "{seen}");
}

#[test]
fn a_failed_request_fails_the_run_even_after_a_clean_stop() {
    let stop = "kill $(cat holder); while kill -0 $(cat server) 2>/dev/null; do sleep 0.05; done";
    let (code, seen) = run(&format!(
        "{stop}; curl -s -o /dev/null PROXY; {}",
        until("request_failed")
    ));
    assert_eq!(code, Some(3), "{seen}");
    assert!(seen.contains("\"kind\":\"request_failed\""), "{seen}");
    let deaths = seen
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|finding| finding["kind"] == "death");
    for death in deaths {
        assert_eq!(death["cause"], "clean", "{death}");
    }
}

#[test]
fn a_tracer_that_cannot_run_fails_the_run() {
    let page = blocks("sh")[0].replace("tracer.toml", "missing.toml");
    assert_ne!(page, blocks("sh")[0], "the page names its configuration");
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    program(&at.join("smoke.sh"), &page);
    for own in ["start-stack", "smoke-test", "sudo"] {
        program(&at.join(own), "#!/bin/sh\nexec \"$@\"\n");
    }
    symlink(binary().canonicalize().unwrap(), at.join("tracer")).unwrap();
    let path = format!("{}:{}", at.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .arg("smoke.sh")
        .current_dir(at)
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("missing.toml"), "{said}");
}
