//! `tracer mark` and `tracer status`, and the control socket that they use.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{Program, binary, need_root, run_tracer};

/// Runs the tracer with its own run directory.
fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(args).env("TRACER_RUN_DIR", folder.join("run"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running `tracer record`, and its capture.
#[track_caller]
fn recording(folder: &Path, name: &str) -> (Program, String) {
    need_root();
    let capture = folder.join(format!("{name}.trc"));
    let capture = capture.to_str().unwrap().to_owned();
    let run = folder.join("run");
    let variable = format!("TRACER_RUN_DIR={}", run.display());
    let tracer = binary();
    let args = [
        &variable,
        tracer.to_str().unwrap(),
        "record",
        "-o",
        &capture,
    ];
    let program = Program::start_other(folder, name, "env", args);
    program.says("recording to");
    (program, capture)
}

#[test]
fn a_mark_with_any_label_is_in_the_capture_of_a_running_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, capture) = recording(folder.path(), "one");
    let label = "release 42 \u{1b}[2J\u{202e}<script>\n| `x`";
    let marked = run(folder.path(), &["mark", label]);
    assert!(marked.status.success(), "{marked:?}");
    let want = format!("marked tracer[{}] (record)\n", recorder.pid());
    assert_eq!(text(&marked.stdout), want);
    assert!(recorder.stop().success());

    let shown = "release 42 \\x1b[2J\\u{202e}<script>\\n| `x`";
    let (_, json, _) = run_tracer(["replay", "--json", &capture]);
    let marks: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|finding: &Value| finding["kind"] == "mark")
        .collect();
    assert_eq!(marks.len(), 1, "{json}");
    tracer_tests::schema::check(&marks[0]);
    assert_eq!(marks[0]["label"], shown);
    let (_, lines, _) = run_tracer(["replay", &capture]);
    assert!(
        lines.contains(&format!("MARK  tracer         {shown}")),
        "{lines}"
    );
    let (_, page, _) = run_tracer(["report", "--format", "html", &capture]);
    assert!(
        page.contains("&lt;script&gt;\\n|") && !page.contains("<script>\\n"),
        "{page}"
    );
    let (_, ticket, _) = run_tracer(["report", "--format", "md", &capture]);
    assert!(
        ticket.contains("&lt;script&gt;\\\\n\\| \\`x\\`"),
        "{ticket}"
    );
}

#[test]
fn status_lists_every_running_tracer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, capture) = recording(folder.path(), "one");
    let (mut two, _) = recording(folder.path(), "two");
    let sockets = folder.path().join("run");
    for tracer in [&one, &two] {
        let socket = sockets.join(format!("{}.sock", tracer.pid()));
        assert_eq!(
            fs::metadata(socket).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let json = run(folder.path(), &["status", "--json"]);
    assert!(json.status.success(), "{json:?}");
    let all: Value = serde_json::from_slice(&json.stdout).unwrap();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    let first = all.iter().find(|it| it["pid"] == one.pid()).unwrap();
    assert_eq!(first["command"], "record");
    assert_eq!(first["recording"], capture);
    assert_eq!(first["findings"]["start"], 1);
    assert_eq!(first["events_lost"], 0);
    assert!(first["hooks_armed"].as_u64().unwrap() > 5, "{first}");
    assert!(first["services"].as_u64().unwrap() > 0, "{first}");

    // A killed tracer leaves its socket behind, which does no harm.
    one.signal(Signal::KILL);
    one.wait_for_exit();
    let stale = sockets.join(format!("{}.sock", one.pid()));
    assert!(stale.exists());
    let status = run(folder.path(), &["status"]);
    let status = text(&status.stdout);
    assert!(
        status.starts_with(&format!("tracer[{}] record", two.pid())),
        "{status}"
    );
    assert_eq!(status.matches("tracer[").count(), 1, "{status}");
    assert!(!stale.exists());

    assert!(two.stop().success());
    let none = run(folder.path(), &["status"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("no running tracer"), "{none:?}");
    assert_eq!(fs::read_dir(sockets).unwrap().count(), 0);
}

#[test]
fn malformed_requests_do_not_block_a_tracer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = recording(folder.path(), "one");
    let socket = folder.path().join(format!("run/{}.sock", recorder.pid()));
    let silent: Vec<UnixStream> = (0..20)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let mut endless = UnixStream::connect(&socket).unwrap();
    endless
        .set_write_timeout(Some(std::time::Duration::from_millis(200)))
        .unwrap();
    // Fails once the tracer closes the connection or reads no more.
    let _ = endless.write_all(&vec![b'{'; 4 << 20]);
    drop((silent, endless));
    let marked = run(folder.path(), &["mark", "still here"]);
    assert!(marked.status.success(), "{marked:?}");
    assert!(recorder.stop().success());
}

#[test]
fn a_run_directory_that_cannot_be_made_is_only_a_warning() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("run"), "a file").unwrap();
    let watched = run(folder.path(), &["watch", "--for", "1s"]);
    assert!(watched.status.success(), "{watched:?}");
    let stderr = text(&watched.stderr);
    assert!(stderr.contains("can't reach this tracer"), "{stderr}");
    assert!(
        text(&watched.stdout).contains("end · watched"),
        "{watched:?}"
    );
}
