//! Failed connects: who tried, whom it meant to reach, what explains it. The first failure of a
//! proxy, upstream and error is reported at once; those that follow once a second, with their
//! exact number.

use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use indexmap::IndexMap;
use tracer_model::{
    Body, Comm, ConnectError, ConnectFailed, ConnectFailure, Endpoint, Finding, NetNs, Party, Pid,
    ProcessKey, Timestamp, Upstream, quantity,
};

use super::Analysis;
use super::attribution::Attribution;
use super::earliest::Earliest;
use super::incident::Explanation;
use super::world::{ServiceKey, key_of, same};

const WINDOW: Duration = Duration::from_secs(1);
/// Proxy, upstream and error combinations that are aggregated; more are reported one by one.
const MAX_WINDOWS: usize = 4096;

type Key = (ServiceKey, NetNs, Endpoint, ConnectError);

/// What is to be told of failed connects with the same key. It is put into words when it is told:
/// of a storm that is once a second.
struct Failed {
    proxy: Arc<Attribution>,
    pid: Pid,
    comm: Comm,
    upstream: Option<Arc<str>>,
    errno: u32,
    count: u64,
    elapsed: Duration,
    because: Option<Explanation>,
}

impl Failed {
    fn told(&self, remote: &Endpoint, error: ConnectError) -> Body {
        Body::ConnectFailed(Box::new(ConnectFailure {
            proxy: self.proxy.service.clone(),
            process: Party {
                pid: self.pid,
                comm: self.comm.to_text(),
                service: None,
            },
            upstream: Upstream {
                address: remote.clone(),
                service: self.upstream.clone(),
            },
            error,
            errno: (error == ConnectError::Other && self.errno != 0)
                .then(|| errno_name(self.errno)),
            count: self.count,
            elapsed_ms: (!self.elapsed.is_zero()).then(|| quantity::millis(self.elapsed)),
            because: self.because.as_ref().map(Explanation::because),
        }))
    }
}

struct Window {
    ends: Timestamp,
    pending: Option<Box<Failed>>,
}

#[derive(Default)]
pub(super) struct Connects {
    /// Found by hash, told by key.
    windows: IndexMap<Key, Window, RandomState>,
    due: Earliest,
}

impl Connects {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due.get()
    }

    fn add(&mut self, key: Key, failed: Failed, now: Timestamp) -> Option<Body> {
        if let Some(window) = self.windows.get_mut(&key) {
            match &mut window.pending {
                Some(pending) => {
                    let count = failed.count.saturating_add(pending.count);
                    **pending = Failed { count, ..failed };
                }
                None => window.pending = Some(Box::new(failed)),
            }
            return None;
        }
        let body = failed.told(&key.2, key.3);
        if self.windows.len() < MAX_WINDOWS {
            let (ends, pending) = (now.after(WINDOW), None);
            self.windows.insert(key, Window { ends, pending });
            self.due.add(ends);
        }
        Some(body)
    }

    /// What the windows that end by `now` collected, or all of them.
    pub(super) fn flush(&mut self, now: Option<Timestamp>) -> Vec<Body> {
        let mut told = Vec::new();
        self.windows.retain(|key, window| {
            if now.is_some_and(|now| window.ends > now) {
                return true;
            }
            let Some(pending) = window.pending.take() else {
                return false;
            };
            told.push((key.clone(), pending));
            window.ends = now.map_or(window.ends, |now| now.after(WINDOW));
            true
        });
        self.windows.shrink_to(2 * self.windows.len());
        self.due
            .find(self.windows.values().map(|window| window.ends));
        told.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        told.iter()
            .map(|((.., remote, error), failed)| failed.told(remote, *error))
            .collect()
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
            Arc::clone(&owner.attribution)
        } else {
            let task = tracer_model::TaskFacts {
                key: failed.owner.key,
                uid: failed.owner.uid,
                comm: failed.owner.comm,
                ..tracer_model::TaskFacts::default()
            };
            self.world.unknown(task, ProcessKey::default()).attribution
        };
        let upstream = upstream.map(|(place, listening)| {
            let service = self.world.listener_service(listening);
            (place, service, listening.down)
        });
        let is_unix = matches!(failed.remote, Endpoint::Unix(_));
        if is_name_lookup(&failed.remote) && !self.options.all {
            return;
        }
        if is_unix && !self.options.all {
            let unknown = attribution.role.is_none() && upstream.is_none();
            // A server that starts asks its own old socket whether another one still serves it.
            let its_own =
                upstream.is_some_and(|(_, service, _)| same(service, &attribution.service));
            if unknown || its_own {
                return;
            }
        }
        let incidents = &mut self.incidents;
        let because = upstream.and_then(|(place, service, down)| match down {
            Some(down) => incidents.explain(service, place, down, at, count),
            None if failed.error == ConnectError::Refused => {
                incidents.explain_refusal(service, place, at, count)
            }
            None => None,
        });
        let key = (
            key_of(&attribution.service),
            netns,
            failed.remote.clone(),
            failed.error,
        );
        let failed = Failed {
            proxy: attribution,
            pid: failed.owner.key.pid,
            comm: failed.owner.comm,
            upstream: upstream.map(|(_, service, _)| Arc::clone(&service.name)),
            errno: failed.errno,
            count,
            elapsed: failed.elapsed,
            because,
        };
        if let Some(body) = self.connects.add(key, failed, self.now) {
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
