//! One outage of a service, from its first loss on: what it cost, and what explains its effects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tracer_model::quantity::millis;
use tracer_model::{Because, Body, Cause, Incident, IncidentState, Service, Timestamp};

use super::history::{Fatality, Origin};
use super::losses::Lost;
use super::world::{Place, World, key_of};

/// This many outages in a row are a crash loop.
const CRASH_LOOP: u32 = 3;

/// See the module.
pub(super) struct Outage {
    pub id: u64,
    pub service: Service,
    pub cause: Cause,
    pub summary: Arc<str>,
    /// Like `summary`, but of the newest death.
    pub last: Arc<str>,
    pub advice: Vec<String>,
    pub opened: Timestamp,
    pub deaths: u64,
    pub connects_failed: u64,
    pub connections_cut: u64,
    pub requests: Lost,
    pub death: Option<Fatality>,
    pub lost: BTreeSet<Place>,
    /// Places that were lost and are up again: since when they were down, and until when.
    pub regained: BTreeMap<Place, (Timestamp, Timestamp)>,
    pub awaits_process: bool,
    pub down_since: Option<Timestamp>,
    pub down: Duration,
    pub outages: u32,
    pub closes: Option<Timestamp>,
    /// When it recovered; its last effects may still arrive.
    pub recovered: Option<Timestamp>,
}

/// Explains why a service did not respond.
pub(super) struct Explanation {
    origin: Origin,
    down: Timestamp,
    at: Timestamp,
}

impl Explanation {
    /// The explanation, as a finding has it.
    pub(super) fn because(&self) -> Because {
        self.origin.because(self.down, self.at)
    }
}

impl Outage {
    /// An outage that begins now. `outages`: the outages in a row before it.
    pub(super) fn new(
        id: u64,
        service: &Service,
        at: Timestamp,
        cause: Cause,
        summary: &Arc<str>,
        outages: u32,
    ) -> Self {
        Self {
            id,
            service: service.clone(),
            cause,
            summary: Arc::clone(summary),
            last: Arc::clone(summary),
            advice: Vec::new(),
            opened: at,
            deaths: 0,
            connects_failed: 0,
            connections_cut: 0,
            requests: Lost::default(),
            death: None,
            lost: BTreeSet::new(),
            regained: BTreeMap::new(),
            awaits_process: false,
            down_since: None,
            down: Duration::ZERO,
            outages,
            closes: None,
            recovered: None,
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.awaits_process || !self.lost.is_empty()
    }

    pub(super) fn went_down(&mut self, at: Timestamp) {
        self.closes = None;
        if self.down_since.is_none() {
            self.down_since = Some(at);
            self.outages = self.outages.saturating_add(1);
        }
    }

    pub(super) fn explain(&mut self, down: Timestamp, at: Timestamp, count: u64) -> Explanation {
        self.connects_failed = self.connects_failed.saturating_add(count);
        Explanation {
            origin: self.origin(),
            down,
            at,
        }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin {
            incident: self.id,
            service: key_of(&self.service),
            death: self.death,
            summary: Arc::clone(&self.last),
        }
    }

    pub(super) fn finding(
        &self,
        state: IncidentState,
        closed: Option<Timestamp>,
        world: &World,
    ) -> Body {
        Body::Incident(Box::new(Incident {
            id: self.id,
            state,
            service: self.service.clone(),
            cause: self.cause,
            summary: self.summary.to_string(),
            opened: world.wall(self.opened),
            closed: closed.map(|at| world.wall(at)),
            down_ms: (!self.down.is_zero()).then(|| millis(self.down)),
            deaths: self.deaths,
            connects_failed: self.connects_failed,
            connections_cut: self.connections_cut,
            requests_failed: self.requests.count(),
            requests: self.requests.first(),
            requests_by_template: self.requests.by_template(),
            crash_loop: self.outages >= CRASH_LOOP,
            advice: self.advice.clone(),
        }))
    }
}
