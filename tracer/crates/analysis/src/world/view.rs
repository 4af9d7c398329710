//! A running service, as lists show it.

use tracer_model::{Endpoint, Pid, ProxyKind, RunningService, Service};

/// A running service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// The service.
    pub service: Service,
    /// The kind of proxy, if one of its processes is a proxy.
    pub role: Option<ProxyKind>,
    /// Its processes, ascending.
    pub pids: Vec<Pid>,
    /// Where it listens.
    pub listens: Vec<Endpoint>,
    /// The lowest memory limit that applies to any of its processes, bytes.
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
