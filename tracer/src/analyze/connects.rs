//! Failed connects: who tried, whom it meant to reach, what explains it. The first failure of a
//! proxy, upstream and error is reported at once; those that follow once a second, with their
//! exact number.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Analysis;
use super::earliest::Earliest;
use super::world::{ServiceKey, key_of, same};
use crate::model::{
    Body, ConnectError, ConnectFailed, ConnectFailure, Endpoint, Finding, NetNs, ProcessKey,
    Timestamp, Upstream, quantity,
};

const WINDOW: Duration = Duration::from_secs(1);
/// Proxy, upstream and error combinations that are aggregated; more are reported one by one.
const MAX_WINDOWS: usize = 4096;

type Key = (ServiceKey, NetNs, Endpoint, ConnectError);

struct Window {
    ends: Timestamp,
    pending: Option<Box<ConnectFailure>>,
}

#[derive(Default)]
pub(super) struct Connects {
    windows: BTreeMap<Key, Window>,
    due: Earliest,
}

impl Connects {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due.get()
    }

    fn add(&mut self, key: Key, failure: ConnectFailure, now: Timestamp) -> Option<Body> {
        if let Some(window) = self.windows.get_mut(&key) {
            let count = window.pending.as_ref().map_or(0, |pending| pending.count);
            window.pending = Some(Box::new(ConnectFailure {
                count: failure.count.saturating_add(count),
                ..failure
            }));
            return None;
        }
        if self.windows.len() < MAX_WINDOWS {
            let (ends, pending) = (now.after(WINDOW), None);
            self.windows.insert(key, Window { ends, pending });
            self.due.add(ends);
        }
        Some(Body::ConnectFailed(Box::new(failure)))
    }

    /// What the windows that end by `now` collected, or all of them.
    pub(super) fn flush(&mut self, now: Option<Timestamp>) -> Vec<Body> {
        let mut bodies = Vec::new();
        self.windows.retain(|_, window| {
            if now.is_some_and(|now| window.ends > now) {
                return true;
            }
            let Some(pending) = window.pending.take() else {
                return false;
            };
            bodies.push(Body::ConnectFailed(pending));
            window.ends = now.map_or(window.ends, |now| now.after(WINDOW));
            true
        });
        self.due
            .find(self.windows.values().map(|window| window.ends));
        bodies
    }
}

impl Analysis {
    pub(super) fn connect_failed(
        &mut self,
        failed: &ConnectFailed,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let count = failed.count;
        if count == 0 || !self.armed || failed.owner.key.pid == self.options.own_pid {
            return;
        }
        self.totals.connects_failed = self.totals.connects_failed.saturating_add(count);
        let netns = match failed.netns {
            0 => self.options.own_netns,
            known => known,
        };
        let upstream = self.world.upstream(netns, &failed.remote);
        let owner = self.world.processes.find(failed.owner.key);
        let attribution = if let Some(owner) = owner {
            std::sync::Arc::clone(&owner.attribution)
        } else {
            let task = crate::model::TaskFacts {
                key: failed.owner.key,
                uid: failed.owner.uid,
                comm: failed.owner.comm,
                ..crate::model::TaskFacts::default()
            };
            self.world.unknown(task, ProcessKey::default()).attribution
        };
        let upstream = upstream.map(|(place, listening)| {
            (
                place,
                self.world.listener_service(listening),
                listening.down,
            )
        });
        let is_unix = matches!(failed.remote, Endpoint::Unix(_));
        if is_name_lookup(&failed.remote) && !self.options.all {
            return;
        }
        if is_unix && !self.options.all {
            let unknown = attribution.role.is_none() && upstream.is_none();
            // A server that starts asks its own old socket whether another one still serves it.
            let its_own = upstream
                .as_ref()
                .is_some_and(|(_, service, _)| same(service, &attribution.service));
            if unknown || its_own {
                return;
            }
        }
        let because = upstream.as_ref().and_then(|(place, service, down)| {
            self.incidents.explain(service, place, (*down)?, at, count)
        });
        let mut process = self.world.party(&failed.owner);
        process.service = None;
        let failure = ConnectFailure {
            proxy: attribution.service.clone(),
            process,
            upstream: Upstream {
                address: failed.remote.clone(),
                service: upstream.map(|(_, service, _)| service.name),
            },
            error: failed.error,
            errno: (failed.error == ConnectError::Other && failed.errno != 0)
                .then(|| errno_name(failed.errno)),
            count,
            elapsed_ms: (!failed.elapsed.is_zero()).then(|| quantity::millis(failed.elapsed)),
            because,
        };
        let key = (
            key_of(&attribution.service),
            netns,
            failed.remote.clone(),
            failed.error,
        );
        if let Some(body) = self.connects.add(key, failure, self.now) {
            self.report(at, body, findings);
        }
    }
}

/// glibc asks nscd for every user and host name first; on most machines nobody listens there.
fn is_name_lookup(remote: &Endpoint) -> bool {
    matches!(remote, Endpoint::Unix(path) if path.ends_with("/run/nscd/socket"))
}

/// The names of the errnos that a connect can fail with and that have no name of their own.
fn errno_name(errno: u32) -> String {
    let name = match errno {
        22 => "EINVAL",
        32 => "EPIPE",
        71 => "EPROTO",
        91 => "EPROTOTYPE",
        97 => "EAFNOSUPPORT",
        103 => "ECONNABORTED",
        105 => "ENOBUFS",
        106 => "EISCONN",
        114 => "EALREADY",
        125 => "ECANCELED",
        other => return format!("errno {other}"),
    };
    name.to_owned()
}
