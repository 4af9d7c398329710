//! supervisord: programs, by the environment that it gives them.

use tracer_model::{Manager, Service};

use super::profile::{Advice, Client, ManagerKind, Profile, SenderName};
use super::shell_word::shell_word;
use super::systemd;
use crate::candidate::{Candidate, basename, named};

/// Its profile.
pub(super) const PROFILE: Profile = Profile {
    by_own_evidence: Some(service),
    is_program: |program| program == "supervisord",
    is_script: |script| script == "supervisord",
    sender: |facts| {
        facts
            .comm
            .starts_with("supervisord")
            .then_some(SenderName::Only("supervisord"))
    },
    clients: &[Client {
        programs: &["supervisorctl"],
        starts: &["signal", "reread"],
        stops: &[],
        looks: &["tail", "pid"],
    }],
    advice: Advice {
        read_log: Some(|name| {
            format!(
                "read its last lines: supervisorctl tail {} stderr",
                shell_word(name)
            )
        }),
        restart: Some(|_| "check autorestart and startretries of the program".to_owned()),
        ..Advice::NONE
    },
    ..Profile::new(ManagerKind::Of(Manager::Supervisor))
};

/// The program, unless the variables were only handed down to something that another manager
/// started since.
fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let facts = candidate.facts;
    let process = facts
        .env("SUPERVISOR_PROCESS_NAME")
        .filter(|name| !name.trim().is_empty())?;
    if is_daemon(candidate) || is_stale(candidate) {
        return None;
    }
    let evidence = format!("environment SUPERVISOR_PROCESS_NAME={process}");
    match facts.env("SUPERVISOR_GROUP_NAME") {
        Some(group) if !group.trim().is_empty() && group != process => named(
            &format!("{group}:{process}"),
            Manager::Supervisor,
            &format!("{evidence} SUPERVISOR_GROUP_NAME={group}"),
        ),
        _ => named(process, Manager::Supervisor, &evidence),
    }
}

fn is_daemon(candidate: &Candidate<'_>) -> bool {
    candidate.program() == "supervisord"
        || candidate
            .facts
            .args
            .iter()
            .take(3)
            .any(|arg| basename(arg) == "supervisord")
}

fn is_stale(candidate: &Candidate<'_>) -> bool {
    let from_program = candidate
        .parent_service()
        .is_some_and(|parent| parent.manager == Manager::Supervisor);
    // supervisord may be the whole of a unit of any name.
    let from_daemon = systemd::stays_in_unit(candidate)
        && candidate
            .parent_comm()
            .is_some_and(|comm| comm.as_bytes() == b"supervisord");
    !from_program
        && !from_daemon
        && systemd::unit(candidate).is_some_and(|unit| {
            unit.user.is_none()
                && unit.name.ends_with(".service")
                && !unit.name.contains("supervisor")
        })
}
