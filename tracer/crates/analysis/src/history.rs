//! What explains a failure at an instant: when nothing listened at a place and because of which
//! incident, and which processes died of which. Kept for a minute after it is over, because what
//! tells of a failed request may come after the service is back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tracer_model::quantity::{duration, millis};
use tracer_model::{Because, Cause, Pid, ProcessKey, Timestamp, printable};

use super::world::{Place, ServiceKey};

/// How long what is over is remembered.
const KEEP: Duration = Duration::from_mins(1);
/// Outages of places, and deaths, that are remembered; the oldest go first.
const MAX: usize = 1024;
/// The kernel frees a dead process's memory before it closes its sockets.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);

/// The death behind an incident.
pub(super) type Fatality = (Pid, Cause, Timestamp);

/// An incident that explains something.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Explained {
    /// Whose incident it is.
    pub service: ServiceKey,
    /// What a finding says of it.
    pub because: Because,
}

/// An incident, and what it is about.
#[derive(Clone)]
pub(super) struct Origin {
    pub incident: u64,
    pub service: ServiceKey,
    pub death: Option<Fatality>,
    pub summary: Arc<str>,
}

impl Origin {
    /// Why something failed at `at`, when nothing listened since `down`.
    pub(super) fn because(&self, down: Timestamp, at: Timestamp) -> Because {
        let (state, since) = self
            .death
            .map_or(("not listening", down), |(_, _, death)| ("dead", death));
        let after = at.since(since);
        Because {
            incident: self.incident,
            death: self.death.map(|(pid, _, _)| pid),
            cause: self.death.map(|(_, cause, _)| cause),
            after_ms: millis(after),
            sentence: format!(
                "{}, {state} for {}: {}",
                printable(&self.service.1),
                duration(after),
                self.summary
            ),
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

    /// What was told to listen there again did not answer yet at an instant.
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

    /// Why nothing answered at a place at some instant of a span, the latest of them if several.
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

    /// What an outage was about at an instant: who starts again and dies again may do so without
    /// ever having listened, and what is told late is still about the death before it.
    fn behind<'a>(&'a self, outage: &'a Outage, at: Timestamp) -> &'a Origin {
        self.deaths
            .iter()
            .filter(|death| death.at <= at && death.origin.incident == outage.origin.incident)
            .max_by_key(|death| death.at)
            .map_or(&outage.origin, |death| &death.origin)
    }

    /// What the death of a process explains at `at`.
    pub(super) fn death_of(&self, process: ProcessKey, at: Timestamp) -> Option<Explained> {
        self.deaths
            .iter()
            .rev()
            .find(|death| death.process == process && death.at <= at)
            .map(|death| death.origin.explained(death.at, at))
    }

    /// What the last death in a service explains that was cut at `at`, and may have been since
    /// `from`.
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

    /// What the last death among some processes explains that was cut at `at`, and may have been
    /// since `from`.
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
            // What is down for longer than that is still told with its death.
            for outage in &mut self.outages {
                if outage.origin.incident == death.origin.incident {
                    outage.origin.clone_from(&death.origin);
                }
            }
        }
    }
}
