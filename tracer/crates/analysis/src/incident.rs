//! Incidents: one per outage of a service, from its first death or lost listener until it recovers.
//! A service has at most one open incident; if it keeps going down, the incident lasts until it
//! stays up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracer_model::{Body, Cause, IncidentState, LostRequest, ProcessKey, Service, Timestamp};

use super::history::{Explained, History};
use super::outage::{Explanation, Outage};
use super::world::{Exited, Place, ServiceKey, World, key_of};

/// A service that is down again this soon is flapping: it has recovered once it stays up this long.
const SETTLE: Duration = Duration::from_secs(10);
/// Effects of an outage arrive until this long after it: a proxy responds to its client after the
/// connect has failed.
const TRAIL: Duration = Duration::from_millis(200);
/// An incident of a death that takes nothing down stays open this long, for its effects.
const GRACE: Duration = Duration::from_millis(100);
/// The same if the process alone held listeners: the kernel frees its memory before it closes its
/// sockets.
const LISTENER_GRACE: Duration = Duration::from_secs(5);
const MAX_OPEN: usize = 1024;

/// A death, as input to incidents.
pub(super) struct Loss {
    pub process: ProcessKey,
    pub cause: Cause,
    pub summary: Arc<str>,
    pub advice: Vec<String>,
    /// The service does not listen, and this was its last main process.
    pub takes_down: bool,
    /// It held listeners that no other process holds: they are about to go down.
    pub listens_alone: bool,
}

/// All incidents.
#[derive(Default)]
pub(super) struct Incidents {
    open: BTreeMap<ServiceKey, Outage>,
    /// When a service recovered last, and its outages in a row.
    recovered: BTreeMap<ServiceKey, (Timestamp, u32)>,
    history: History,
    count: u64,
    /// When the first of `open` closes by itself.
    due: Option<Timestamp>,
}

impl Incidents {
    pub(super) fn total(&self) -> u64 {
        self.count
    }

    pub(super) fn open_count(&self) -> u64 {
        let open = |outage: &&Outage| outage.recovered.is_none();
        self.open.values().filter(open).count() as u64
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// To be called when any `closes` may have changed: rarely, whereas `due` is read at each
    /// observation.
    fn find_due(&mut self) {
        self.due = self.open.values().filter_map(|outage| outage.closes).min();
    }

    pub(super) fn awaits_process(&self, service: &ServiceKey) -> bool {
        self.open
            .get(service)
            .is_some_and(|outage| outage.awaits_process)
    }

    /// Adds a death. Returns the id of its incident, and findings: of the incident before it if that
    /// is over, and of a new incident.
    pub(super) fn death(
        &mut self,
        service: &Service,
        at: Timestamp,
        loss: Loss,
        opens: bool,
        world: &World,
    ) -> (Option<u64>, Vec<Body>) {
        let key = key_of(service);
        let (new, mut bodies) = self.begin(service, at, loss.cause, &loss.summary, opens, world);
        let Some(outage) = self
            .open
            .get_mut(&key)
            .filter(|one| one.recovered.is_none())
        else {
            return (None, bodies);
        };
        outage.deaths += 1;
        outage.death = Some((loss.process.pid, loss.cause, at));
        outage.last.clone_from(&loss.summary);
        if outage.cause == Cause::Unknown {
            outage.cause = loss.cause;
            outage.summary = loss.summary;
        }
        if outage.advice.is_empty() {
            outage.advice = loss.advice;
        }
        if loss.takes_down {
            outage.awaits_process = true;
            outage.went_down(at);
        } else if !outage.is_down() && (new || loss.listens_alone) {
            let grace = if loss.listens_alone {
                LISTENER_GRACE
            } else {
                GRACE
            };
            outage.closes = outage.closes.max(Some(at.after(grace)));
        }
        self.history.died(loss.process, at, &outage.origin());
        let id = outage.id;
        bodies.extend(new.then(|| outage.finding(IncidentState::Open, None, world)));
        self.find_due();
        (Some(id), bodies)
    }

    /// Nothing listens at an address of a service any more. Returns the same as [`Self::death`].
    pub(super) fn listener_down(
        &mut self,
        service: &Service,
        place: Place,
        at: Timestamp,
        death: Option<(ProcessKey, &Exited)>,
        opens: bool,
        world: &World,
    ) -> (Option<u64>, Vec<Body>) {
        let key = key_of(service);
        let cause = death.map_or(Cause::Unknown, |(_, end)| end.cause);
        let summary = death.map_or_else(
            || Arc::from("stopped listening"),
            |(_, end)| Arc::clone(&end.summary),
        );
        let (new, mut bodies) = self.begin(service, at, cause, &summary, opens, world);
        let Some(outage) = self
            .open
            .get_mut(&key)
            .filter(|one| one.recovered.is_none())
        else {
            return (None, bodies);
        };
        if new {
            outage.death = death.map(|(process, end)| (process.pid, end.cause, end.at));
            outage.deaths = u64::from(death.is_some());
        }
        let origin = outage.origin();
        if let Some((process, end)) = death {
            self.history.died(process, end.at, &origin);
        }
        self.history.down(&place, at, origin);
        outage.regained.remove(&place);
        outage.lost.insert(place);
        // From now on the listeners decide whether the service has recovered.
        outage.awaits_process = false;
        outage.went_down(at);
        let id = outage.id;
        bodies.extend(new.then(|| outage.finding(IncidentState::Open, None, world)));
        self.find_due();
        (Some(id), bodies)
    }

    /// Something listens again, whichever service it is, at an address where nothing did since `down`.
    pub(super) fn listener_up(
        &mut self,
        place: &Place,
        down: Option<Timestamp>,
        at: Timestamp,
        world: &World,
    ) -> (Option<u64>, Vec<Body>) {
        self.history.up(place, at);
        let Some((key, outage)) = self
            .open
            .iter_mut()
            .find(|(_, outage)| outage.lost.contains(place))
        else {
            return (None, Vec::new());
        };
        outage.lost.remove(place);
        if let Some(down) = down {
            outage.regained.insert(place.clone(), (down, at));
        }
        let (id, key) = (outage.id, key.clone());
        let bodies = self.recover(&key, at, world);
        self.find_due();
        (Some(id), bodies)
    }

    /// A main process of the service runs.
    pub(super) fn process_up(
        &mut self,
        service: &ServiceKey,
        at: Timestamp,
        world: &World,
    ) -> Vec<Body> {
        if let Some(outage) = self.open.get_mut(service) {
            outage.awaits_process = false;
        }
        let bodies = self.recover(service, at, world);
        self.find_due();
        bodies
    }

    fn recover(&mut self, key: &ServiceKey, at: Timestamp, world: &World) -> Vec<Body> {
        let Some(outage) = self.open.get_mut(key) else {
            return Vec::new();
        };
        if outage.is_down() {
            return Vec::new();
        }
        if let Some(since) = outage.down_since.take() {
            outage.down += at.since(since);
        }
        if outage.outages > 1 {
            outage.closes = Some(at.after(SETTLE));
            return Vec::new();
        }
        if outage.connects_failed + outage.connections_cut > 0 {
            outage.recovered = Some(at);
            outage.closes = Some(at.after(TRAIL));
            return Vec::new();
        }
        self.close(key, at, world).into_iter().collect()
    }

    /// Closes the incidents that are due.
    pub(super) fn advance(&mut self, now: Timestamp, world: &World) -> Vec<Body> {
        let ripe: Vec<ServiceKey> = self
            .open
            .iter()
            .filter(|(_, outage)| outage.closes.is_some_and(|at| at <= now))
            .map(|(key, _)| key.clone())
            .collect();
        let bodies = ripe
            .iter()
            .filter_map(|key| self.close(key, now, world))
            .collect();
        self.find_due();
        bodies
    }

    /// Findings of the incidents that are open when the tracer stops.
    pub(super) fn at_end(&self, world: &World) -> Vec<Body> {
        let mut open: Vec<&Outage> = self.open.values().collect();
        open.sort_by_key(|outage| outage.id);
        open.into_iter()
            .map(|outage| {
                let state = match outage.recovered {
                    Some(_) => IncidentState::Closed,
                    None => IncidentState::Open,
                };
                outage.finding(state, outage.recovered, world)
            })
            .collect()
    }

    /// Explains failed connects to `service` at `at`, where nothing listens since `down`, and counts
    /// them.
    pub(super) fn explain(
        &mut self,
        service: &Service,
        place: &Place,
        down: Timestamp,
        at: Timestamp,
        count: u64,
    ) -> Option<Explanation> {
        let outage = self.open.get_mut(&key_of(service))?;
        if !outage.lost.contains(place) {
            return None;
        }
        Some(outage.explain(down, at, count))
    }

    /// Explains why `service` refuses connections although it listens: the hook sees a listener before
    /// connects can find it, and the thread that starts it may have to wait for a processor in
    /// between. Counts the failures, and waits for more.
    pub(super) fn explain_refusal(
        &mut self,
        service: &Service,
        place: &Place,
        at: Timestamp,
        count: u64,
    ) -> Option<Explanation> {
        let outage = self.open.get_mut(&key_of(service))?;
        let &(down, up) = outage.regained.get(place)?;
        if at.since(up) > SETTLE {
            return None;
        }
        outage.closes = outage.closes.max(Some(at.after(TRAIL)));
        let explanation = outage.explain(down, at, count);
        self.history.still_down(place, at);
        self.find_due();
        Some(explanation)
    }

    /// What explained failures lately, also incidents that are over.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Adds requests that failed because of an incident. If it is closed, it has been reported: they
    /// are only in the totals.
    pub(super) fn requests_failed(&mut self, cause: &Explained, request: LostRequest, count: u64) {
        if let Some(outage) = self.open.get_mut(&cause.service)
            && outage.id == cause.because.incident
        {
            outage.requests.add(request, count);
        }
    }

    /// Adds cut connections of a service. Returns its incident.
    pub(super) fn cut(&mut self, service: &Service, count: u64) -> Option<u64> {
        let outage = self.open.get_mut(&key_of(service))?;
        outage.connections_cut = outage.connections_cut.saturating_add(count);
        Some(outage.id)
    }

    /// Opens an incident for a service that has none, if `opens`. An incident that is over, and only
    /// waits for its last effects, closes first. Returns whether there is a new incident, and the
    /// finding of the closed one.
    fn begin(
        &mut self,
        service: &Service,
        at: Timestamp,
        cause: Cause,
        summary: &Arc<str>,
        opens: bool,
        world: &World,
    ) -> (bool, Vec<Body>) {
        let key = key_of(service);
        let mut bodies = Vec::new();
        if opens
            && self
                .open
                .get(&key)
                .is_some_and(|one| one.recovered.is_some())
        {
            bodies.extend(self.close(&key, at, world));
            self.find_due();
        }
        let new = opens && !self.open.contains_key(&key) && self.start(service, at, cause, summary);
        (new, bodies)
    }

    fn start(
        &mut self,
        service: &Service,
        at: Timestamp,
        cause: Cause,
        summary: &Arc<str>,
    ) -> bool {
        if self.open.len() >= MAX_OPEN {
            return false;
        }
        let key = key_of(service);
        let outages = self
            .recovered
            .remove(&key)
            .filter(|(recovered, _)| at.since(*recovered) <= SETTLE)
            .map_or(0, |(_, outages)| outages);
        self.count += 1;
        self.open.insert(
            key,
            Outage::new(self.count, service, at, cause, summary, outages),
        );
        true
    }

    fn close(&mut self, key: &ServiceKey, at: Timestamp, world: &World) -> Option<Body> {
        let outage = self.open.remove(key)?;
        let at = outage.recovered.unwrap_or(at);
        if outage.outages > 0 {
            self.recovered.insert(key.clone(), (at, outage.outages));
            if self.recovered.len() > MAX_OPEN
                && let Some(oldest) = self
                    .recovered
                    .iter()
                    .min_by_key(|(_, (at, _))| *at)
                    .map(|(key, _)| key.clone())
            {
                self.recovered.remove(&oldest);
            }
        }
        Some(outage.finding(IncidentState::Closed, Some(at), world))
    }
}
