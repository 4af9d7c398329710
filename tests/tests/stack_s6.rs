//! nginx in front of a node worker under s6.

use tracer_tests::stack::{Kill, Nginx, S6, outage, restart, worker_command};
use tracer_tests::{MemoryCgroup, free_port};

const LIMIT_BYTES: u64 = 128 << 20;

/// The worker's death, the 502s, the return, and everything that is reported about it. Services have
/// names of their own per test: tests that run at the same time see each other's.
fn story(name: &str, kill: Kill) {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let cgroup = (kill == Kill::Oom).then(|| MemoryCgroup::new(name, LIMIT_BYTES));
    let command = worker_command(cgroup.as_ref());
    let _services = S6::start(folder.path(), name, &command, port);
    let nginx = Nginx::before_http(folder.path(), port);
    let outage = outage(folder.path(), &nginx, name, kill);
    outage.check(kill, name, "s6", port);
}

#[test]
fn a_service_killed_for_its_cgroups_limit_explains_the_proxys_502() {
    story("s6-oom", Kill::Oom);
}

#[test]
fn a_service_killed_by_a_script_explains_the_proxys_502() {
    story("s6-kill", Kill::Deploy);
}

#[test]
fn a_service_that_fails_explains_the_proxys_502() {
    story("s6-exit", Kill::Exit);
}

#[test]
fn a_restart_is_a_clean_stop_by_its_manager() {
    let name = "s6-restart";
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let services = S6::start(folder.path(), name, &worker_command(None), port);
    let nginx = Nginx::before_http(folder.path(), port);
    let restart = restart(&nginx, name, &mut services.command("-r"));
    let death = restart.only("death", |f| f["service"]["name"] == name);
    assert_eq!(death["process"]["pid"], restart.pid, "{death}");
    assert_eq!(death["service"]["manager"], "s6", "{death}");
    assert_eq!(death["cause"], "clean", "{death}");
    assert_eq!(death["by"]["comm"], "s6-supervise", "{death}");
    let why = death["why"].as_str().unwrap();
    assert!(why.starts_with("stopped by s6 (SIGTERM)"), "{death}");
    let up = restart.only("listener_up", |f| f["service"]["name"] == name);
    assert_eq!(up["address"], format!("127.0.0.1:{port}"), "{up}");
}
