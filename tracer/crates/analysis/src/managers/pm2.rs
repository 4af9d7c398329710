//! pm2: apps, by the environment that it gives them, and its daemon, by its title.

use tracer_model::{Manager, Service};

use super::profile::{Advice, Client, ManagerKind, Profile, SenderName};
use super::shell_word::shell_word;
use super::systemd;
use crate::candidate::{Candidate, named};

/// Name of the daemon's service.
const DAEMON: &str = "pm2";

/// Its profile.
pub(super) const PROFILE: Profile = Profile {
    by_own_evidence: Some(service),
    starts_others: |service| service == DAEMON,
    sender: |facts| {
        facts
            .comm
            .starts_with("PM2 v")
            .then_some(SenderName::Only("pm2"))
    },
    clients: &[Client {
        programs: &["pm2"],
        starts: &[
            "startOrRestart",
            "startOrReload",
            "startOrGracefulReload",
            "gracefulReload",
            "resurrect",
            "scale",
            "deploy",
        ],
        stops: &["delete", "del"],
        looks: &["jlist", "prettylist", "pid", "describe", "monit"],
    }],
    advice: Advice {
        when_memory_is_short: Some(|_| {
            "set max_memory_restart, so that apps restart first".to_owned()
        }),
        read_log: Some(|name| {
            format!(
                "read its last lines: pm2 logs {} --lines 50 --nostream",
                shell_word(name)
            )
        }),
        ..Advice::NONE
    },
    ..Profile::new(ManagerKind::Of(Manager::Pm2))
};

/// The app or the daemon.
fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let title = candidate.title();
    if title.starts_with("PM2 ") && title.contains("God Daemon") {
        return named(DAEMON, Manager::Pm2, &format!("title {title:?}"));
    }
    let facts = candidate.facts;
    let id = facts.env("pm_id")?;
    let name = facts.env("name")?;
    if is_stale(candidate) {
        return None;
    }
    named(
        name,
        Manager::Pm2,
        &format!("environment pm_id={id} name={name}"),
    )
}

/// pm2 runs in its own unit, or in whatever session its user first called it from; any other unit
/// was started by an app rather than as one.
fn is_stale(candidate: &Candidate<'_>) -> bool {
    let from_app = candidate
        .parent_service()
        .is_some_and(|parent| parent.manager == Manager::Pm2);
    !from_app
        && systemd::unit(candidate).is_some_and(|unit| {
            unit.user.is_none()
                && unit.name.ends_with(".service")
                && !unit.name.starts_with("pm2")
                && !systemd::starts_sessions(unit.name)
        })
}
