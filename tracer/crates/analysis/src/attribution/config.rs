//! The rules of tracer.toml, which win over everything. Their syntax is in `rules`.

use tracer_model::{Manager, Service};

use crate::candidate::{Candidate, basename, named};
use crate::managers::systemd;
use crate::rules::{Condition, Rules};

/// The first rule whose conditions all hold.
pub(super) fn service(candidate: &Candidate<'_>, rules: &Rules) -> Option<Service> {
    let rule = rules
        .iter()
        .find(|rule| rule.conditions.iter().all(|c| holds(c, candidate)))?;
    named(&rule.name, Manager::Config, &rule.evidence)
}

fn holds(condition: &Condition, candidate: &Candidate<'_>) -> bool {
    let facts = candidate.facts;
    match condition {
        Condition::Unit(pattern) => {
            systemd::unit(candidate).is_some_and(|unit| pattern.matches(unit.name))
        }
        Condition::Exe(pattern) => {
            let exe = facts.exe.as_deref().unwrap_or_else(|| candidate.title());
            pattern.matches(if pattern.as_str().contains('/') {
                exe
            } else {
                basename(exe)
            })
        }
        Condition::Cmdline(regex) => regex.is_match(facts.args.join(" ").trim_end()),
        Condition::Port(port) => candidate.ports.contains(port),
        Condition::Cwd(pattern) => facts.cwd.as_deref().is_some_and(|cwd| pattern.matches(cwd)),
        Condition::User(user) => {
            facts.user.as_deref() == Some(&**user) || user.parse() == Ok(facts.task.uid)
        }
        Condition::Cgroup(pattern) => facts
            .cgroup_path
            .as_deref()
            .is_some_and(|path| pattern.matches(path)),
    }
}
