//! nginx in front of a node worker under runit.

use tracer_tests::stack::{Kill, Nginx, Runit, outage, restart, worker_command};
use tracer_tests::{MemoryCgroup, free_port};

const LIMIT_BYTES: u64 = 128 << 20;

/// The worker's death, the 502s, the return, and everything that is reported about it. Services have
/// names of their own per test: tests that run at the same time see each other's.
fn story(name: &str, kill: Kill) {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let cgroup = (kill == Kill::Oom).then(|| MemoryCgroup::new(name, LIMIT_BYTES));
    let command = worker_command(cgroup.as_ref());
    let _services = Runit::start(folder.path(), name, &command, port);
    let nginx = Nginx::before_http(folder.path(), port);
    let outage = outage(folder.path(), &nginx, name, kill);
    outage.check(kill, name, "runit", port);
}

#[test]
fn a_service_killed_for_its_cgroups_limit_explains_the_proxys_502() {
    story("runit-oom", Kill::Oom);
}

#[test]
fn a_service_killed_by_a_script_explains_the_proxys_502() {
    story("runit-kill", Kill::Deploy);
}

#[test]
fn a_service_that_fails_explains_the_proxys_502() {
    story("runit-exit", Kill::Exit);
}

#[test]
fn a_restart_is_a_clean_stop_by_its_manager() {
    let name = "runit-restart";
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let services = Runit::start(folder.path(), name, &worker_command(None), port);
    let nginx = Nginx::before_http(folder.path(), port);
    let restart = restart(&nginx, name, &mut services.command("restart"));
    let death = restart.only("death", |f| f["service"]["name"] == name);
    assert_eq!(death["process"]["pid"], restart.pid, "{death}");
    assert_eq!(death["service"]["manager"], "runit", "{death}");
    assert_eq!(death["cause"], "clean", "{death}");
    assert_eq!(death["by"]["comm"], "runsv", "{death}");
    let why = death["why"].as_str().unwrap();
    assert!(why.starts_with("stopped by runit (SIGTERM)"), "{death}");
    let up = restart.only("listener_up", |f| f["service"]["name"] == name);
    assert_eq!(up["address"], format!("127.0.0.1:{port}"), "{up}");
}
