//! Children belong to their parent's service when they have no better evidence of their own: helpers
//! that a service runs are part of it; what a person types into a shell is not.

use tracer_model::{Manager, Service};

use super::script;
use crate::candidate::Candidate;
use crate::managers::systemd::stays_in_unit;
use crate::managers::{self, Children, container_id};

/// Programs that start what isn't their own, beside those of service managers: shells and what
/// people start shells with, build tools and test runners.
const STARTERS: [&str; 58] = [
    "SCREEN",
    "agetty",
    "anacron",
    "ash",
    "at",
    "atd",
    "bash",
    "busybox",
    "cargo",
    "cron",
    "crond",
    "csh",
    "dash",
    "dbus-broker",
    "dbus-daemon",
    "doas",
    "dropbear",
    "elvish",
    "env",
    "expect",
    "fish",
    "flock",
    "gdb",
    "getty",
    "go",
    "just",
    "ksh",
    "login",
    "make",
    "mksh",
    "monit",
    "mosh-server",
    "ninja",
    "nix",
    "nohup",
    "nu",
    "nushell",
    "perf",
    "pytest",
    "run-parts",
    "runuser",
    "screen",
    "script",
    "setsid",
    "sh",
    "sshd",
    "strace",
    "su",
    "sudo",
    "tcsh",
    "time",
    "timeout",
    "tmux",
    "tracer",
    "ttyd",
    "watch",
    "xargs",
    "zsh",
];

/// The service of a parent that tracer.toml names: a process inside the same container as that
/// parent has no better evidence.
pub(super) fn within_container(candidate: &Candidate<'_>) -> Option<Service> {
    container_id::innermost(candidate.facts.cgroup_path.as_deref()?)?;
    candidate
        .parent_service()
        .filter(|parent| parent.manager == Manager::Config && stays_in_unit(candidate))
        .cloned()
}

/// The service of a parent that is more specific than its unit: what a pool or a program starts is in
/// the unit of PHP-FPM or supervisord, too.
pub(super) fn within_unit(candidate: &Candidate<'_>) -> Option<Service> {
    candidate
        .parent_service()
        .filter(|parent| {
            let inherits = parent.manager == Manager::Config
                || managers::children(parent.manager) == Some(Children::Inherit);
            inherits && stays_in_unit(candidate) && !starts_others(parent)
        })
        .cloned()
}

/// The parent's service, unless the parent starts what isn't its own.
pub(super) fn from_parent(candidate: &Candidate<'_>) -> Option<Service> {
    // Init starts what isn't its own, whatever it is called.
    let of_init = candidate.facts.task.ppid == 1;
    let parent = candidate
        .parent_service()
        .filter(|parent| !of_init && !starts_others(parent))?;
    let is_own = match parent.manager {
        // Its cgroup would have named the same; a known one shows that the child has left.
        manager if managers::children(manager) == Some(Children::OfCgroup) => {
            candidate.facts.cgroup_path.is_some()
        }
        // The name of what a start script starts says more than the start script's.
        Manager::Script if script::is_of_shell(&parent.name) => {
            script::of(candidate).is_some_and(|script| !script.is_shells())
        }
        // A shell below something that only has a program's name: what is typed into it does not
        // belong to that program. (`sh` is what programs run commands with.)
        Manager::Process => {
            let program = candidate.program();
            !matches!(&*program, "sh" | "dash") && is_starter(&program)
        }
        _ => false,
    };
    (!is_own).then(|| parent.clone())
}

/// Whether children of a service's processes are services of their own.
fn starts_others(parent: &Service) -> bool {
    match parent.manager {
        Manager::Process => {
            // `tmux: server`, `-bash`
            let program = parent.name.trim_start_matches('-');
            let program = program.split([':', ' ']).next().unwrap_or(program);
            is_starter(program) || program.starts_with("sshd-") || is_test(program)
        }
        // `python3 supervisord in /usr/bin`
        Manager::Script => parent
            .name
            .split(' ')
            .any(|word| word == "pytest" || managers::is_script(word)),
        _ => managers::starts_others(parent),
    }
}

fn is_starter(program: &str) -> bool {
    STARTERS.contains(&program) || managers::is_program(program)
}

/// Whether a program is a test binary as cargo names them: `outage-0123456789abcdef`.
fn is_test(program: &str) -> bool {
    program
        .rsplit_once('-')
        .is_some_and(|(_, hash)| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}
