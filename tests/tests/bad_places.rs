//! Bad surroundings and inputs: no rights, no kernel types, no /proc, a broken configuration, a
//! full disk. The tracer prints a clear message; it never panics or traces in part.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use tracer_tests::{binary, need_root};

/// Runs `command` until it exits; fails the test if the tracer panicked.
#[track_caller]
fn output(command: &mut Command) -> (ExitStatus, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|it| String::from_utf8(it).expect("valid UTF-8"));
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status, stdout, stderr)
}

/// The tracer refuses: status 1, nothing traced, one line that has all `words`.
#[track_caller]
fn refused(command: &mut Command, words: &[&str]) {
    let (status, stdout, stderr) = output(command);
    assert_eq!(status.code(), Some(1), "{stdout}{stderr}");
    assert_eq!(stdout, "", "it traced nevertheless");
    assert!(stderr.starts_with("tracer: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no {word:?}: {stderr}");
    }
}

/// A copy that any user may execute: the target folder may not be open to others.
fn copy_for_everyone(directory: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = directory.join("tracer");
    fs::copy(binary(), &copy).unwrap();
    copy
}

#[test]
fn without_root_it_says_which_rights_are_missing_and_what_to_do() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let copy = copy_for_everyone(directory.path());
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .args(args);
        command
    };
    refused(
        &mut as_nobody(&["watch", "--for", "1s"]),
        &["CAP_BPF", "CAP_PERFMON", "sudo"],
    );
    refused(&mut as_nobody(&["demo", "--builtin-proxy"]), &["root"]);

    let (status, stdout, _) = output(&mut as_nobody(&["doctor"]));
    assert_eq!(status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("CAP_BPF"), "{stdout}");

    // Commands that need no rights work.
    for args in [&["schema"][..], &["services"], &["--help"]] {
        let (status, stdout, stderr) = output(&mut as_nobody(args));
        assert_eq!(status.code(), Some(0), "{args:?}: {stderr}");
        assert_ne!(stdout, "", "{args:?}");
    }
}

#[test]
fn without_the_capabilities_root_learns_which_are_missing() {
    need_root();
    let without = |set: &str| {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--bounding-set={set}"))
            .arg(binary())
            .args(["watch", "--for", "100ms"]);
        command
    };
    refused(
        &mut without("-bpf,-perfmon,-sys_admin"),
        &["CAP_BPF", "CAP_PERFMON"],
    );
}

/// Runs the tracer in a mount namespace that `script` has changed.
fn with_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation=private", "sh", "-ec"])
        .arg(format!("{script}\nexec \"$0\" watch --for 100ms"))
        .arg(binary());
    command
}

#[test]
fn without_usable_kernel_types_it_says_what_kind_of_kernel_is_needed() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let btf = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let mut skewed = btf.clone();
    // The offset of the type section, far outside.
    skewed[8..12].fill(0xff);
    let header_only = btf[..24].to_vec();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("header", header_only),
        ("cut-short", btf[..btf.len() / 2].to_vec()),
        ("skewed", skewed),
        ("zeroes", vec![0; 1 << 20]),
        ("text", b"no types here\n".repeat(1000)),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        let mount = format!("mount --bind {} /sys/kernel/btf/vmlinux", path.display());
        refused(
            &mut with_mounts(&mount),
            &["BTF", "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"],
        );
    }
    refused(
        &mut with_mounts("mount -t tmpfs none /sys/kernel/btf"),
        &["BTF", "No such file"],
    );
}

#[test]
fn an_unreadable_proc_is_named() {
    need_root();
    refused(&mut with_mounts("mount -t tmpfs none /proc"), &["/proc"]);
}

#[test]
fn a_broken_configuration_is_named_with_file_and_line() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("my.toml");
    let watch = || {
        let mut command = Command::new(binary());
        command
            .args(["watch", "--for", "1s", "--config"])
            .arg(&path);
        command
    };
    for (text, line, words) in [
        ("[[service]\nname = \"a\"\n", 1, &[][..]),
        ("# fine\n\n[[service]]\nname = \"a\n", 4, &[]),
        (
            "[[service]]\nname = \"a\"\ncmdlin = \"x\"\n",
            3,
            &["cmdlin", "cmdline"],
        ),
        (
            "[[service]]\nname = \"a\"\ncmdline = \"(x\"\n",
            3,
            &["cmdline", "regular expression"],
        ),
        ("[[service]]\nname = 5\nexe = \"x\"\n", 2, &["name"]),
        (
            "[[service]]\nname = \"a\"\nport = 70000\n",
            3,
            &["port", "65535"],
        ),
        ("\n[[service]]\nexe = \"x\"\n", 2, &["name"]),
        ("\n[[service]]\nname = \"x\"\n", 2, &["cmdline"]),
        ("[[services]]\nname = \"x\"\n", 1, &["services", "service"]),
    ] {
        fs::write(&path, text).unwrap();
        let place = format!("{}:{line}:", path.display());
        let mut wanted = vec![&*place];
        wanted.extend(words);
        refused(&mut watch(), &wanted);
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("my.toml");
    let watch = |path: &Path| {
        let mut command = Command::new(binary());
        command.args(["watch", "--for", "1s", "--config"]).arg(path);
        command
    };
    refused(&mut watch(&path), &["my.toml", "No such file"]);
    refused(&mut watch(directory.path()), &["directory"]);
    fs::write(&path, b"name = \"\xff\xfe\"\n").unwrap();
    refused(&mut watch(&path), &["my.toml", "UTF-8"]);
    fs::write(&path, "#\n".repeat(1 << 20)).unwrap();
    refused(&mut watch(&path), &["my.toml", "1 MiB"]);
    fs::write(&path, "").unwrap();
    let (status, _, stderr) = output(&mut watch(&path));
    assert_eq!(status.code(), Some(0), "an empty file is valid: {stderr}");
}

#[test]
fn a_full_disk_is_an_error_that_names_the_cause() {
    need_root();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(binary());
    command.args(["watch", "--for", "5s"]).stdout(full);
    let output = command.stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("No space left"), "{stderr}");
}

#[test]
fn it_runs_without_any_open_standard_stream() {
    need_root();
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" watch --for 100ms <&- >&- 2>&-"])
        .arg(binary());
    let (status, _, _) = output(&mut command);
    assert_eq!(status.code(), Some(0));
}
