//! systemd units of the system and of users, by the cgroup path, of cgroup v1 and v2 alike.

use tracer_model::{Manager, Service};

use super::{Candidate, named};

/// A unit that a cgroup path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit<'a> {
    /// `api.service`.
    pub(super) name: &'a str,
    /// The system container whose unit it is; `None` for the machine's own.
    pub(super) machine: Option<&'a str>,
    /// Id of the user whose unit it is; `None` for the system's.
    pub(super) user: Option<&'a str>,
}

/// The unit of the process.
pub(super) fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let unit = unit(candidate)?;
    let evidence = candidate.cgroup_evidence();
    let unit_name = match unit.machine {
        Some(machine) => format!("{machine}/{}", unit.name),
        None => unit.name.to_owned(),
    };
    let Some(id) = unit.user else {
        return named(&unit_name, Manager::Systemd, &evidence);
    };
    let facts = candidate.facts;
    let user = facts
        .user
        .as_deref()
        .filter(|_| id.parse() == Ok(facts.task.uid))
        .unwrap_or(id);
    let name = format!("{unit_name} (user {user})");
    named(&name, Manager::Systemd, &evidence)
}

/// The unit that the process's cgroup belongs to.
pub(super) fn unit<'a>(candidate: &Candidate<'a>) -> Option<Unit<'a>> {
    parse(candidate.facts.cgroup_path.as_deref()?)
}

/// The outermost unit of a path: what is below it was delegated. Slices only group, login sessions
/// and consoles are nobody's service, and containers are another rule's matter.
pub(super) fn parse(whole: &str) -> Option<Unit<'_>> {
    let mut user = None;
    let (machine, path) = system_container(whole).unzip();
    let path = path.unwrap_or(whole);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        if let Some(id) = segment
            .strip_prefix("user@")
            .and_then(|rest| rest.strip_suffix(".service"))
        {
            user = Some(id);
        } else if segment.ends_with(".service") {
            return (!is_console(segment)).then_some(Unit {
                name: segment,
                machine,
                user,
            });
        } else if segment.strip_suffix(".scope").is_some() {
            return is_started(segment, path, user.is_some()).then_some(Unit {
                name: segment,
                machine,
                user,
            });
        }
    }
    None
}

/// The system container of LXC that a path leads into, and the path in there: another systemd has
/// units of the same names.
fn system_container(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    let (first, rest) = path.split_once('/')?;
    if let Some(name) = first.strip_prefix("lxc.payload.") {
        return Some((name, path.get(first.len()..)?));
    }
    let (name, _) = rest.split_once('/').filter(|_| first == "lxc")?;
    Some((name, rest.get(name.len()..)?))
}

/// Whether a unit runs whatever people log in and type, or schedule, rather than a service.
pub(super) fn starts_sessions(unit: &str) -> bool {
    let unit = unit.rsplit('/').next().unwrap_or(unit);
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    let name = name.split('@').next().unwrap_or(name);
    matches!(
        name,
        "ssh"
            | "sshd"
            | "cron"
            | "crond"
            | "cronie"
            | "atd"
            | "bt"
            | "dropbear"
            | "rescue"
            | "emergency"
            | "systemd-logind"
    )
}

fn is_console(unit: &str) -> bool {
    unit.split('@').next().is_some_and(|name| {
        matches!(
            name.trim_end_matches(".service"),
            "getty" | "serial-getty" | "console-getty" | "container-getty" | "autovt"
        )
    })
}

/// Whether a scope is what someone started with systemd-run.
fn is_started(scope: &str, path: &str, of_user: bool) -> bool {
    if scope.starts_with("run-") {
        return true;
    }
    let foreign = scope == "init.scope"
        || scope.starts_with("session-")
        || scope.contains("conmon")
        || super::container::id(scope).is_some();
    !foreign && !of_user && path.starts_with("/system.slice/")
}
