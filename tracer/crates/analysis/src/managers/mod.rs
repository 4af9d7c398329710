//! Service managers: a file for each, with everything that is known of it, and the registry.
//!
//! How its processes and services are recognised, how it stops them, what its clients are called,
//! where its logs are and what to do about a death: whatever asks, asks here. A new manager is a
//! file, a row of [`ALL`] and a row of [`Manager`] in the model.

mod aapanel;
mod clients;
mod container;
pub(crate) mod container_id;
mod init;
mod php_fpm;
mod pm2;
mod profile;
mod runit;
mod s6;
mod service_directory;
mod shell_word;
mod supervisor;
pub(crate) mod systemd;

pub use clients::Request;
pub(crate) use profile::{Advice, Children};
pub use profile::{ManagerKind, SenderFacts, SenderName};

use tracer_model::{Manager, Service};

use crate::candidate::Candidate;
use profile::{Profile, Rule};

/// The managers, in the order in which they are asked for the service of a process.
const ALL: [&Profile; 9] = [
    &init::PROFILE,
    &container::PROFILE,
    &supervisor::PROFILE,
    &pm2::PROFILE,
    &runit::PROFILE,
    &s6::PROFILE,
    &php_fpm::PROFILE,
    &aapanel::PROFILE,
    &systemd::PROFILE,
];

/// A manager that sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagerSender {
    /// Which manager.
    pub kind: ManagerKind,
    /// What it is called.
    pub name: SenderName,
}

/// The service by what only the process itself has: its environment, title, container or parent.
pub(crate) fn by_own_evidence(candidate: &Candidate<'_>) -> Option<Service> {
    first(candidate, |profile| profile.by_own_evidence)
}

/// The service by the unit that the process runs in.
pub(crate) fn by_place(candidate: &Candidate<'_>) -> Option<Service> {
    first(candidate, |profile| profile.by_place)
}

/// The service by where its files are.
pub(crate) fn by_files(candidate: &Candidate<'_>) -> Option<Service> {
    first(candidate, |profile| profile.by_files)
}

fn first(candidate: &Candidate<'_>, rule: fn(&Profile) -> Option<Rule>) -> Option<Service> {
    ALL.iter()
        .find_map(|profile| rule(profile).and_then(|service| service(candidate)))
}

/// Which service the children of a service's processes belong to; `None` when nothing manages it.
pub(crate) fn children(manager: Manager) -> Option<Children> {
    profile(ManagerKind::Of(manager)).map(|profile| profile.children)
}

/// Whether processes of a service start what isn't their own.
pub(crate) fn starts_others(service: &Service) -> bool {
    profile(ManagerKind::Of(service.manager))
        .is_some_and(|profile| (profile.starts_others)(&service.name))
}

/// Whether a program is a manager's own.
pub(crate) fn is_program(program: &str) -> bool {
    ALL.iter().any(|profile| (profile.is_program)(program))
}

/// Whether a script is a manager's own.
pub(crate) fn is_script(script: &str) -> bool {
    ALL.iter().any(|profile| (profile.is_script)(script))
}

/// The manager that a sender is, if it is one.
pub(crate) fn sender(facts: &SenderFacts<'_>) -> Option<ManagerSender> {
    ALL.iter().find_map(|profile| {
        let name = (profile.sender)(facts)?;
        Some(ManagerSender {
            kind: profile.kind,
            name,
        })
    })
}

impl ManagerSender {
    /// The parent of the process that the signal was sent to.
    pub(crate) const PARENT: Self = Self {
        kind: ManagerKind::Parent,
        name: SenderName::OneOf("its parent"),
    };

    /// What a SIGKILL of its means that followed no request to stop.
    pub(crate) fn kill_means(self) -> Option<&'static str> {
        profile(self.kind).and_then(|profile| profile.kill_means)
    }

    /// Whether a SIGKILL right after its own request to stop is its ordinary way to stop a process.
    pub(crate) fn kill_completes_stop(self) -> bool {
        profile(self.kind).is_some_and(|profile| profile.kill_completes_stop)
    }
}

/// What a command line asks a manager for; `None` when it is no client's, or only looks.
pub fn request(args: &[Box<str>]) -> Option<Request<'_>> {
    clients::request(args, |name| {
        ALL.iter()
            .flat_map(|profile| profile.clients)
            .find(|client| client.programs.contains(&name))
    })
}

/// What to do about a death of a service of this manager's.
pub(crate) fn advice(manager: Manager) -> Advice {
    profile(ManagerKind::Of(manager)).map_or(Advice::NONE, |profile| profile.advice)
}

fn profile(kind: ManagerKind) -> Option<&'static Profile> {
    ALL.into_iter().find(|profile| profile.kind == kind)
}

#[cfg(test)]
mod tests;
