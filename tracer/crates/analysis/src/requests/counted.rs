//! Storms: failed requests that the kernel counted without detail. One finding per second, proxy
//! and status.

use std::collections::BTreeMap;
use std::time::Duration;

use tracer_model::{Confidence, Endpoint, Failure, Finding, NetNs, Service, Timestamp, Witness};

use super::Analysis;
use super::tell::absence;
use super::upstream::{Case, Clue, before};
use crate::earliest::Earliest;
use crate::history::Explained;
use crate::world::{ServiceKey, key_of};

const WINDOW: Duration = Duration::from_secs(1);
/// How far apart the kernel's count of a request and its line in the log may be.
const APART: Duration = Duration::from_secs(3);
/// Proxies and statuses that are counted at a time; more are told at once.
const MAX_WINDOWS: usize = 1024;

type Key = (ServiceKey, Option<u16>);

/// Requests of a proxy that failed with one status within a second.
pub(super) struct Sum {
    proxy: Service,
    netns: NetNs,
    status: Option<u16>,
    count: u64,
    began: Timestamp,
    at: Timestamp,
    ends: Timestamp,
}

/// How many requests one source told of and the other may tell of as well.
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

    /// Takes up to `count`.
    fn take(&mut self, key: &Key, count: u64, now: Timestamp) -> u64 {
        let Some((known, until)) = self.0.get_mut(key) else {
            return 0;
        };
        let taken = if *until > now { count.min(*known) } else { 0 };
        *known -= taken;
        taken
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Counts {
    windows: BTreeMap<Key, Sum>,
    due: Earliest,
    /// Counted by the kernel: their lines are no news.
    counted: Balance,
    /// Told from lines: the kernel's count has them as well.
    logged: Balance,
}

impl Counts {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due.get()
    }

    /// The kernel counted some; what can't wait is returned.
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
        let count = count - self.logged.take(&key, count, now);
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
            began: before(at, WINDOW),
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

    /// Whether a request that a line tells of is counted already; if not, it is from now on.
    pub(super) fn knows(&mut self, key: &ServiceKey, status: Option<u16>, now: Timestamp) -> bool {
        let key = (key.clone(), status);
        let known = self.counted.take(&key, 1, now) == 1;
        if !known {
            self.logged.add(key, 1, now);
        }
        known
    }

    /// The sums of the seconds that are over by `now`, or all.
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

impl Analysis {
    pub(super) fn tell_counted(&mut self, sum: &Sum, findings: &mut Vec<Finding>) {
        let key = key_of(&sum.proxy);
        let case = Case {
            proxy: &key,
            netns: sum.netns,
            worker: None,
            request: None,
            began: Some(sum.began),
            at: sum.at,
            end: None,
            status: sum.status,
            timed: false,
            connected: None,
            logged: None,
        };
        // The application's own answers have no death behind them.
        let may_have = matches!(sum.status, None | Some(502..=504));
        let found = self.only_reason(&case).filter(|_| may_have);
        let clue = match &found {
            Some((address, failure, _)) => Clue::guess(address.clone(), *failure),
            None if sum.status == Some(504) => Clue::nothing(Failure::Timeout),
            None => Clue::nothing(Failure::Unknown),
        };
        let reason = found.map(|(_, _, reason)| reason);
        let evidence = vec![Witness::Http];
        let mut finding = self.finding(&case, &clue, reason.as_ref(), &sum.proxy, evidence);
        finding.status = sum.status;
        finding.count = sum.count;
        self.tell_request(finding, &case, reason, &sum.proxy, findings);
    }

    /// The incident that explains why connects of the proxy failed meanwhile, when it is the only
    /// one.
    fn only_reason(&self, case: &Case<'_>) -> Option<(Endpoint, Failure, Explained)> {
        let history = self.incidents.history();
        let mut only: Option<(Endpoint, Failure, Explained)> = None;
        for (netns, address, failure) in self.requests.clues.tried_by(case.proxy, case.from()) {
            let Some(reason) = absence(&self.world, history, netns, address, case.from(), case.at)
            else {
                continue;
            };
            if let Some((.., known)) = &only
                && known.because.incident != reason.because.incident
            {
                return None;
            }
            only.get_or_insert((address.clone(), failure, reason));
        }
        only
    }
}

impl Clue {
    fn nothing(failure: Failure) -> Self {
        Self {
            upstream: None,
            failure,
            failed: None,
            killed: None,
            witness: None,
        }
    }

    fn guess(address: Endpoint, failure: Failure) -> Self {
        Self {
            upstream: Some((address, Confidence::Guess)),
            ..Self::nothing(failure)
        }
    }
}
