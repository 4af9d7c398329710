//! nginx in front of a node worker under s6.

use tracer_tests::stack::{Kill, S6, Wanted, killed, restarted, worker_command};

fn start(wanted: Wanted<'_>) -> S6 {
    let command = worker_command(wanted.cgroup);
    S6::start(wanted.folder, wanted.name, &command, wanted.port)
}

#[test]
fn a_service_killed_for_its_cgroups_limit_explains_the_proxys_502() {
    killed("s6", "s6-oom", Kill::Oom, start);
}

#[test]
fn a_service_killed_by_a_script_explains_the_proxys_502() {
    killed("s6", "s6-kill", Kill::Deploy, start);
}

#[test]
fn a_service_that_fails_explains_the_proxys_502() {
    killed("s6", "s6-exit", Kill::Exit, start);
}

#[test]
fn a_restart_is_a_clean_stop_by_its_manager() {
    restarted("s6", "s6-restart", "s6-supervise", start, |services| {
        services.command("-r")
    });
}
