//! systemd: units of the system and of users, by the cgroup path, of cgroup v1 and v2 alike.

use std::fmt;

use tracer_model::{Manager, Service};

use super::container_id;
use super::profile::{Advice, Children, Client, ManagerKind, Profile, SenderName};
use super::shell_word::shell_word;
use crate::candidate::{Candidate, named};

/// Its profile.
pub(super) const PROFILE: Profile = Profile {
    by_place: Some(service),
    children: Children::OfCgroup,
    starts_others: starts_sessions,
    is_program: |program| matches!(program, "systemd" | "systemd-executor" | "systemd-run"),
    sender: |facts| (facts.comm == "systemd").then_some(SenderName::Only("systemd")),
    kill_means: Some(
        "its start timeout expired, its main process exited, or someone ran systemctl kill",
    ),
    clients: &[Client {
        programs: &["systemctl", "machinectl"],
        starts: &["reload-or-restart", "isolate"],
        stops: &["disable", "mask"],
        looks: &[
            "is-active",
            "is-enabled",
            "is-failed",
            "list-units",
            "cat",
            "daemon-reload",
        ],
    }],
    advice: Advice {
        at_cgroup_limit: Some(|name| {
            format!(
                "raise MemoryMax= or find what grows: {}",
                show("MemoryMax", name)
            )
        }),
        after_cgroup_limit: Some(
            "one process's OOM kill stops the whole unit unless OOMPolicy=continue",
        ),
        when_memory_is_short: Some(|name| {
            format!(
                "give services limits of their own (MemoryMax=), so that no other can take \
                 {name} down"
            )
        }),
        read_log: Some(|name| format!("read its last lines: {}", last_lines(name))),
        restart: Some(|name| {
            format!(
                "Restart=on-failure brings it back: {}",
                show("Restart", name)
            )
        }),
    },
    ..Profile::new(ManagerKind::Of(Manager::Systemd))
};

/// A unit that a cgroup path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit<'a> {
    /// `api.service`.
    pub(crate) name: &'a str,
    /// The system container whose unit it is; `None` for the machine's own.
    machine: Option<&'a str>,
    /// Id of the user whose unit it is; `None` for the system's.
    pub(super) user: Option<&'a str>,
}

/// The unit of the process.
fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let unit = unit(candidate)?;
    let evidence = candidate.cgroup_evidence();
    let Some(id) = unit.user else {
        let name = Named {
            unit: unit.name,
            machine: unit.machine,
            user: None,
        };
        return named(&name.to_string(), Manager::Systemd, &evidence);
    };
    let facts = candidate.facts;
    let user = facts
        .user
        .as_deref()
        .filter(|_| id.parse() == Ok(facts.task.uid))
        .unwrap_or(id);
    let name = Named {
        unit: unit.name,
        machine: unit.machine,
        user: Some(user),
    };
    named(&name.to_string(), Manager::Systemd, &evidence)
}

/// The unit that the process's cgroup belongs to.
pub(crate) fn unit<'a>(candidate: &Candidate<'a>) -> Option<Unit<'a>> {
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
        || container_id::innermost(scope).is_some();
    !foreign && !of_user && path.starts_with("/system.slice/")
}

/// Whether the process is in its parent's cgroup as far as is known.
pub(crate) fn stays_in_unit(candidate: &Candidate<'_>) -> bool {
    let parents = candidate
        .parent
        .and_then(|parent| parent.facts.cgroup_path.as_deref());
    match (candidate.facts.cgroup_path.as_deref(), parents) {
        (Some(own), Some(parents)) => own == parents,
        (Some(own), None) => parse(own).is_none() && container_id::innermost(own).is_none(),
        (None, _) => true,
    }
}

/// The parts of a service's name: `web1/bot.service (user anna)`.
struct Named<'a> {
    unit: &'a str,
    /// The system container.
    machine: Option<&'a str>,
    /// The user by name, else by id.
    user: Option<&'a str>,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(machine) = self.machine {
            write!(out, "{machine}/")?;
        }
        out.write_str(self.unit)?;
        match self.user {
            Some(user) => write!(out, " (user {user})"),
            None => Ok(()),
        }
    }
}

impl<'a> Named<'a> {
    fn parse(name: &'a str) -> Self {
        let (unit, user) = match name
            .strip_suffix(')')
            .and_then(|name| name.split_once(" (user "))
        {
            Some((unit, user)) => (unit, Some(user)),
            None => (name, None),
        };
        let (machine, unit) = match unit.split_once('/') {
            Some((machine, unit)) => (Some(machine), unit),
            None => (None, unit),
        };
        Self {
            unit,
            machine,
            user,
        }
    }

    /// A command, where the unit's systemd is.
    fn run(&self, command: &str) -> String {
        match self.machine {
            Some(machine) => format!("lxc-attach -n {} -- {command}", shell_word(machine)),
            None => command.to_owned(),
        }
    }
}

/// The command that shows a property of a unit.
fn show(property: &str, name: &str) -> String {
    let named = Named::parse(name);
    let unit = shell_word(named.unit);
    let of = named.user.map_or_else(String::new, |user| {
        format!(" --user -M {}", shell_word(&format!("{user}@")))
    });
    named.run(&format!("systemctl{of} show -p {property} {unit}"))
}

/// The command that shows the last lines of a unit's log.
fn last_lines(name: &str) -> String {
    let named = Named::parse(name);
    named.run(&match named.user {
        Some(_) => {
            let field = format!("_SYSTEMD_USER_UNIT={}", named.unit);
            format!("journalctl {} -n 50", shell_word(&field))
        }
        None => format!("journalctl -u {} -n 50", shell_word(named.unit)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_the_advice_reach_the_systemd_that_has_the_unit() {
        for (name, limit, log) in [
            (
                "api.service",
                "systemctl show -p MemoryMax api.service",
                "journalctl -u api.service -n 50",
            ),
            (
                r"app\x2dweb.service",
                r"systemctl show -p MemoryMax 'app\x2dweb.service'",
                r"journalctl -u 'app\x2dweb.service' -n 50",
            ),
            (
                "bot.service (user anna)",
                "systemctl --user -M anna@ show -p MemoryMax bot.service",
                "journalctl _SYSTEMD_USER_UNIT=bot.service -n 50",
            ),
            (
                "web1/nginx.service",
                "lxc-attach -n web1 -- systemctl show -p MemoryMax nginx.service",
                "lxc-attach -n web1 -- journalctl -u nginx.service -n 50",
            ),
        ] {
            assert_eq!(show("MemoryMax", name), limit);
            assert_eq!(last_lines(name), log);
        }
    }

    #[test]
    fn the_parts_of_a_name_are_found_again() {
        for name in [
            "api.service",
            "bot.service (user anna)",
            "web1/nginx.service",
            "web1/bot.service (user 1000)",
        ] {
            assert_eq!(Named::parse(name).to_string(), name);
        }
    }
}
