//! nginx in front of a node worker under supervisord.

use tracer_tests::stack::{Kill, Supervisor, Wanted, killed, worker_command};

fn start(wanted: Wanted<'_>) -> Supervisor {
    let command = worker_command(wanted.cgroup);
    Supervisor::start(wanted.folder, wanted.name, &command, wanted.port)
}

#[test]
fn a_program_killed_for_its_cgroups_limit_explains_the_proxys_502() {
    killed("supervisor", "supervised-oom", Kill::Oom, start);
}

#[test]
fn a_program_killed_by_a_script_explains_the_proxys_502() {
    killed("supervisor", "supervised-kill", Kill::Deploy, start);
}

#[test]
fn a_program_that_fails_explains_the_proxys_502() {
    killed("supervisor", "supervised-exit", Kill::Exit, start);
}
