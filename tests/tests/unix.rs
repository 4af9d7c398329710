//! Unix sockets: failed connects, each with the error of the kernel.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;
use tracer_tests::{Guard, Tracer, fixture};

const LIMIT: Duration = Duration::from_secs(5);

/// A directory for sockets that every user may enter.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), everybody).unwrap();
    directory
}

/// Connects from a fixture, and returns the finding.
fn failure(tracer: &mut Tracer, path: &str, args: &[&str], errno: i32) -> Value {
    let mut client = Guard::ready(fixture().args(["unix-connect", path]).args(args));
    client.release();
    assert_eq!(client.line(), format!("errno {errno}"));
    let found = tracer.wait_for("a failed connect", LIMIT, |one| {
        one["kind"] == "connect_failed" && one["process"]["pid"] == client.pid()
    });
    assert_eq!(
        found["upstream"]["address"],
        format!("unix:{path}"),
        "{found}"
    );
    assert_eq!(found["process"]["comm"], "fixture", "{found}");
    found
}

#[test]
fn a_missing_socket_file_is_reported() {
    let directory = directory();
    let path = directory.path().join("missing.sock");
    let mut tracer = Tracer::start(["--all"]);
    let found = failure(&mut tracer, path.to_str().unwrap(), &["1"], libc::ENOENT);
    assert_eq!(found["error"], "no_socket_file", "{found}");
    assert_eq!(found["count"], 1, "{found}");
}

#[test]
fn a_socket_file_without_a_listener_refuses() {
    let directory = directory();
    let path = directory.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut tracer = Tracer::start(["--all"]);
    let found = failure(
        &mut tracer,
        path.to_str().unwrap(),
        &["1"],
        libc::ECONNREFUSED,
    );
    assert_eq!(found["error"], "refused", "{found}");
}

#[test]
fn a_full_backlog_is_reported() {
    let directory = directory();
    let path = directory.path().join("full.sock");
    let path = path.to_str().unwrap();
    let _server = Guard::ready(fixture().args(["unix-listen", path, "1"]));
    let mut tracer = Tracer::start(["--all"]);
    // Two fit into the backlog, the others do not.
    let found = failure(&mut tracer, path, &["5"], libc::EAGAIN);
    assert_eq!(found["error"], "backlog_full", "{found}");
    let end = tracer.stop().findings.pop().unwrap();
    assert!(end["connects_failed"].as_u64().unwrap() >= 3, "{end}");
}

#[test]
fn connecting_to_a_socket_of_another_user_is_not_permitted() {
    let directory = directory();
    let path = directory.path().join("private.sock");
    let path = path.to_str().unwrap();
    let _server = Guard::ready(fixture().args(["unix-listen", path, "8"]));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut tracer = Tracer::start(["--all"]);
    let found = failure(&mut tracer, path, &["1", "65534"], libc::EACCES);
    assert_eq!(found["error"], "permission_denied", "{found}");
}

#[test]
fn abstract_names_are_shown_with_an_at_sign() {
    let name = format!("@tracer-test-{}", std::process::id());
    let mut tracer = Tracer::start(["--all"]);
    let found = failure(&mut tracer, &name, &["1"], libc::ECONNREFUSED);
    assert_eq!(found["error"], "refused", "{found}");
}

#[test]
fn a_client_outside_services_is_only_reported_with_all() {
    let directory = directory();
    let path = directory.path().join("nobody.sock");
    let mut tracer = Tracer::start::<&str>([]);
    let mut client = Guard::ready(fixture().arg("unix-connect").arg(&path).arg("1"));
    client.wait();
    tracer.catch_up();
    let run = tracer.stop();
    let about_it = |one: &&Value| one["process"]["pid"] == client.pid();
    assert_eq!(run.findings.iter().find(about_it), None);
    let end = run.findings.last().unwrap();
    assert_eq!(end["kind"], "end");
}
