//! The running services as a list: for the `start` finding and `tracer services`.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracer_model::{Endpoint, NetNs, Pid, ProxyKind, RunningService, Service};

use super::machine::World;
use super::processes::Process;

/// A running service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// The service.
    pub service: Service,
    /// The kind of proxy, when one of its processes is one.
    pub role: Option<ProxyKind>,
    /// Its processes, ascending.
    pub pids: Vec<Pid>,
    /// Where it listens.
    pub listens: Vec<Endpoint>,
    /// The lowest memory limit of its processes, bytes.
    pub limit_bytes: Option<u64>,
}

impl From<ServiceView> for RunningService {
    fn from(view: ServiceView) -> Self {
        Self {
            service: view.service,
            processes: view.pids.len(),
            listens: view.listens,
        }
    }
}

impl World {
    /// The running services by name, without the process `except`: the tracer itself.
    pub fn services(&self, except: Pid) -> Vec<ServiceView> {
        let mut all = BTreeMap::new();
        let others = |process: &&Process| process.task.key.pid != except;
        for process in self.processes.live().filter(others) {
            let service = &process.attribution.service;
            let view = all
                .entry((Arc::clone(&service.name), service.manager))
                .or_insert_with(|| ServiceView {
                    service: service.clone(),
                    role: None,
                    pids: Vec::new(),
                    listens: Vec::new(),
                    limit_bytes: None,
                });
            view.pids.push(process.task.key.pid);
            view.role = view.role.or(process.attribution.role);
            let limits = [view.limit_bytes, process.facts.memory_limit_bytes];
            view.limit_bytes = limits.into_iter().flatten().min();
        }
        for ((_, address), listening) in self.listeners.in_any_order() {
            let service = self.listener_service(listening);
            if listening.down.is_none()
                && let Some(view) = all.get_mut(&(Arc::clone(&service.name), service.manager))
                && !view.listens.contains(address)
            {
                view.listens.push(address.clone());
            }
        }
        let mut views: Vec<_> = all.into_values().collect();
        for view in &mut views {
            view.pids.sort_unstable();
            view.listens.sort();
        }
        views
    }

    /// Name of the service that listens at an address, or was the last to do so.
    pub fn service_at(&self, netns: NetNs, address: &Endpoint) -> Option<Arc<str>> {
        let (_, listening) = self.upstream(netns, address)?;
        Some(Arc::clone(&self.listener_service(listening).name))
    }
}
