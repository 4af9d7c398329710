//! Which service a process belongs to: the rules in order of precedence, each in a file of its own;
//! the rules of service managers are in `managers`.
//!
//! A rule is a pure function from [`Candidate`] to a service or nothing; it says in
//! [`Service::evidence`] what the name is based on. Nothing here reads the machine: a process that
//! was too short-lived for /proc is judged by its cgroup, its name and its parent.

mod app_server;
mod config;
mod inherit;
mod process;
pub(super) mod proxy;
pub(super) mod script;
#[cfg(test)]
mod tests;

use tracer_model::{ProxyKind, Service};

use super::candidate::Candidate;
use super::managers;
use super::rules::Rules;

/// What the rules concluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The service.
    pub service: Service,
    /// The kind of proxy the process is, if it is one.
    pub role: Option<ProxyKind>,
}

/// Names the service of a process by the first rule that knows it. Whether the process is a proxy
/// does not depend on the name.
pub fn attribute(candidate: &Candidate<'_>, rules: &Rules) -> Attribution {
    Attribution {
        service: service(candidate, rules),
        role: proxy::role(candidate),
    }
}

fn service(candidate: &Candidate<'_>, rules: &Rules) -> Service {
    config::service(candidate, rules)
        .or_else(|| inherit::within_container(candidate))
        .or_else(|| managers::by_own_evidence(candidate))
        .or_else(|| inherit::within_unit(candidate))
        .or_else(|| managers::by_place(candidate))
        .or_else(|| app_server::service(candidate))
        .or_else(|| proxy::service(candidate))
        .or_else(|| managers::by_files(candidate))
        .or_else(|| inherit::from_parent(candidate))
        .or_else(|| script::service(candidate))
        .unwrap_or_else(|| process::service(candidate))
}
