//! nginx in front of a node worker under runit.

use tracer_tests::stack::{Kill, Runit, Wanted, killed, restarted, worker_command};

fn start(wanted: Wanted<'_>) -> Runit {
    let command = worker_command(wanted.cgroup);
    Runit::start(wanted.folder, wanted.name, &command, wanted.port)
}

#[test]
fn a_service_killed_for_its_cgroups_limit_explains_the_proxys_502() {
    killed("runit", "runit-oom", Kill::Oom, start);
}

#[test]
fn a_service_killed_by_a_script_explains_the_proxys_502() {
    killed("runit", "runit-kill", Kill::Deploy, start);
}

#[test]
fn a_service_that_fails_explains_the_proxys_502() {
    killed("runit", "runit-exit", Kill::Exit, start);
}

#[test]
fn a_restart_is_a_clean_stop_by_its_manager() {
    restarted("runit", "runit-restart", "runsv", start, |services| {
        services.command("restart")
    });
}
