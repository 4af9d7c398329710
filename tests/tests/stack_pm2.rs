//! nginx in front of a node worker under pm2, in fork mode.

use tracer_tests::stack::{Kill, Nginx, Pm2, outage};
use tracer_tests::{MemoryCgroup, free_port};

const LIMIT_BYTES: u64 = 128 << 20;

/// The same as under supervisord. Each test has an app with a unique name: tests that run at the
/// same time see each other's apps.
fn story(name: &str, kill: Kill) {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let cgroup = (kill == Kill::Oom).then(|| MemoryCgroup::new(name, LIMIT_BYTES));
    let _pm2 = Pm2::start(folder.path(), name, cgroup.as_ref(), port);
    let nginx = Nginx::before_http(folder.path(), port);
    let outage = outage(folder.path(), &nginx, name, kill);
    outage.check(kill, name, "pm2", port);
}

#[test]
fn an_app_killed_for_its_cgroups_limit_explains_the_proxys_502() {
    story("app-oom", Kill::Oom);
}

#[test]
fn an_app_killed_by_a_script_explains_the_proxys_502() {
    story("app-kill", Kill::Deploy);
}

#[test]
fn an_app_that_fails_explains_the_proxys_502() {
    story("app-exit", Kill::Exit);
}
