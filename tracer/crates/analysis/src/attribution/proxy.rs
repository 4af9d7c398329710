//! Proxies: whether a process is one, and the name of those without a manager.

use tracer_model::{Manager, ProxyKind, Service};
use tracer_proxylog::profile_of_program;

use crate::candidate::{Candidate, basename, named};

/// A proxy that was started by hand or by an init script.
pub(crate) fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let kind = role(candidate)?;
    let facts = candidate.facts;
    let evidence = match facts.exe.as_deref() {
        Some(exe) => format!("executable {exe}"),
        None if candidate.title().is_empty() => format!("name {}", facts.task.comm.to_text()),
        None => format!("title {:?}", candidate.title()),
    };
    named(kind.as_str(), Manager::Proxy, &evidence)
}

/// The kind of proxy that a process is: by its executable, else by its title, else by the name that
/// the kernel knows.
pub(super) fn role(candidate: &Candidate<'_>) -> Option<ProxyKind> {
    if let Some(exe) = candidate.facts.exe.as_deref() {
        return kind_of(basename(exe));
    }
    let title = candidate.title();
    if title.is_empty() {
        return kind_of(&candidate.facts.task.comm.to_text());
    }
    // `nginx: worker process` or `/usr/sbin/nginx`.
    kind_of(basename(title.split(':').next().unwrap_or(title)))
}

fn kind_of(program: &str) -> Option<ProxyKind> {
    profile_of_program(program).map(|profile| profile.kind)
}
