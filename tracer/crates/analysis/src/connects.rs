//! Failed connects: who tried, which upstream, what explains the failure. The first failure of a
//! proxy, upstream and error is reported at once; further ones once a second, with their exact
//! number.

use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use indexmap::IndexMap;
use tracer_model::{
    Body, Comm, ConnectError, ConnectFailed, ConnectFailure, Endpoint, Finding, NetNs, Party, Pid,
    ProcessKey, Service, TaskFacts, Timestamp, Upstream, quantity,
};

use super::attribution::Attribution;
use super::context::Context;
use super::earliest::Earliest;
use super::outage::Explanation;
use super::world::{ServiceKey, World, key_of, same};

const WINDOW: Duration = Duration::from_secs(1);
/// Combinations of proxy, upstream and error that are aggregated; more are reported one by one.
const MAX_WINDOWS: usize = 4096;

type Key = (ServiceKey, NetNs, Endpoint, ConnectError);

/// Failed connects with the same key. The finding is made only when it is reported: in a storm, once
/// a second.
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
    fn finding(&self, remote: &Endpoint, error: ConnectError) -> Body {
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
    /// Found by hash, reported in the order of keys.
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
        let body = failed.finding(&key.2, key.3);
        if self.windows.len() < MAX_WINDOWS {
            let (ends, pending) = (now.after(WINDOW), None);
            self.windows.insert(key, Window { ends, pending });
            self.due.add(ends);
        }
        Some(body)
    }

    /// The findings of the windows that end by `now`, or of all.
    pub(super) fn flush(&mut self, now: Option<Timestamp>) -> Vec<Body> {
        let mut ripe = Vec::new();
        self.windows.retain(|key, window| {
            if now.is_some_and(|now| window.ends > now) {
                return true;
            }
            let Some(pending) = window.pending.take() else {
                return false;
            };
            ripe.push((key.clone(), pending));
            window.ends = now.map_or(window.ends, |now| now.after(WINDOW));
            true
        });
        self.windows.shrink_to(2 * self.windows.len());
        self.due
            .find(self.windows.values().map(|window| window.ends));
        ripe.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        ripe.iter()
            .map(|((.., remote, error), failed)| failed.finding(remote, *error))
            .collect()
    }

    /// Accepts a failed connect.
    pub(super) fn failed(
        &mut self,
        context: &mut Context,
        failed: &ConnectFailed,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let count = failed.count;
        let options = &context.options;
        if count == 0 || !context.armed || failed.owner.key.pid == options.own_pid {
            return;
        }
        let total = &mut context.totals.connects_failed;
        *total = total.saturating_add(count);
        let netns = options.netns(failed.netns);
        let world = &context.world;
        let attribution = attribution(world, failed);
        let upstream = world
            .upstream(netns, &failed.remote)
            .map(|(place, listening)| (place, world.listener_service(listening), listening.down));
        if !options.all {
            let service = upstream.map(|(_, service, _)| service);
            if is_name_lookup(&failed.remote) || is_probe(&failed.remote, &attribution, service) {
                return;
            }
        }
        let incidents = &mut context.incidents;
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
        if let Some(body) = self.add(key, failed, context.now) {
            context.report(at, body, findings);
        }
    }
}

/// The service of the process that called connect().
fn attribution(world: &World, failed: &ConnectFailed) -> Arc<Attribution> {
    if let Some(owner) = world.processes.find(failed.owner.key) {
        return Arc::clone(&owner.attribution);
    }
    let task = TaskFacts {
        key: failed.owner.key,
        uid: failed.owner.uid,
        comm: failed.owner.comm,
        ..TaskFacts::default()
    };
    world.unknown(task, ProcessKey::default()).attribution
}

/// Whether a failed connect to a unix socket only probed for a server: nothing is known to listen
/// there, or a server that starts asks its own old socket whether another one still serves it.
fn is_probe(remote: &Endpoint, owner: &Attribution, upstream: Option<&Service>) -> bool {
    if !matches!(remote, Endpoint::Unix(_)) {
        return false;
    }
    match upstream {
        None => owner.role.is_none(),
        Some(service) => same(service, &owner.service),
    }
}

/// glibc asks nscd first about every user and host name; on most machines it does not run.
fn is_name_lookup(remote: &Endpoint) -> bool {
    matches!(remote, Endpoint::Unix(path) if path.ends_with("/run/nscd/socket"))
}

/// Names of the errnos that [`ConnectError`] has no variant for.
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
