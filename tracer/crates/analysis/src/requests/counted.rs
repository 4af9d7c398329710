//! Storms: failed requests that the kernel only counted, without details. One sum per second, proxy
//! and status.

use std::collections::BTreeMap;
use std::time::Duration;

use tracer_model::{NetNs, Service, Timestamp};

use crate::earliest::Earliest;
use crate::world::{ServiceKey, key_of};

const WINDOW: Duration = Duration::from_secs(1);
/// How far apart the kernel's count of a request and its line in the log may be.
const APART: Duration = Duration::from_secs(3);
/// Combinations of proxy and status that are summed up; more are reported at once.
const MAX_WINDOWS: usize = 1024;

type Key = (ServiceKey, Option<u16>);

/// Requests of a proxy that failed with one status within a second.
pub(super) struct Sum {
    pub proxy: Service,
    pub netns: NetNs,
    pub status: Option<u16>,
    pub count: u64,
    pub began: Timestamp,
    pub at: Timestamp,
    ends: Timestamp,
}

/// Numbers of requests that one source reported and the other may report again.
#[derive(Default)]
struct Balance(BTreeMap<Key, (u64, Timestamp)>);

impl Balance {
    fn add(&mut self, key: Key, count: u64, now: Timestamp) {
        self.0.retain(|_, (_, until)| *until > now);
        if self.0.len() < MAX_WINDOWS || self.0.contains_key(&key) {
            let (known, until) = self.0.entry(key).or_insert((0, now));
            *known = known.saturating_add(count);
            *until = now.after(APART);
        }
    }

    /// Removes up to `count`, and returns how many.
    fn remove(&mut self, key: &Key, count: u64, now: Timestamp) -> u64 {
        let Some((known, until)) = self.0.get_mut(key) else {
            return 0;
        };
        let removed = if *until > now { count.min(*known) } else { 0 };
        *known -= removed;
        removed
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Counts {
    windows: BTreeMap<Key, Sum>,
    due: Earliest,
    /// Counted by the kernel: their lines are not reported again.
    counted: Balance,
    /// Reported from lines: the kernel's count includes them.
    logged: Balance,
}

impl Counts {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due.get()
    }

    /// Adds requests that the kernel counted. Returns a sum that can't wait.
    pub(super) fn add(
        &mut self,
        proxy: Service,
        netns: NetNs,
        status: Option<u16>,
        count: u64,
        at: Timestamp,
        now: Timestamp,
    ) -> Option<Sum> {
        let key = (key_of(&proxy), status);
        let count = count - self.logged.remove(&key, count, now);
        if count == 0 {
            return None;
        }
        self.counted.add(key.clone(), count, now);
        if let Some(sum) = self.windows.get_mut(&key) {
            sum.count = sum.count.saturating_add(count);
            sum.at = sum.at.max(at);
            return None;
        }
        let sum = Sum {
            proxy,
            netns,
            status,
            count,
            began: at.before(WINDOW),
            at,
            ends: now.after(WINDOW),
        };
        if self.windows.len() >= MAX_WINDOWS {
            return Some(sum);
        }
        self.due.add(sum.ends);
        self.windows.insert(key, sum);
        None
    }

    /// Whether the kernel counted the request of a line; if not, the line counts from now on.
    pub(super) fn knows(&mut self, key: &ServiceKey, status: Option<u16>, now: Timestamp) -> bool {
        let key = (key.clone(), status);
        let known = self.counted.remove(&key, 1, now) == 1;
        if !known {
            self.logged.add(key, 1, now);
        }
        known
    }

    /// Removes the sums of the seconds that are over by `now`, or all.
    pub(super) fn flush(&mut self, now: Option<Timestamp>) -> Vec<Sum> {
        let ripe: Vec<Key> = self
            .windows
            .iter()
            .filter(|(_, sum)| now.is_none_or(|now| sum.ends <= now))
            .map(|(key, _)| key.clone())
            .collect();
        let over = ripe
            .iter()
            .filter_map(|key| self.windows.remove(key))
            .collect();
        self.due.find(self.windows.values().map(|sum| sum.ends));
        over
    }
}
