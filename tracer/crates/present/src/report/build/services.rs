//! What each service lost, and their ranking.

use std::collections::BTreeMap;

use tracer_model::Cause;

use super::super::model::{Capped, ServiceLosses};

/// How many services are told apart.
const MAX_TRACKED: usize = 1024;
/// How many are shown.
const MAX_SHOWN: usize = 50;
/// Name of what has no place of its own.
const OTHERS: &str = "other services";

/// Sums of one service.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) requests_failed: u64,
    pub(super) down_ms: f64,
    pub(super) incidents: u64,
    pub(super) open: bool,
    pub(super) deaths: u64,
    pub(super) connects_failed: u64,
    pub(super) connections_cut: u64,
    causes: Vec<(Cause, u64)>,
}

impl Losses {
    /// Counts a death.
    pub(super) fn died(&mut self, cause: Cause) {
        self.deaths += 1;
        match self.causes.iter_mut().find(|known| known.0 == cause) {
            Some((_, count)) => *count += 1,
            None => self.causes.push((cause, 1)),
        }
    }

    fn is_nothing(&self) -> bool {
        self.requests_failed == 0
            && self.incidents == 0
            && self.deaths == 0
            && self.connects_failed == 0
            && self.connections_cut == 0
    }
}

/// All services, by name.
#[derive(Debug, Default)]
pub(super) struct Services {
    known: BTreeMap<String, Losses>,
}

impl Services {
    /// The sums of a service.
    pub(super) fn of(&mut self, name: &str) -> &mut Losses {
        let name = super::text(name);
        let full = self.known.len() >= MAX_TRACKED && !self.known.contains_key(&name);
        let name = if full { OTHERS.to_owned() } else { name };
        self.known.entry(name).or_default()
    }

    /// Those that lost something: most requests first, then longest down, then most deaths.
    pub(super) fn finish(self) -> Capped<ServiceLosses> {
        let mut items: Vec<ServiceLosses> = self
            .known
            .into_iter()
            .filter(|(_, losses)| !losses.is_nothing())
            .map(|(name, mut losses)| {
                losses
                    .causes
                    .sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                ServiceLosses {
                    name,
                    requests_failed: losses.requests_failed,
                    down_ms: losses.down_ms,
                    incidents: losses.incidents,
                    open: losses.open,
                    deaths: losses.deaths,
                    connects_failed: losses.connects_failed,
                    connections_cut: losses.connections_cut,
                    causes: losses.causes.into_iter().map(|(cause, _)| cause).collect(),
                }
            })
            .collect();
        items.sort_by(|a, b| {
            let rank = |it: &ServiceLosses| (it.requests_failed, it.deaths, it.connects_failed);
            rank(b)
                .0
                .cmp(&rank(a).0)
                .then(b.down_ms.total_cmp(&a.down_ms))
                .then(rank(b).cmp(&rank(a)))
        });
        let mut ranked = Capped { items, left_out: 0 };
        ranked.truncate(MAX_SHOWN);
        ranked
    }
}
