//! nginx in front of a node worker under pm2, in fork mode.

use tracer_tests::stack::{Kill, Pm2, Wanted, killed};

fn start(wanted: Wanted<'_>) -> Pm2 {
    Pm2::start(wanted.folder, wanted.name, wanted.cgroup, wanted.port)
}

#[test]
fn an_app_killed_for_its_cgroups_limit_explains_the_proxys_502() {
    killed("pm2", "app-oom", Kill::Oom, start);
}

#[test]
fn an_app_killed_by_a_script_explains_the_proxys_502() {
    killed("pm2", "app-kill", Kill::Deploy, start);
}

#[test]
fn an_app_that_fails_explains_the_proxys_502() {
    killed("pm2", "app-exit", Kill::Exit, start);
}
