//! What explains a failure at an instant: when nothing listened at a place and because of which
//! incident, and which processes died as part of which incident. Kept for a minute after it is over,
//! because a witness may report a failed request after the service recovered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tracer_model::quantity::millis;
use tracer_model::wording::explanation;
use tracer_model::{Because, Cause, Pid, ProcessKey, Timestamp, printable};

use super::world::{Place, ServiceKey};

/// How long an outage that is over, or a death, is kept.
const KEEP: Duration = Duration::from_mins(1);
/// Outages of places, and deaths, that are kept; the oldest go first.
const MAX: usize = 1024;
/// A process's sockets close at most this long after its death: the kernel frees its memory first.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// The death that an incident is about.
pub(super) type Fatality = (Pid, Cause, Timestamp);

/// An incident that explains something.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Explained {
    /// The service that the incident is about.
    pub service: ServiceKey,
    /// The explanation, as a finding has it.
    pub because: Because,
}

/// An incident, its service and its cause.
#[derive(Clone)]
pub(super) struct Origin {
    pub incident: u64,
    pub service: ServiceKey,
    pub death: Option<Fatality>,
    pub summary: Arc<str>,
}

impl Origin {
    /// Explains a failure at `at`, where nothing listened since `down`.
    pub(super) fn because(&self, down: Timestamp, at: Timestamp) -> Because {
        let cause = self.death.map(|(_, cause, _)| cause);
        let since = self.death.map_or(down, |(_, _, death)| death);
        let after = at.since(since);
        let (_, name) = &self.service;
        Because {
            incident: self.incident,
            death: self.death.map(|(pid, _, _)| pid),
            cause,
            after_ms: millis(after),
            sentence: explanation(&printable(name), cause, after, &self.summary),
        }
    }

    fn explained(&self, down: Timestamp, at: Timestamp) -> Explained {
        Explained {
            service: self.service.clone(),
            because: self.because(down, at),
        }
    }
}

struct Outage {
    place: Place,
    from: Timestamp,
    to: Option<Timestamp>,
    origin: Origin,
}

struct Death {
    process: ProcessKey,
    at: Timestamp,
    origin: Origin,
}

/// See the module.
#[derive(Default)]
pub(super) struct History {
    outages: VecDeque<Outage>,
    deaths: VecDeque<Death>,
}

impl History {
    /// Nothing listens at a place any more.
    pub(super) fn down(&mut self, place: &Place, from: Timestamp, origin: Origin) {
        self.forget(from);
        self.outages.push_back(Outage {
            place: place.clone(),
            from,
            to: None,
            origin,
        });
    }

    /// Something listens there again.
    pub(super) fn up(&mut self, place: &Place, to: Timestamp) {
        for outage in &mut self.outages {
            if outage.to.is_none() && outage.place == *place {
                outage.to = Some(to);
            }
        }
    }

    /// The listener that was up again still refused connections at an instant.
    pub(super) fn still_down(&mut self, place: &Place, at: Timestamp) {
        let mut last = self.outages.iter_mut().rev();
        if let Some(outage) = last.find(|outage| outage.place == *place)
            && let Some(to) = &mut outage.to
        {
            *to = at.max(*to);
        }
    }

    /// A process died, as part of an incident.
    pub(super) fn died(&mut self, process: ProcessKey, at: Timestamp, origin: &Origin) {
        self.forget(at);
        if self.deaths.iter().all(|death| death.process != process) {
            let origin = origin.clone();
            self.deaths.push_back(Death {
                process,
                at,
                origin,
            });
        }
    }

    /// Why nothing listened at a place at some instant of a span; the latest reason of several.
    pub(super) fn absence(
        &self,
        place: &Place,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<Explained> {
        self.outages
            .iter()
            .rev()
            .filter(|outage| outage.place == *place)
            .find(|outage| outage.from <= to && outage.to.is_none_or(|up| from <= up))
            .map(|outage| {
                let at = outage.to.map_or(to, |up| up.min(to));
                self.behind(outage, at).explained(outage.from, at)
            })
    }

    /// The newest death of an outage at an instant: a service may start and die again without ever
    /// listening, and a failure that is reported late belongs to the death before it.
    fn behind<'a>(&'a self, outage: &'a Outage, at: Timestamp) -> &'a Origin {
        self.deaths
            .iter()
            .filter(|death| death.at <= at && death.origin.incident == outage.origin.incident)
            .max_by_key(|death| death.at)
            .map_or(&outage.origin, |death| &death.origin)
    }

    /// Explains a failure at `at` by the death of a process.
    pub(super) fn death_of(&self, process: ProcessKey, at: Timestamp) -> Option<Explained> {
        self.deaths
            .iter()
            .rev()
            .find(|death| death.process == process && death.at <= at)
            .map(|death| death.origin.explained(death.at, at))
    }

    /// Explains a connection cut at `at`, or at the earliest `from`, by the last death in a service.
    pub(super) fn death_in(
        &self,
        service: &ServiceKey,
        from: Timestamp,
        at: Timestamp,
    ) -> Option<Explained> {
        self.deaths
            .iter()
            .rev()
            .find(|death| {
                death.origin.service == *service
                    && (from..=at).contains(&death.at)
                    && at.since(death.at) <= CLOSES_WITHIN
            })
            .map(|death| death.origin.explained(death.at, at))
    }

    /// Explains a connection cut at `at`, or at the earliest `from`, by the last death among some
    /// processes.
    pub(super) fn death_among(
        &self,
        is: impl Fn(ProcessKey) -> bool,
        from: Timestamp,
        at: Timestamp,
    ) -> Option<Explained> {
        self.deaths
            .iter()
            .rev()
            .find(|death| (from..=at).contains(&death.at) && is(death.process))
            .map(|death| death.origin.explained(death.at, at))
    }

    fn forget(&mut self, now: Timestamp) {
        let over = |at: Timestamp| at.after(KEEP) < now;
        self.outages.retain(|outage| !outage.to.is_some_and(over));
        while self.outages.len() >= MAX {
            self.outages.pop_front();
        }
        let excess = self.deaths.len().saturating_sub(MAX - 1);
        let kept = self.deaths.iter().position(|death| !over(death.at));
        let gone = kept.unwrap_or(self.deaths.len()).max(excess);
        for death in self.deaths.drain(..gone) {
            // An outage that lasts longer than that keeps its death.
            for outage in &mut self.outages {
                if outage.origin.incident == death.origin.incident {
                    outage.origin.clone_from(&death.origin);
                }
            }
        }
    }
}
