//! Children belong to their parent's service when they have no better evidence of their own:
//! helpers that a service runs are part of it, what a person types into a shell is not.

use tracer_model::{Manager, Service};

use super::{Candidate, container, pm2, script, systemd};

/// Programs that start what isn't theirs: shells and what people start shells with, service
/// managers, container engines, build tools and test runners.
const STARTERS: [&str; 85] = [
    "SCREEN",
    "agetty",
    "anacron",
    "ash",
    "at",
    "atd",
    "bash",
    "buildah",
    "busybox",
    "cargo",
    "conmon",
    "containerd",
    "cron",
    "crond",
    "crun",
    "csh",
    "dash",
    "dbus-broker",
    "dbus-daemon",
    "doas",
    "docker",
    "docker-init",
    "dockerd",
    "dropbear",
    "dumb-init",
    "elvish",
    "env",
    "expect",
    "fish",
    "flock",
    "gdb",
    "getty",
    "go",
    "init",
    "just",
    "ksh",
    "launchd",
    "login",
    "make",
    "mksh",
    "monit",
    "mosh-server",
    "nerdctl",
    "ninja",
    "nix",
    "nohup",
    "nu",
    "nushell",
    "openrc",
    "perf",
    "pid1",
    "podman",
    "pytest",
    "rc",
    "run-parts",
    "runc",
    "runit",
    "runsv",
    "runsvdir",
    "runuser",
    "s6-supervise",
    "s6-svscan",
    "screen",
    "script",
    "setsid",
    "sh",
    "sshd",
    "start-stop-daemon",
    "strace",
    "su",
    "sudo",
    "supervisord",
    "systemd",
    "systemd-executor",
    "systemd-run",
    "tcsh",
    "time",
    "timeout",
    "tini",
    "tmux",
    "tracer",
    "ttyd",
    "watch",
    "xargs",
    "zsh",
];

/// The service of a parent that tracer.toml names: inside of its container, being in that is no
/// evidence of its own.
pub(super) fn within_container(candidate: &Candidate<'_>) -> Option<Service> {
    container::id(candidate.facts.cgroup_path.as_deref()?)?;
    candidate
        .parent
        .filter(|parent| parent.manager == Manager::Config && stays(candidate))
        .cloned()
}

/// The service of a parent that is more than its unit: what a pool or a program starts is in the
/// unit of PHP-FPM or supervisord too.
pub(super) fn within_unit(candidate: &Candidate<'_>) -> Option<Service> {
    candidate
        .parent
        .filter(|parent| {
            matches!(
                parent.manager,
                Manager::Config
                    | Manager::Supervisor
                    | Manager::Pm2
                    | Manager::PhpFpm
                    | Manager::Aapanel
            ) && stays(candidate)
                && !starts_others(parent)
        })
        .cloned()
}

/// The service of any parent that doesn't start what isn't its own.
pub(super) fn from_parent(candidate: &Candidate<'_>) -> Option<Service> {
    // Init starts what isn't its own, whatever it is called.
    let of_init = candidate.facts.task.ppid == 1;
    let parent = candidate
        .parent
        .filter(|parent| !of_init && !starts_others(parent))?;
    let is_own = match parent.manager {
        // Its cgroup would have told; a known one says that the child has left.
        Manager::Systemd | Manager::Container => candidate.facts.cgroup_path.is_some(),
        // What a start script starts is more telling than the start script.
        Manager::Script if script::is_of_shell(&parent.name) => {
            script::of(candidate).is_some_and(|script| !script.is_shells())
        }
        // A shell below something that only has a program's name: what is typed into it is not
        // that program's. (`sh` is what programs run commands with.)
        Manager::Process => {
            let program = candidate.program();
            !matches!(&*program, "sh" | "dash") && STARTERS.contains(&&*program)
        }
        _ => false,
    };
    (!is_own).then(|| parent.clone())
}

/// Whether the process is in its parent's cgroup as far as is known.
pub(super) fn stays(candidate: &Candidate<'_>) -> bool {
    match (
        candidate.facts.cgroup_path.as_deref(),
        candidate.parent_cgroup,
    ) {
        (Some(own), Some(parents)) => own == parents,
        (Some(own), None) => systemd::parse(own).is_none() && container::id(own).is_none(),
        (None, _) => true,
    }
}

/// Whether children of a service's processes are services of their own.
fn starts_others(parent: &Service) -> bool {
    match parent.manager {
        Manager::Process => {
            // `tmux: server`, `-bash`
            let program = parent.name.trim_start_matches('-');
            let program = program.split([':', ' ']).next().unwrap_or(program);
            STARTERS.contains(&program)
                || program.starts_with("sshd-")
                || program.starts_with("containerd-shim")
                || is_test(program)
        }
        // `python3 supervisord in /usr/bin`
        Manager::Script => parent
            .name
            .split(' ')
            .any(|word| matches!(word, "supervisord" | "BT-Panel" | "BT-Task" | "pytest")),
        Manager::Pm2 => &*parent.name == pm2::DAEMON,
        Manager::Systemd => systemd::starts_sessions(&parent.name),
        _ => false,
    }
}

/// Whether a program is a test binary as cargo names them: `outage-0123456789abcdef`.
fn is_test(program: &str) -> bool {
    program
        .rsplit_once('-')
        .is_some_and(|(_, hash)| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}
