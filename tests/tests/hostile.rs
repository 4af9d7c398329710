//! Names, command lines and paths that try to move the cursor, to forge a line or to break a
//! decoder.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tracer_tests::{Guard, MemoryCgroup, Tracer, binary, free_port, need_root, wait_until};

const LIMIT: Duration = Duration::from_secs(20);

/// Clears the screen, forges a line of the tracer, returns, deletes, rings, changes the writing
/// direction, is invisible, and ends with invalid UTF-8.
const NASTY: &[u8] = b"\x1b[2J\x1b]0;title\x07\n14:30:01.482  OOM   forged\r\x08\x7f\xc2\x9b31m\
    \xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8b\t\xff\xfe";

/// The same for a comm or a file name: at most 15 bytes, without a slash.
const NASTY_NAME: &[u8] = b"\x1b[2J\nOOM \r\xff\xe2\x80\xae";

/// A copy of `sleep` with a nasty name in a nasty directory, for nasty arguments.
struct Nasty {
    directory: tempfile::TempDir,
}

impl Nasty {
    fn new() -> Self {
        let nasty = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(nasty.folder()).unwrap();
        fs::copy("/bin/sleep", nasty.program()).unwrap();
        nasty
    }

    fn folder(&self) -> PathBuf {
        self.directory.path().join(OsStr::from_bytes(NASTY_NAME))
    }

    fn program(&self) -> PathBuf {
        self.folder().join(OsStr::from_bytes(NASTY_NAME))
    }

    fn command(&self, seconds: &str) -> Command {
        let mut command = Command::new(self.program());
        command
            .arg0(OsStr::from_bytes(NASTY))
            .arg(seconds)
            .current_dir(self.folder())
            .env("SUPERVISOR_PROCESS_NAME", OsStr::from_bytes(NASTY))
            .env("SUPERVISOR_GROUP_NAME", OsStr::from_bytes(NASTY))
            .env("SUPERVISOR_ENABLED", "1");
        command
    }
}

/// `tracer watch` with its text in a file.
struct Text {
    child: Child,
    output: PathBuf,
    _directory: tempfile::TempDir,
}

impl Text {
    #[track_caller]
    fn start(args: &[&str]) -> Self {
        need_root();
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("output");
        let child = Command::new(binary())
            .args(["watch", "--all"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .spawn()
            .unwrap();
        let text = Self {
            child,
            output,
            _directory: directory,
        };
        text.wait_for("hooks armed");
        text
    }

    fn read(&self) -> String {
        String::from_utf8(fs::read(&self.output).unwrap()).expect("valid UTF-8")
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        wait_until(&format!("{part:?} in the output"), LIMIT, || {
            self.read().contains(part).then_some(())
        });
    }

    #[track_caller]
    fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.read()
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // Fails when it has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Causes deaths, a short-lived listener and failed connects, all with nasty names.
fn be_nasty(nasty: &Nasty) -> Vec<u32> {
    let mut killed = Guard::spawn(&mut nasty.command("60"));
    let program = format!("/proc/{}/exe", killed.pid());
    wait_until("the nasty program to run", LIMIT, || {
        (fs::read_link(&program).ok()? == nasty.program()).then_some(())
    });
    killed.signal(Signal::KILL);
    killed.wait();
    let mut exited = Guard::spawn(&mut nasty.command("0"));
    exited.wait();

    let socket = nasty.folder().join(OsStr::from_bytes(NASTY_NAME));
    fs::remove_file(&socket).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    assert!(UnixStream::connect(&socket).is_err());
    fs::remove_file(&socket).unwrap();
    assert!(UnixStream::connect(&socket).is_err());
    assert!(TcpStream::connect(("127.0.0.1", free_port())).is_err());
    vec![killed.pid(), exited.pid()]
}

/// Whether a terminal obeys this character instead of showing it, or shows nothing.
fn is_unshowable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{061c}' | '\u{feff}')
}

#[track_caller]
fn assert_every_line_is_its_own(text: &str) {
    for line in text.lines() {
        assert!(!line.chars().any(is_unshowable), "{line:?}");
        // `14:30:01.482  ` or a horizontal rule.
        let time = line.split(' ').next().unwrap();
        let is_time = time.len() == 12 && time.as_bytes()[8] == b'.';
        assert!(is_time || line.starts_with("──"), "{line:?}");
    }
    let forged = |line: &str| line.starts_with("14:30:01.482");
    assert!(!text.lines().any(forged), "{text}");
}

#[test]
fn nothing_from_outside_moves_the_cursor_or_forges_a_line() {
    let nasty = Nasty::new();
    let text = Text::start(&["--color", "never"]);
    let pids = be_nasty(&nasty);
    for pid in &pids {
        text.wait_for(&format!("[{pid}]"));
    }
    let text = text.stop();
    assert_every_line_is_its_own(&text);
    assert!(
        text.contains("\\x1b[2J"),
        "no nasty name was shown:\n{text}"
    );
}

#[test]
fn with_colours_only_its_own_sequences_come_through() {
    let nasty = Nasty::new();
    let text = Text::start(&["--color", "always"]);
    for pid in be_nasty(&nasty) {
        text.wait_for(&format!("[{pid}]"));
    }
    let text = without_colours(&text.stop());
    assert_every_line_is_its_own(&text);
    assert!(
        text.contains("\\x1b[2J"),
        "no nasty name was shown:\n{text}"
    );
}

/// Removes `ESC [ … m`; other sequences stay.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';');
        rest = match end {
            Some(end) if after[end..].starts_with('m') => &after[end + 1..],
            _ => {
                plain.push_str("\x1b[");
                after
            }
        };
    }
    plain + rest
}

#[test]
fn json_keeps_each_nasty_name_on_one_line() {
    let nasty = Nasty::new();
    let mut tracer = Tracer::start(["--all"]);
    let pids = be_nasty(&nasty);
    for &pid in &pids {
        let death = tracer.death_of(pid);
        let comm = death["process"]["comm"].as_str().unwrap();
        assert!(comm.contains("[2J") && comm.contains("OOM"), "{death}");
        let cmdline = death["process"]["cmdline"].as_str().unwrap();
        assert!(cmdline.contains("forged"), "{death}");
    }
    // Each line was parsed already. None may be forged.
    let run = tracer.stop();
    let of_ours = |kind: &str| {
        let findings = run.findings.iter().filter(|f| f["kind"] == kind);
        findings
            .filter(|f| pids.iter().any(|&pid| f["process"]["pid"] == pid))
            .count()
    };
    assert_eq!((of_ours("death"), of_ours("oom")), (pids.len(), 0));
}

#[test]
fn other_commands_show_nasty_processes_safely_too() {
    let nasty = Nasty::new();
    let _running = Guard::spawn(&mut nasty.command("60"));
    let socket = nasty
        .directory
        .path()
        .join(OsStr::from_bytes(b"s\x1b[2J\n"));
    let _listener = UnixListener::bind(&socket).unwrap();
    for args in [
        &["services"][..],
        &["doctor", "--color", "never"],
        &["watch", "--for", "100ms", "--color", "never"],
    ] {
        let output = Command::new(binary()).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines() {
            assert!(!line.chars().any(is_unshowable), "{args:?}: {line:?}");
        }
    }
}

#[test]
fn huge_command_lines_are_truncated_not_dropped() {
    let mut tracer = Tracer::start(["--all"]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exit 3", "first"]);
    // Half of what the kernel accepts.
    command.args(std::iter::repeat_n("x".repeat(100_000), 8));
    let mut child = Guard::spawn(&mut command);
    child.wait();
    let death = tracer.death_of(child.pid());
    assert_eq!(death["exit_code"], 3, "{}", death["exit_code"]);
    let cmdline = death["process"]["cmdline"].as_str().unwrap();
    assert!(
        cmdline.starts_with("/bin/sh -c exit 3 first x"),
        "{}",
        &cmdline[..100.min(cmdline.len())]
    );
    assert!(cmdline.len() <= 8192, "{} bytes", cmdline.len());
}

#[test]
fn a_process_without_any_argument_has_a_name() {
    let mut tracer = Tracer::start(["--all"]);
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("nameless");
    fs::copy("/bin/sh", &program).unwrap();
    let mut child = Guard::spawn(Command::new(&program).arg0("").args(["", ""]));
    child.wait();
    let death = tracer.death_of(child.pid());
    assert_eq!(death["process"]["comm"], "nameless", "{death}");
    assert!(
        !death["service"]["name"].as_str().unwrap().is_empty(),
        "{death}"
    );
}

#[test]
fn an_oom_kill_in_a_cgroup_with_a_nasty_name_is_reported_with_that_name() {
    // The kernel accepts no newline in the name of a cgroup.
    let name = "tracer-\u{1b}[2J oom-kill:constraint=CONSTRAINT_NONE,task=x,pid=1";
    let cgroup = MemoryCgroup::new(name, 24 << 20);
    let mut tracer = Tracer::start(["--all"]);
    let mut leak = Command::new("/bin/sh");
    leak.args(["-c", "x=x; while :; do x=$x$x; done"]);
    let mut child = Guard::spawn(cgroup.enter(&mut leak));
    child.wait();
    let death = tracer.death_of(child.pid());
    assert_eq!(death["cause"], "oom_cgroup", "{death}");
    assert_eq!(death["memory"]["limit_bytes"], 24 << 20, "{death}");
    assert_eq!(death["memory"]["limit_cgroup"], cgroup.path(), "{death}");
}

#[test]
fn a_program_that_forges_the_kernels_log_causes_no_finding() {
    let mut tracer = Tracer::start(["--all"]);
    let own = std::process::id();
    let line = format!(
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
         oom_memcg=/forged,task_memcg=/forged,task=x,pid={own},uid=0\n"
    );
    write_to(Path::new("/dev/kmsg"), line.as_bytes());
    let mut child = Guard::spawn(&mut Command::new("/bin/false"));
    child.wait();
    let death = tracer.death_of(child.pid());
    assert_eq!(death["cause"], "error", "{death}");
    let findings = tracer.stop().findings;
    // Other tests cause OOM kills at the same time.
    let forged = |f: &Value| {
        f.to_string().contains("/forged") || (f["kind"] == "oom" && f["process"]["pid"] == own)
    };
    assert!(!findings.iter().any(forged), "{findings:?}");
}

#[track_caller]
fn write_to(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let mut file = File::options().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}
