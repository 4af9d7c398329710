//! Which service a process belongs to: the rules in order of precedence, each in a file of its own.
//!
//! A rule is a pure function from [`Candidate`] to a service or nothing; it says in
//! [`Service::evidence`] what told so. Nothing here reads the machine: a process that was too
//! short-lived for /proc is judged by its cgroup, its name and its parent.

mod aapanel;
mod app_server;
mod config;
mod container;
mod inherit;
mod php_fpm;
mod pm2;
mod process;
mod proxy;
mod script;
mod supervisor;
mod systemd;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use tracer_model::{Comm, ContainerFacts, Manager, ProcessFacts, ProxyKind, Service};

use super::rules::Rules;

/// Longest name of a service, in characters.
const NAME_CHARS: usize = 200;
/// Longest evidence, in characters.
const EVIDENCE_CHARS: usize = 400;

/// What the rules may look at.
pub struct Candidate<'a> {
    /// The process; for one too short-lived for /proc, only what the kernel told.
    pub facts: &'a ProcessFacts,
    /// The parent's service, when the parent is known.
    pub parent: Option<&'a Service>,
    /// The parent's cgroup path, when that is known.
    pub parent_cgroup: Option<&'a str>,
    /// The parent's name, when that is known.
    pub parent_comm: Option<Comm>,
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

/// Names the service of a process by the first rule that knows it, and tells whether the process
/// is a proxy, which does not depend on the name.
pub fn attribute(candidate: &Candidate<'_>, rules: &Rules) -> Attribution {
    Attribution {
        service: service(candidate, rules),
        role: proxy::role(candidate),
    }
}

fn service(candidate: &Candidate<'_>, rules: &Rules) -> Service {
    config::service(candidate, rules)
        .or_else(|| inherit::within_container(candidate))
        .or_else(|| container::service(candidate))
        .or_else(|| supervisor::service(candidate))
        .or_else(|| pm2::service(candidate))
        .or_else(|| php_fpm::service(candidate))
        .or_else(|| inherit::within_unit(candidate))
        .or_else(|| aapanel::within_panel(candidate))
        .or_else(|| systemd::service(candidate))
        .or_else(|| app_server::service(candidate))
        .or_else(|| proxy::service(candidate))
        .or_else(|| aapanel::service(candidate))
        .or_else(|| inherit::from_parent(candidate))
        .or_else(|| script::service(candidate))
        .unwrap_or_else(|| process::service(candidate))
}

impl Candidate<'_> {
    /// The first argument without the padding that rewritten titles leave; empty when unknown.
    fn title(&self) -> &str {
        self.facts.args.first().map_or("", |arg| arg.trim())
    }

    /// Name of the program: of the executable, else of the first argument, else the main thread's.
    fn program(&self) -> Cow<'_, str> {
        if let Some(exe) = self.facts.exe.as_deref().filter(|exe| !exe.is_empty()) {
            return basename(exe).into();
        }
        // A login shell's first argument is `-bash`; a title is words.
        let arg = self.title().trim_start_matches('-');
        if !arg.is_empty() && !arg.contains([' ', ':']) {
            return basename(arg).into();
        }
        self.facts.task.comm.to_text().into()
    }

    /// The evidence for what the cgroup path tells.
    fn cgroup_evidence(&self) -> String {
        format!(
            "cgroup {}",
            self.facts.cgroup_path.as_deref().unwrap_or_default()
        )
    }
}

/// A service; `None` when nothing of the name is left after cleaning.
fn named(name: &str, manager: Manager, evidence: &str) -> Option<Service> {
    let name = clean(name, NAME_CHARS);
    (!name.is_empty()).then(|| Service {
        name: name.into(),
        manager,
        evidence: clean(evidence, EVIDENCE_CHARS).into(),
    })
}

/// Printable text of at most `chars` characters: names come from whoever runs the process.
fn clean(text: &str, chars: usize) -> String {
    text.trim()
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(chars)
        .collect()
}

/// The part after the last `/`.
fn basename(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
}
