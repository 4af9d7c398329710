//! The lanes of the graphical timeline, one per service.

use std::collections::{BTreeMap, BTreeSet};

use tracer_model::{
    Cause, ConnectFailure, Cut, Death, FailedRequest, Incident, IncidentState, ListenerChange,
    WallTime, printable, wording,
};

use super::super::formatting;
use super::super::model::{Capped, Event, Lane, Mark, Span};
use super::bounded::text;
use super::ticks::Ticks;

/// How many services are followed.
const MAX_TRACKED: usize = 256;
/// How many lanes are shown.
const MAX_SHOWN: usize = 12;
/// How many deaths, and how many outages, a lane may have.
const MAX_EVENTS: usize = 200;
/// How many addresses of a service are followed.
const MAX_ADDRESSES: usize = 64;

#[derive(Debug, Default)]
struct Draft {
    deaths: Capped<Event>,
    downs: Capped<Span>,
    requests: Ticks,
    connections: Ticks,
    /// Addresses where nothing listens.
    down: BTreeSet<String>,
    /// Since when the service is down.
    since: Option<WallTime>,
    /// When the newest incident opened.
    incident: Option<WallTime>,
    /// Whether a listener went down during the open incident.
    by_listeners: bool,
    /// How much there is to show: failed requests, deaths.
    weight: (u64, u64),
}

/// The lanes so far, by service.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<String, Draft>,
    left_out: BTreeSet<String>,
}

impl Lanes {
    pub(super) fn death(&mut self, at: WallTime, death: &Death) {
        let Some(lane) = self.of(&death.service.name) else {
            return;
        };
        if death.cause == Cause::Clean && death.incident.is_none() {
            return;
        }
        lane.weight.1 += 1;
        let what = format!(
            "{}[{}] {}",
            printable(&death.process.comm),
            death.process.pid,
            printable(&death.why)
        );
        let event = Event {
            at,
            what: text(&what),
        };
        lane.deaths.push(event, MAX_EVENTS);
    }

    pub(super) fn listener(&mut self, at: WallTime, change: &ListenerChange, up: bool) {
        let Some(lane) = self.of(&change.service.name) else {
            return;
        };
        let address = text(&change.address.to_string());
        if !up {
            lane.by_listeners = true;
            lane.since.get_or_insert(at);
            if lane.down.len() < MAX_ADDRESSES {
                lane.down.insert(address);
            }
            return;
        }
        if lane.down.remove(&address) && lane.down.is_empty() {
            lane.back(at);
        }
    }

    pub(super) fn incident(&mut self, incident: &Incident) {
        let Some(lane) = self.of(&incident.service.name) else {
            return;
        };
        match (incident.state, incident.closed) {
            (IncidentState::Open, _) | (_, None) => {
                // When the tracer stops, it reports an open incident once more.
                if lane.incident.replace(incident.opened) != Some(incident.opened) {
                    lane.since.get_or_insert(incident.opened);
                }
            }
            (IncidentState::Closed, Some(closed)) => {
                // Without a duration, the service was never down.
                if incident.down_ms.is_none() || (lane.by_listeners && lane.down.is_empty()) {
                    lane.since = None;
                }
                lane.back(closed);
                lane.down.clear();
                lane.by_listeners = false;
            }
        }
    }

    pub(super) fn connect_failed(&mut self, at: WallTime, failure: &ConnectFailure) {
        let Some(service) = &failure.upstream.service else {
            return;
        };
        let Some(lane) = self.of(service) else { return };
        lane.connections.push(at, failure.count, || {
            format!(
                "{} from {}: {}",
                formatting::counted(failure.count, "connect", "connects"),
                printable(&text(&failure.proxy.name)),
                wording::connect_error(failure.error)
            )
        });
    }

    pub(super) fn cut(&mut self, at: WallTime, cut: &Cut) {
        let Some(lane) = self.of(&cut.service.name) else {
            return;
        };
        lane.connections.push(at, cut.count, || {
            let connections = formatting::counted(cut.count, "connection", "connections");
            match &cut.peer {
                Some(peer) => format!("{connections} from {} cut", printable(&text(&peer.name))),
                None => format!("{connections} cut"),
            }
        });
    }

    pub(super) fn request(&mut self, at: WallTime, meant_for: &str, request: &FailedRequest) {
        let Some(lane) = self.of(meant_for) else {
            return;
        };
        lane.weight.0 = lane.weight.0.saturating_add(request.count);
        lane.requests.push(at, request.count, || {
            if request.count > 1 {
                let status = formatting::status(request.status);
                return format!("{} requests: {status}", formatting::number(request.count));
            }
            let what = formatting::method_and_path(
                request.method.as_deref(),
                request.path.as_deref().map(text).as_deref(),
            );
            format!(
                "{}: {}",
                printable(&what),
                formatting::status(request.status)
            )
        });
    }

    fn of(&mut self, service: &str) -> Option<&mut Draft> {
        let name = text(service);
        if self.lanes.len() >= MAX_TRACKED && !self.lanes.contains_key(&name) {
            if self.left_out.len() < MAX_TRACKED {
                self.left_out.insert(name);
            }
            return None;
        }
        Some(self.lanes.entry(name).or_default())
    }

    /// The lanes that show most, most first, below a lane of deployment marks.
    pub(super) fn finish(self, to: WallTime, marks: &[Mark]) -> Capped<Lane> {
        let mut drafts: Vec<(String, Draft)> = self
            .lanes
            .into_iter()
            .filter(|(_, draft)| draft.shows_something())
            .collect();
        drafts.sort_by_key(|(_, draft)| std::cmp::Reverse(draft.weight));
        let items = drafts
            .into_iter()
            .map(|(service, mut draft)| {
                if let Some(from) = draft.since.filter(|from| *from < to) {
                    draft.downs.push(Span { from, to: None }, MAX_EVENTS);
                }
                Lane {
                    service,
                    deaths: draft.deaths,
                    marks: Vec::new(),
                    downs: draft.downs,
                    requests: draft.requests.finish(),
                    connections: draft.connections.finish(),
                }
            })
            .collect();
        let mut lanes = Capped {
            items,
            left_out: self.left_out.len() as u64,
        };
        lanes.truncate(MAX_SHOWN);
        if !marks.is_empty() {
            let lane = Lane {
                service: "marks".to_owned(),
                marks: marks.to_vec(),
                ..Lane::default()
            };
            lanes.items.insert(0, lane);
        }
        lanes
    }
}

impl Draft {
    fn back(&mut self, at: WallTime) {
        if let Some(from) = self.since.take() {
            self.downs.push(Span { from, to: Some(at) }, MAX_EVENTS);
        }
    }

    fn shows_something(&self) -> bool {
        self.weight != (0, 0)
            || self.since.is_some()
            || !self.downs.items.is_empty()
            || !self.connections.is_empty()
    }
}
