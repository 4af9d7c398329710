//! Totals per service, and their ranking.

use std::collections::BTreeMap;

use tracer_model::Cause;

use super::super::model::{Capped, ServiceTotals};
use super::bounded::text;

/// How many services are kept apart.
const MAX_TRACKED: usize = 1024;
/// How many are shown.
const MAX_SHOWN: usize = 50;
/// The name for all services beyond that.
const OTHERS: &str = "other services";

/// Totals of one service.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) requests_failed: u64,
    pub(super) down_ms: f64,
    pub(super) incidents: u64,
    pub(super) open: bool,
    pub(super) deaths: u64,
    pub(super) connects_failed: u64,
    pub(super) connections_cut: u64,
    causes: Vec<(Cause, u64)>,
}

impl Sums {
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
    known: BTreeMap<String, Sums>,
}

impl Services {
    /// The totals of a service.
    pub(super) fn of(&mut self, name: &str) -> &mut Sums {
        let name = text(name);
        let full = self.known.len() >= MAX_TRACKED && !self.known.contains_key(&name);
        let name = if full { OTHERS.to_owned() } else { name };
        self.known.entry(name).or_default()
    }

    /// The services that something happened to: most failed requests first, then longest down, then
    /// most deaths.
    pub(super) fn finish(self) -> Capped<ServiceTotals> {
        let mut items: Vec<ServiceTotals> = self
            .known
            .into_iter()
            .filter(|(_, sums)| !sums.is_nothing())
            .map(|(name, mut sums)| {
                sums.causes
                    .sort_by_key(|(_, count)| std::cmp::Reverse(*count));
                ServiceTotals {
                    name,
                    requests_failed: sums.requests_failed,
                    down_ms: sums.down_ms,
                    incidents: sums.incidents,
                    open: sums.open,
                    deaths: sums.deaths,
                    connects_failed: sums.connects_failed,
                    connections_cut: sums.connections_cut,
                    causes: sums.causes.into_iter().map(|(cause, _)| cause).collect(),
                }
            })
            .collect();
        items.sort_by(|a, b| {
            let rank = |it: &ServiceTotals| (it.requests_failed, it.deaths, it.connects_failed);
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
