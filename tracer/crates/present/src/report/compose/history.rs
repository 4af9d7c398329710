//! Earlier deaths of the same service with the same cause.

use std::collections::{BTreeMap, VecDeque};

use tracer_model::{Cause, MemoryInfo, wording};

use super::super::model::{Alike, AlikeDeath, DeathAt};
use super::bounded::text;
use super::key::IncidentKey;
use super::statistics::{intervals, median};

/// How many deaths of one service and cause are kept.
const MAX_LATEST: usize = 20;
/// How many pairs of service and cause are kept apart.
const MAX_KINDS: usize = 1024;

#[derive(Debug, Default)]
struct Kind {
    count: u64,
    latest: VecDeque<(Option<IncidentKey>, AlikeDeath)>,
}

/// The deaths so far, by service and cause.
#[derive(Debug, Default)]
pub(super) struct History {
    kinds: BTreeMap<(String, &'static str), Kind>,
}

impl History {
    /// The earlier deaths like `death`, without those of its own incident.
    pub(super) fn before(&self, death: &DeathAt, incident: IncidentKey) -> Option<Alike> {
        let kind = self.kinds.get(&key(death)?)?;
        let own = |entry: &&(Option<IncidentKey>, AlikeDeath)| entry.0 == Some(incident);
        let mut count = kind.count - kind.latest.iter().filter(own).count() as u64;
        let latest: Vec<AlikeDeath> = kind
            .latest
            .iter()
            .filter(|entry| !own(entry))
            .map(|(_, death)| death.clone())
            .collect();
        if latest.is_empty() {
            return None;
        }
        count = count.max(latest.len() as u64);
        let mut times: Vec<_> = latest.iter().map(|death| death.at).collect();
        times.push(death.at);
        Some(Alike {
            count,
            interval_ms: median(&mut intervals(&times)),
            latest,
        })
    }

    /// Remembers a death.
    pub(super) fn push(&mut self, death: &DeathAt, incident: Option<IncidentKey>) {
        let Some(key) = key(death) else { return };
        if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&key) {
            return;
        }
        let kind = self.kinds.entry(key).or_default();
        kind.count += 1;
        if kind.latest.len() == MAX_LATEST {
            kind.latest.pop_front();
        }
        let entry = AlikeDeath {
            at: death.at,
            uptime_ms: death.death.process.uptime_ms,
            used_bytes: used(&death.death.memory),
        };
        kind.latest.push_back((incident, entry));
    }
}

/// None for requested stops.
fn key(death: &DeathAt) -> Option<(String, &'static str)> {
    let death = &death.death;
    let cause = wording::cause(death.cause);
    (death.cause != Cause::Clean).then(|| (text(&death.service.name), cause))
}

/// The memory that counts against a limit: anonymous if known, else peak resident.
pub(super) fn used(memory: &MemoryInfo) -> Option<u64> {
    memory.anon_bytes.or(memory.peak_bytes)
}
