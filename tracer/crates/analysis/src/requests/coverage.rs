//! Which witnesses follow a proxy, and so whether they would report each request that fails there.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracer_model::{Manager, ProcessKey, Service, What, Witnesses};
use tracer_proxylog::{Fact, Profile, profile_of};

use super::pair::Proxy;
use crate::world::{World, key_of, same};

/// Processes of proxies whose witnesses are known; processes that exited go first.
const MAX_WITNESSED: usize = 4096;
/// Processes whose logs are cached.
const MAX_LOGS: usize = 64;

/// Which witnesses follow the processes of a service.
#[derive(Clone, Copy, Default)]
pub(super) struct Coverage {
    http: bool,
    tls: bool,
    /// Whether its log is followed.
    pub log: bool,
    /// What is known about the proxy whose log that is.
    pub profile: Option<&'static Profile>,
}

impl Coverage {
    /// Whether the log has no line about a request that the application answered.
    pub(super) fn is_silent_about_answers(&self) -> bool {
        self.profile
            .is_some_and(|profile| !profile.says(Fact::Answered))
    }
}

/// The proxy that writes a log.
#[derive(Clone)]
pub(super) struct Log {
    pub proxy: Arc<Proxy>,
    /// Whether other witnesses report every HTTP/1 request that fails at the proxy.
    pub covered: bool,
}

/// The witnesses of all proxies.
#[derive(Default)]
pub(super) struct Coverages {
    witnesses: BTreeMap<ProcessKey, Witnesses>,
    /// Logs by the process that writes them: a cache that is valid until the world changes.
    logs: BTreeMap<ProcessKey, Log>,
}

impl Coverages {
    /// Empties the cache if `what` may change the world. The observations that a storm of failed
    /// requests consists of don't.
    pub(super) fn invalidate(&mut self, what: &What) {
        if !matches!(
            what,
            What::Http(_)
                | What::HttpCounted(_)
                | What::ProxyLog(_)
                | What::ConnectFailed(_)
                | What::ConnectionCut { .. }
                | What::Tick
        ) {
            self.logs.clear();
        }
    }

    /// Witnesses follow a process, or no longer do.
    pub(super) fn insert(&mut self, world: &World, witnesses: Witnesses) {
        let known = &mut self.witnesses;
        if known.len() >= MAX_WITNESSED {
            known.retain(|key, _| {
                let process = world.processes.get(*key);
                process.is_some_and(|process| process.dead.is_none())
            });
        }
        if known.len() < MAX_WITNESSED {
            known.insert(witnesses.proxy, witnesses);
        }
    }

    /// The proxy whose log a process writes.
    pub(super) fn log_of(&mut self, world: &World, process: ProcessKey) -> Log {
        if let Some(known) = self.logs.get(&process) {
            return known.clone();
        }
        let service = match world.processes.find(process) {
            Some(process) => process.attribution.service.clone(),
            None => match world.only_proxy() {
                Some(only) => only.clone(),
                None => unknown_proxy(),
            },
        };
        let log = Log {
            covered: self.is_covered(world, &service, process),
            proxy: Arc::new(Proxy {
                key: key_of(&service),
                service,
            }),
        };
        if self.logs.len() >= MAX_LOGS {
            self.logs.clear();
        }
        self.logs.insert(process, log.clone());
        log
    }

    /// Which witnesses follow a service.
    pub(super) fn of(&self, world: &World, service: &Service) -> Coverage {
        let mut coverage = Coverage::default();
        for (key, witnesses) in &self.witnesses {
            let Some(process) = world.processes.get(*key) else {
                continue;
            };
            if process.dead.is_some() || !same(&process.attribution.service, service) {
                continue;
            }
            coverage.http |= witnesses.http;
            coverage.tls |= witnesses.tls;
            if witnesses.log {
                let role = process.attribution.role;
                coverage.log = true;
                coverage.profile = coverage.profile.or_else(|| profile_of(role?));
            }
        }
        coverage
    }

    /// Whether the kernel and the TLS library report every HTTP/1 request that fails at a proxy.
    fn is_covered(&self, world: &World, proxy: &Service, process: ProcessKey) -> bool {
        let coverage = self.of(world, proxy);
        let ports = world.ports_around(process);
        let (tls, plain): (Vec<u16>, Vec<u16>) =
            ports.into_iter().partition(|port| port % 1000 == 443);
        (coverage.http && (coverage.tls || tls.is_empty())) || (coverage.tls && plain.is_empty())
    }
}

/// The service of a proxy that is not known.
pub(super) fn unknown_proxy() -> Service {
    Service {
        name: "unknown".into(),
        manager: Manager::Process,
        evidence: "nothing is known to listen there".into(),
    }
}
