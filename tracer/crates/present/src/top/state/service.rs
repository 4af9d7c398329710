//! One service: its state, listeners, memory and failures, as one row of the list shows them.

use std::sync::Arc;

use tracer_analysis::world::ServiceView;
use tracer_model::{Endpoint, Manager, ProxyKind, WallTime};

use super::series::Series;

/// Addresses kept of one service.
const MAX_LISTENS: usize = 64;
/// A service is failing while requests for it failed within this time.
const LATELY_SECONDS: usize = 3;

/// A program without a manager that died stays on the screen for so long.
const FORGET_NS: i64 = 60_000_000_000;

/// The state of a service, worst first: the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    /// Its incident is open, and it does not run or does not listen.
    Down,
    /// It died again and again while restarting.
    CrashLoop,
    /// It runs again, but its incident stays open until it has stayed up.
    Recovering,
    /// Requests for it failed in the last seconds.
    Failing,
    /// It runs.
    Up,
    /// It has no process, and no incident either.
    Stopped,
}

/// Where a service listens, or did.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) address: Endpoint,
    /// Since when it is down.
    pub(crate) down: Option<WallTime>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    manager: Manager,
    role: Option<ProxyKind>,
    pub(crate) processes: usize,
    pub(crate) listens: Vec<Listen>,
    pub(crate) restarts: u64,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) limit_bytes: Option<u64>,
    /// Memory, bytes.
    pub(crate) memory: Series,
    /// Requests that failed, or, where none are followed, connects.
    pub(crate) failed: Series,
    pub(crate) requests_failed: u64,
    pub(crate) connects_failed: u64,
    /// The open incident and when it began.
    pub(crate) incident: Option<(u64, WallTime)>,
    pub(crate) crash_loop: bool,
    /// Deaths since it was last seen running.
    pub(super) deaths_pending: u64,
    /// Time of the last finding or sample about it.
    pub(super) touched: WallTime,
}

impl Service {
    pub(super) fn new(name: &Arc<str>, manager: Manager) -> Self {
        Self {
            name: Arc::clone(name),
            manager,
            role: None,
            processes: 0,
            listens: Vec::new(),
            restarts: 0,
            memory_bytes: None,
            limit_bytes: None,
            memory: Series::default(),
            failed: Series::default(),
            requests_failed: 0,
            connects_failed: 0,
            incident: None,
            crash_loop: false,
            deaths_pending: 0,
            touched: WallTime(i64::MIN),
        }
    }

    pub(crate) fn health(&self, now: WallTime) -> Health {
        let down = self.processes == 0 || self.listens.iter().any(|it| it.down.is_some());
        match self.incident {
            Some(_) if self.crash_loop => Health::CrashLoop,
            Some(_) if down => Health::Down,
            Some(_) => Health::Recovering,
            None if self.failed.recent(now, LATELY_SECONDS) > 0 => Health::Failing,
            None if self.processes == 0 => Health::Stopped,
            None => Health::Up,
        }
    }

    /// Whether it is just a program: no manager, no listener, no proxy.
    pub(crate) fn is_plain(&self) -> bool {
        self.manager == Manager::Process && self.listens.is_empty() && self.role.is_none()
    }

    /// Failures so far: requests or, where no requests are followed, connects.
    pub(crate) fn failures(&self) -> u64 {
        self.requests_failed.max(self.connects_failed)
    }

    /// Takes over a sample: it runs.
    pub(super) fn seen(&mut self, view: &ServiceView, memory_bytes: Option<u64>, at: WallTime) {
        self.touched = at;
        self.role = view.role;
        self.processes = view.pids.len();
        self.limit_bytes = view.limit_bytes;
        self.restarts = self.restarts.saturating_add(self.deaths_pending);
        self.deaths_pending = 0;
        for address in view.listens.iter().take(MAX_LISTENS) {
            self.listens_at(address);
        }
        // An address that it gave up without an outage.
        self.listens
            .retain(|it| it.down.is_some() || view.listens.contains(&it.address));
        if self.incident.is_none() {
            self.listens.retain(|it| it.down.is_none());
        }
        self.memory_bytes = memory_bytes;
        if let Some(bytes) = memory_bytes {
            self.memory.set(at, bytes);
        }
    }

    /// It has no process.
    pub(super) fn vanished(&mut self) {
        self.processes = 0;
        self.memory_bytes = None;
        if self.incident.is_none() {
            self.listens.clear();
        }
    }

    /// Whether it is no longer shown: a program that ran and exited, as most do.
    pub(super) fn is_forgotten(&self, now: WallTime) -> bool {
        let eventful = self.deaths_pending > 0 || self.restarts > 0 || self.failures() > 0;
        let long_ago = now.0.saturating_sub(self.touched.0) > FORGET_NS;
        self.processes == 0 && self.incident.is_none() && self.is_plain() && (long_ago || !eventful)
    }

    pub(super) fn listens_at(&mut self, address: &Endpoint) {
        let room = self.listens.len() < MAX_LISTENS;
        if let Some(known) = self.listens.iter_mut().find(|it| it.address == *address) {
            known.down = None;
        } else if room {
            self.listens.push(Listen {
                address: address.clone(),
                down: None,
            });
        }
    }

    pub(super) fn stopped_listening(&mut self, address: &Endpoint, at: WallTime) {
        self.listens_at(address);
        if let Some(known) = self.listens.iter_mut().find(|it| it.address == *address) {
            known.down = Some(at);
        }
    }
}
