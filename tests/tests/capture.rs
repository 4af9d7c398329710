//! `tracer record`, `watch --record` and `replay` on the real kernel: a replay prints the same
//! bytes as the live run, from one file, several files, a file that is being written, or a pipe.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tracer_tests::stack::{Nginx, Supervisor, worker_command};
use tracer_tests::{MemoryCgroup, Program, binary, free_port, need_root, run_tracer, wait_until};

/// Runs a process that crashes, and returns its pid.
fn crashes() -> u32 {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "ulimit -c 0; kill -SEGV $$"])
        .spawn()
        .unwrap();
    child.wait().unwrap();
    child.id()
}

/// A child process. Dropping it kills it.
struct Killed(Child);

impl Killed {
    #[track_caller]
    fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails when it has exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn path_of(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[track_caller]
fn replay(args: &[&str]) -> (String, String) {
    let all = ["replay"].iter().chain(args);
    let (status, out, err) = run_tracer(all);
    assert!(status.success(), "{err}");
    (out, err)
}

fn death_of(pid: u32) -> impl Fn(&str) -> bool {
    move |line| {
        let finding: Value = serde_json::from_str(line).unwrap();
        finding["kind"] == "death" && finding["process"]["pid"] == pid
    }
}

#[test]
fn a_replay_prints_what_was_printed_live() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let cgroup = MemoryCgroup::new("recorded-oom", 128 << 20);
    let command = worker_command(Some(&cgroup));
    let _supervisor = Supervisor::start(folder.path(), "recorded-oom", &command, port);
    let nginx = Nginx::before_http(folder.path(), port);
    let before = nginx.wait_for(200).number("pid");

    let config = path_of(folder.path(), "tracer.toml");
    let rule = format!("[[service]]\nname = \"shop\"\nport = {port}\n");
    fs::write(&config, rule).unwrap();
    let json = path_of(folder.path(), "json.capture");
    let text = path_of(folder.path(), "text.capture");
    let watch = |name, args: &[&str]| {
        let common = ["watch", "--config", &config];
        let program = Program::start(folder.path(), name, common.iter().chain(args));
        wait_until("the first output", Duration::from_secs(20), || {
            (!program.stdout().is_empty()).then_some(())
        });
        program
    };
    let mut by_json = watch("json", &["--json", "--record", &json]);
    let mut by_text = watch("text", &["--record", &text]);
    // A replay uses the rules in the capture.
    fs::remove_file(&config).unwrap();

    assert_eq!(nginx.get("/leak").status, 502);
    nginx.wait_for(502);
    assert_ne!(nginx.wait_for(200).number("pid"), before);
    by_json.prints("\"state\":\"closed\"");
    by_text.prints("closed · shop");
    assert!(by_json.stop().success());
    assert!(by_text.stop().success());

    let live = by_json.stdout();
    for kind in [
        "oom",
        "death",
        "listener_down",
        "connect_failed",
        "incident",
    ] {
        assert!(
            live.contains(&format!("\"kind\":\"{kind}\"")),
            "{kind} in {live}"
        );
    }
    let summary = by_json.stderr();
    assert!(summary.contains("tracer: recorded "), "{summary}");
    let (replayed, said) = replay(&["--json", &json]);
    assert_eq!(replayed, live);
    assert_eq!(said, "");
    let (replayed, _) = replay(&["--json", "--speed", "1000", &json]);
    assert_eq!(replayed, live);
    let (replayed, said) = replay(&[&text]);
    assert_eq!(replayed, by_text.stdout());
    assert_eq!(said, "");
    let mode = fs::metadata(&json).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Filters choose which of the findings are shown.
    let (shop, _) = replay(&["--json", "--service", "shop", &json]);
    assert!(shop.contains("\"kind\":\"death\"") && shop.lines().count() < live.lines().count() + 1);
    let closed: Value = live
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .find(|f: &Value| f["state"] == "closed")
        .unwrap();
    let at = closed["at"].as_str().unwrap();
    let (after, _) = replay(&["--json", "--since", at, &json]);
    assert!(after.contains("\"state\":\"closed\"") && !after.contains("\"kind\":\"oom\""));
    let (early, _) = replay(&["--json", "--until", at, &json]);
    assert!(early.contains("\"kind\":\"oom\""));
    let (status, _, _) = run_tracer(["replay", "--fail-on", "oom,death", &json]);
    assert_eq!(status.code(), Some(3));
}

#[test]
fn a_capture_is_followed_while_it_is_written() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let capture = path_of(folder.path(), "a.capture");
    let mut recorder = Program::start(folder.path(), "record", ["record", "-o", &capture]);
    recorder.says("recording to");
    let follow = ["replay", "--json", "--follow", &capture];
    let mut follower = Program::start(folder.path(), "follow", follow);
    follower.prints("\"kind\":\"start\"");
    let pid = crashes();
    wait_until("the death", Duration::from_secs(5), || {
        follower.stdout().lines().any(death_of(pid)).then_some(())
    });
    assert!(recorder.stop().success());
    assert_eq!(recorder.stdout(), "");
    assert!(follower.wait_for_exit().success());
    let (replayed, _) = replay(&["--json", &capture]);
    assert_eq!(follower.stdout(), replayed);
    assert!(
        replayed
            .trim_end()
            .lines()
            .last()
            .unwrap()
            .contains("\"kind\":\"end\"")
    );
}

#[test]
fn a_recording_is_streamed_through_a_pipe() {
    need_root();
    let mut recorder = Killed::spawn(
        Command::new(binary())
            .args(["record", "-o", "-"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("replay.out");
    let mut replay = Killed::spawn(
        Command::new(binary())
            .args(["replay", "--json", "-"])
            .stdin(recorder.0.stdout.take().unwrap())
            .stdout(fs::File::create(&out).unwrap()),
    );
    let lines = || fs::read_to_string(&out).unwrap();
    wait_until("the first output", Duration::from_secs(20), || {
        lines().contains("\"kind\":\"start\"").then_some(())
    });
    let pid = crashes();
    wait_until("the death", Duration::from_secs(5), || {
        lines().lines().any(death_of(pid)).then_some(())
    });
    // A recorder whose reader has closed the pipe exits.
    replay.0.kill().unwrap();
    replay.0.wait().unwrap();
    let status = wait_until("the exit of the recorder", Duration::from_secs(10), || {
        recorder.0.try_wait().unwrap()
    });
    assert!(status.success(), "{status}");
}

#[test]
fn rotation_bounds_the_size_of_a_recording() {
    need_root();
    let folder = tempfile::tempdir().unwrap();
    let capture = path_of(folder.path(), "a.capture");
    let args = ["record", "-o", &capture, "--rotate", "1M", "--keep", "3"];
    let mut recorder = Program::start(folder.path(), "record", args);
    recorder.says("recording to");
    let sizes = || -> Vec<u64> {
        fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_str().unwrap().starts_with("a.capture"))
            // The recorder may remove the oldest file at this moment.
            .filter_map(|entry| Some(entry.metadata().ok()?.len()))
            .collect()
    };
    let last = format!("{capture}.4");
    let mut noise = Noise(1);
    while !Path::new(&last).exists() {
        let sizes = sizes();
        assert!(sizes.len() <= 4, "{sizes:?}");
        Command::new("/bin/true")
            .arg(noise.text(4000))
            .status()
            .unwrap();
    }
    let pid = crashes();
    assert!(recorder.stop().success());
    let sizes = sizes();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(
        sizes.iter().all(|&size| size < (1 << 20) + (512 << 10)),
        "{sizes:?}"
    );
    let summary = recorder.stderr();
    assert!(summary.contains("5 files"), "{summary}");

    let older = [".3", ".4"].map(|ending| format!("{capture}{ending}"));
    let (findings, said) = replay(&["--json", &capture, &older[1], &older[0]]);
    assert!(said.contains("begins with file 2"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(findings.lines().any(death_of(pid)));
    let kinds = |kind: &str| findings.matches(&format!("\"kind\":\"{kind}\"")).count();
    assert_eq!((kinds("start"), kinds("end")), (1, 1));
    // Running services are known, though they started before the oldest file that is left.
    let start: Value = serde_json::from_str(findings.lines().next().unwrap()).unwrap();
    assert!(!start["services"].as_array().unwrap().is_empty());
}

/// Text that compresses badly.
struct Noise(u64);

impl Noise {
    fn text(&mut self, length: usize) -> String {
        let letter = |_| {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(
                b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-"
                    [(self.0 >> 58) as usize],
            )
        };
        (0..length).map(letter).collect()
    }
}

#[test]
fn bad_input_is_named_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = path_of(folder.path(), name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let text = write("notes.txt", b"Dear diary,\n");
    let newer = {
        let sample = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tracer/crates/capture/src/tests/samples/v1.capture"
        );
        let mut bytes = fs::read(sample).unwrap();
        // The checksum shows that the version is damaged, so it is not believed.
        bytes[4] = 2;
        write("damaged.capture", &bytes)
    };
    let missing = path_of(folder.path(), "no such file");
    for (path, code, says) in [
        (write("empty", b""), 1, "empty"),
        (write("x.gz", b"\x1f\x8b\x08\x00"), 1, "zcat"),
        (write("x.jsonl", b"{\"v\":1}"), 1, "watch --json"),
        (text.clone(), 1, "not a tracer capture (looks like text)"),
        (path_of(folder.path(), ""), 1, "it is a directory"),
        (missing.clone(), 1, "No such file"),
        (binary().to_str().unwrap().to_owned(), 1, "program"),
        (newer, 0, "damaged bytes at offset 0"),
    ] {
        let (status, _, err) = run_tracer(["replay", &path]);
        assert_eq!(status.code(), Some(code), "{path}: {err}");
        assert!(err.contains(&path) && err.contains(says), "{err}");
        assert!(err.starts_with("tracer: "), "{err}");
    }
    for args in [
        &["replay"][..],
        &["watch", "--record", "-"],
        &["record"],
        &["record", "-o", &missing, "--keep", "3"],
        &["record", "-o", &missing, "--rotate", "12"],
        &["replay", "--since", "yesterday", &text],
        &["replay", "--speed", "0", &text],
    ] {
        let (status, _, err) = run_tracer(args);
        assert_eq!(status.code(), Some(2), "{args:?}: {err}");
    }
    need_root();
    let (status, _, err) = run_tracer(["record", "-o", &text, "--for", "1s"]);
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains("not a capture; move it away"), "{err}");
    assert_eq!(fs::read(&text).unwrap(), b"Dear diary,\n");
}
