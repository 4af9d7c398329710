//! Apps of pm2, by the environment that it gives them, and its daemon, by its title.

use tracer_model::{Manager, Service};

use super::{Candidate, named, systemd};

/// Name of the daemon's service.
pub(super) const DAEMON: &str = "pm2";

/// The app or the daemon.
pub(super) fn service(candidate: &Candidate<'_>) -> Option<Service> {
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
        .parent
        .is_some_and(|parent| parent.manager == Manager::Pm2);
    !from_app
        && systemd::unit(candidate).is_some_and(|unit| {
            unit.user.is_none()
                && unit.name.ends_with(".service")
                && !unit.name.starts_with("pm2")
                && !systemd::starts_sessions(unit.name)
        })
}
