//! Children belong to their parent's service when they have no better evidence of their own:
//! helpers that a service runs are part of it, what a person types into a shell is not.

use super::{Candidate, container, pm2, systemd};
use crate::model::{Manager, Service};

/// Programs that start what isn't theirs: shells and what people start shells with, service
/// managers, container engines, build tools and test runners.
const STARTERS: [&str; 74] = [
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
    "containerd-shim",
    "containerd-shim-runc-v1",
    "containerd-shim-runc-v2",
    "cron",
    "crond",
    "crun",
    "csh",
    "dash",
    "dbus-broker",
    "dbus-daemon",
    "docker",
    "docker-init",
    "dockerd",
    "doas",
    "dropbear",
    "dumb-init",
    "elvish",
    "env",
    "fish",
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
    "ninja",
    "nohup",
    "nu",
    "nushell",
    "openrc",
    "pid1",
    "podman",
    "pytest",
    "rc",
    "runc",
    "runit",
    "runsv",
    "runsvdir",
    "s6-supervise",
    "s6-svscan",
    "screen",
    "setsid",
    "sh",
    "sshd",
    "strace",
    "su",
    "sudo",
    "supervisord",
    "systemd",
    "systemd-executor",
    "tcsh",
    "time",
    "timeout",
    "tini",
    "tmux",
    "watch",
    "xargs",
    "zsh",
];

/// The service of a parent that tracer.toml names, while the child stays in its cgroup.
pub(super) fn from_rule(candidate: &Candidate<'_>) -> Option<Service> {
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
                Manager::Supervisor | Manager::Pm2 | Manager::PhpFpm
            ) && stays(candidate)
                && !starts_others(parent)
        })
        .cloned()
}

/// The service of any parent that doesn't start what isn't its own.
pub(super) fn from_parent(candidate: &Candidate<'_>) -> Option<Service> {
    candidate
        .parent
        .filter(|parent| !starts_others(parent))
        .cloned()
}

/// Whether the process is in its parent's cgroup as far as is known.
fn stays(candidate: &Candidate<'_>) -> bool {
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
            let program = parent.name.trim_start_matches('-');
            // `tmux: server`, `sshd-session`, `SCREEN`
            let program = program.split([':', ' ']).next().unwrap_or(program);
            STARTERS.contains(&program)
                || program.starts_with("sshd-")
                || program.starts_with("containerd-shim")
                || program == "SCREEN"
        }
        Manager::Pm2 => &*parent.name == pm2::DAEMON,
        Manager::Systemd => {
            systemd::starts_sessions(&parent.name)
                || parent.name.starts_with("supervisor")
                || parent.name.starts_with("docker.")
                || parent.name.starts_with("containerd.")
        }
        _ => false,
    }
}
