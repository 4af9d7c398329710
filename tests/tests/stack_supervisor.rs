//! nginx in front of a node worker under supervisord.

use tracer_tests::stack::{Kill, Nginx, Supervisor, outage, worker_command};
use tracer_tests::{MemoryCgroup, free_port};

const LIMIT_BYTES: u64 = 128 << 20;

/// The worker dies, requests fail with 502, the worker is restarted; checks all findings about it.
/// Each test has a program with a unique name: tests that run at the same time see each other's.
fn story(name: &str, kill: Kill) {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let cgroup = (kill == Kill::Oom).then(|| MemoryCgroup::new(name, LIMIT_BYTES));
    let command = worker_command(cgroup.as_ref());
    let _supervisor = Supervisor::start(folder.path(), name, &command, port);
    let nginx = Nginx::before_http(folder.path(), port);
    let outage = outage(folder.path(), &nginx, name, kill);
    outage.check(kill, name, "supervisor", port);
}

#[test]
fn a_program_killed_for_its_cgroups_limit_explains_the_proxys_502() {
    story("supervised-oom", Kill::Oom);
}

#[test]
fn a_program_killed_by_a_script_explains_the_proxys_502() {
    story("supervised-kill", Kill::Deploy);
}

#[test]
fn a_program_that_fails_explains_the_proxys_502() {
    story("supervised-exit", Kill::Exit);
}
