//! What there is to show: findings and samples in; services, incidents and lines out. Pure and
//! bounded; knows nothing about screens.

mod incident;
mod log;
mod series;
mod service;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::tz::TimeZone;

pub(crate) use incident::{Incident, Steps};
pub(crate) use log::{Filter, Line, Log, Tone};
pub(crate) use service::{Health, Service};

use tracer_analysis::world::{ServiceKey, ServiceView};
use tracer_model::{
    Body, ConnectFailure, Cut, Death, FailedRequest, Finding, Manager, WallTime, wording,
};

/// Services kept; stopped ones are dropped first.
const MAX_SERVICES: usize = 1_024;
/// Incidents kept; closed ones are dropped first.
const MAX_INCIDENTS: usize = 200;

/// A service that runs, and the memory it uses, when that is known.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The service.
    pub view: ServiceView,
    /// Its memory, bytes.
    pub memory_bytes: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    now: WallTime,
    began: Option<WallTime>,
    host: String,
    kernel: String,
    services: BTreeMap<ServiceKey, Service>,
    /// Oldest first.
    incidents: VecDeque<Incident>,
    log: Log,
    requests_failed: u64,
    lost: u64,
    unshown: u64,
}

impl State {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self {
            now: WallTime(0),
            began: None,
            host: String::new(),
            kernel: String::new(),
            services: BTreeMap::new(),
            incidents: VecDeque::new(),
            log: Log::new(zone),
            requests_failed: 0,
            lost: 0,
            unshown: 0,
        }
    }

    /// The time of the screen.
    pub(crate) fn now(&self) -> WallTime {
        self.now
    }

    /// When the tracer started.
    pub(crate) fn began(&self) -> Option<WallTime> {
        self.began
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn kernel(&self) -> &str {
        &self.kernel
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Number of requests that failed.
    pub(crate) fn requests_failed(&self) -> u64 {
        self.requests_failed
    }

    /// Events lost, and findings that came faster than they could be shown.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.saturating_add(self.unshown)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = (&ServiceKey, &Service)> {
        self.services.iter()
    }

    /// Oldest first.
    pub(crate) fn incidents(&self) -> impl DoubleEndedIterator<Item = &Incident> {
        self.incidents.iter()
    }

    pub(crate) fn incident(&self, id: u64) -> Option<&Incident> {
        self.incidents.iter().find(|incident| incident.id == id)
    }

    /// Time has passed.
    pub(crate) fn advance(&mut self, now: WallTime) {
        self.now = self.now.max(now);
    }

    /// So many findings were left out, because there were too many to show.
    pub(crate) fn unshown(&mut self, count: u64) {
        self.unshown = self.unshown.saturating_add(count);
    }

    /// The services that run now.
    pub(crate) fn sampled(&mut self, at: WallTime, samples: &[Sample]) {
        self.advance(at);
        for service in self.services.values_mut() {
            service.processes = 0;
        }
        for Sample { view, memory_bytes } in samples {
            let service = self.service(&view.service, at);
            service.seen(view, *memory_bytes, at);
        }
        self.services.retain(|_, service| {
            if service.processes == 0 {
                service.vanished();
            }
            !service.is_forgotten(at)
        });
    }

    /// Takes in a finding.
    pub(crate) fn found(&mut self, finding: &Finding) {
        let at = finding.at;
        self.advance(at);
        self.log.push(finding, incident_of(&finding.body));
        match &finding.body {
            Body::Start(start) => {
                self.began = Some(at);
                self.host.clone_from(&start.host);
                self.kernel.clone_from(&start.kernel);
                for running in &start.services {
                    let service = self.service(&running.service, at);
                    service.processes = running.processes;
                    for address in &running.listens {
                        service.listens_at(address);
                    }
                }
            }
            Body::Oom(_) | Body::Mark(_) | Body::End(_) => {}
            Body::Death(death) => self.death(at, death),
            Body::ListenerDown(change) => {
                let service = self.service(&change.service, at);
                service.stopped_listening(&change.address, at);
                if let Some(incident) = self.incident_mut(change.incident, &change.service, at) {
                    let text = format!("{} stopped listening", change.address);
                    incident.effects.add(at, text);
                }
            }
            Body::ListenerUp(change) => {
                let service = self.service(&change.service, at);
                service.listens_at(&change.address);
                service.processes = service.processes.max(1);
                if let Some(incident) = self.incident_mut(change.incident, &change.service, at) {
                    let text = match change.down_ms {
                        Some(down_ms) => format!(
                            "{} listening again after {}",
                            change.address,
                            wording::milliseconds(down_ms)
                        ),
                        None => format!("{} listening", change.address),
                    };
                    incident.recovery.add(at, text);
                }
            }
            Body::ConnectFailed(failure) => self.connect_failed(at, failure),
            Body::ConnectionCut(cut) => self.cut(at, cut),
            Body::RequestFailed(request) => self.request_failed(at, request),
            Body::Incident(incident) => self.incident_reported(incident),
            Body::Lost(lost) => self.lost = self.lost.saturating_add(lost.count),
        }
    }

    fn death(&mut self, at: WallTime, death: &Death) {
        let service = self.service(&death.service, at);
        service.deaths_pending = service.deaths_pending.saturating_add(1);
        service.processes = service.processes.saturating_sub(1);
        if let Some(incident) = self.incident_mut(death.incident, &death.service, at) {
            incident.deaths = incident.deaths.saturating_add(1);
            let text = format!(
                "{}[{}] {}",
                death.process.comm, death.process.pid, death.why
            );
            incident.causes.add(at, text);
        }
    }

    fn connect_failed(&mut self, at: WallTime, failure: &ConnectFailure) {
        if let Some(upstream) = &failure.upstream.service
            && let Some(service) = self.named(upstream)
        {
            service.connects_failed = service.connects_failed.saturating_add(failure.count);
            if service.requests_failed == 0 {
                service.failed.add(at, failure.count);
            }
        }
        let Some(because) = &failure.because else {
            return;
        };
        if let Some(incident) = self.known_incident(because.incident) {
            incident.connects_failed = incident.connects_failed.saturating_add(failure.count);
            let address = &failure.upstream.address;
            let error = wording::connect_error(failure.error);
            let text = format!("{} → {address}: {error}", failure.proxy.name);
            incident
                .effects
                .count(at, text, Some(address), failure.count);
        }
    }

    fn cut(&mut self, at: WallTime, cut: &Cut) {
        let Some(incident) = self.incident_mut(cut.incident, &cut.service, at) else {
            return;
        };
        incident.connections_cut = incident.connections_cut.saturating_add(cut.count);
        let peer = match &cut.peer {
            Some(peer) => peer.name.to_string(),
            None => cut.peer_address.to_string(),
        };
        let connections = wording::counted(cut.count, "connection", "connections");
        let text = format!("{connections} of {peer} cut");
        incident.effects.add(at, text);
    }

    fn request_failed(&mut self, at: WallTime, request: &FailedRequest) {
        self.requests_failed = self.requests_failed.saturating_add(request.count);
        let upstream = request.upstream.as_ref();
        let upstream = upstream.and_then(|upstream| upstream.service.as_ref());
        let known = upstream.is_some_and(|name| self.named(name).is_some());
        let service = match upstream {
            Some(name) if known => self.named(name),
            _ => Some(self.service(&request.proxy, at)),
        };
        if let Some(service) = service {
            if service.requests_failed == 0 {
                // From now on requests are counted, not connects.
                service.failed = series::Series::default();
            }
            service.requests_failed = service.requests_failed.saturating_add(request.count);
            service.failed.add(at, request.count);
        }
        if let Some(because) = &request.because
            && let Some(incident) = self.known_incident(because.incident)
        {
            incident.request_failed(request);
        }
    }

    fn incident_reported(&mut self, reported: &tracer_model::Incident) {
        let at = reported.closed.unwrap_or(reported.opened);
        let Some(incident) = self.incident_mut(Some(reported.id), &reported.service, at) else {
            return;
        };
        incident.update(reported);
        let (open, id) = (incident.open, incident.id);
        let service = self.service(&reported.service, at);
        if open {
            service.incident = Some((id, reported.opened));
        } else if service.incident.is_some_and(|(known, _)| known == id) {
            service.incident = None;
        }
        service.crash_loop = open && reported.crash_loop;
    }

    /// The service; added when it is new.
    fn service(&mut self, service: &tracer_model::Service, at: WallTime) -> &mut Service {
        let key = tracer_analysis::world::key_of(service);
        if self.services.len() >= MAX_SERVICES && !self.services.contains_key(&key) {
            let least = self
                .services
                .iter()
                .min_by_key(|(_, one)| (one.incident.is_some(), one.processes > 0, one.touched))
                .map(|(key, _)| key.clone());
            if let Some(least) = least {
                self.services.remove(&least);
            }
        }
        let entry = self.services.entry(key);
        let known = entry.or_insert_with(|| Service::new(&service.name, service.manager));
        known.touched = known.touched.max(at);
        known
    }

    /// The service of that name, whoever manages it.
    fn named(&mut self, name: &Arc<str>) -> Option<&mut Service> {
        let key = self.services.keys().find(|(_, known)| known == name);
        let key: (Manager, Arc<str>) = key.cloned()?;
        self.services.get_mut(&key)
    }

    fn known_incident(&mut self, id: u64) -> Option<&mut Incident> {
        self.incidents.iter_mut().find(|one| one.id == id)
    }

    /// The incident; added when it is new.
    fn incident_mut(
        &mut self,
        id: Option<u64>,
        service: &tracer_model::Service,
        at: WallTime,
    ) -> Option<&mut Incident> {
        let id = id?;
        if self.incident(id).is_none() {
            if self.incidents.len() >= MAX_INCIDENTS {
                let oldest = self.incidents.iter().position(|one| !one.open);
                self.incidents.remove(oldest.unwrap_or(0));
            }
            self.incidents
                .push_back(Incident::new(id, &service.name, at));
        }
        self.known_incident(id)
    }
}

fn incident_of(body: &Body) -> Option<u64> {
    match body {
        Body::Death(death) | Body::Oom(death) => death.incident,
        Body::ListenerDown(change) | Body::ListenerUp(change) => change.incident,
        Body::ConnectFailed(failure) => failure.because.as_ref().map(|because| because.incident),
        Body::ConnectionCut(cut) => cut.incident,
        Body::RequestFailed(request) => request.because.as_ref().map(|because| because.incident),
        Body::Incident(incident) => Some(incident.id),
        Body::Start(_) | Body::Mark(_) | Body::Lost(_) | Body::End(_) => None,
    }
}
