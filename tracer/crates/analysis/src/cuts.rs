//! Connections cut by their owner's death: counted per dying process, address and peer for a few
//! milliseconds, then reported.
//!
//! Only inbound connections count: those whose own end is at an address where a listener is or
//! was. The peer is named only when it is on this machine and the machine has exactly one proxy
//! service: who owns the other end's port is not tracked.

use std::collections::BTreeMap;
use std::time::Duration;

use tracer_model::{Actor, Body, Cut, Endpoint, Finding, NetNs, ProcessKey, Service, Timestamp};

use super::Analysis;
use super::earliest::Earliest;

/// A dying process closes its sockets one after the other within this.
const WINDOW: Duration = Duration::from_millis(10);
const MAX_PENDING: usize = 1024;

struct Pending {
    flush: Timestamp,
    at: Timestamp,
    cut: Cut,
}

type Key = (ProcessKey, NetNs, Endpoint, bool);

#[derive(Default)]
pub(super) struct Cuts {
    pending: BTreeMap<Key, Pending>,
    due: Earliest,
}

impl Cuts {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due.get()
    }
}

impl Analysis {
    pub(super) fn connection_cut(
        &mut self,
        owner: &Actor,
        netns: NetNs,
        local: &Endpoint,
        remote: &Endpoint,
    ) {
        if !self.armed {
            return;
        }
        let Some((place, listening)) = self.world.listeners.answering(netns, local) else {
            return;
        };
        self.totals.connections_cut += 1;
        let is_local = is_on_this_machine(local, remote);
        let key = (owner.key, netns, place.1.clone(), is_local);
        if let Some(pending) = self.cuts.pending.get_mut(&key) {
            pending.cut.count += 1;
            return;
        }
        let service: Service = self.world.processes.find(owner.key).map_or_else(
            || self.world.listener_service(listening).clone(),
            |process| process.attribution.service.clone(),
        );
        let cut = Cut {
            peer: is_local.then(|| self.world.only_proxy().cloned()).flatten(),
            service,
            address: local.clone(),
            peer_address: remote.clone(),
            count: 1,
            pid: owner.key.pid,
            incident: None,
        };
        let now = self.now;
        // With too many at once the oldest window is made to end now.
        if self.cuts.pending.len() >= MAX_PENDING
            && let Some(oldest) = self.cuts.pending.values_mut().min_by_key(|one| one.flush)
        {
            oldest.flush = now;
            self.cuts.due.add(now);
        }
        let flush = now.after(WINDOW);
        self.cuts.due.add(flush);
        self.cuts.pending.insert(
            key,
            Pending {
                flush,
                at: now,
                cut,
            },
        );
    }

    /// Reports the windows that end by `now`, or all.
    pub(super) fn flush_cuts(&mut self, now: Option<Timestamp>, findings: &mut Vec<Finding>) {
        let ripe: Vec<Key> = self
            .cuts
            .pending
            .iter()
            .filter(|(_, pending)| now.is_none_or(|now| pending.flush <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in ripe {
            let Some(Pending { at, mut cut, .. }) = self.cuts.pending.remove(&key) else {
                continue;
            };
            cut.incident = self.incidents.cut(&cut.service, cut.count);
            self.report(at, Body::ConnectionCut(Box::new(cut)), findings);
        }
        let Cuts { pending, due } = &mut self.cuts;
        due.find(pending.values().map(|pending| pending.flush));
    }
}

fn is_on_this_machine(local: &Endpoint, remote: &Endpoint) -> bool {
    match (local, remote) {
        (Endpoint::Tcp(local), Endpoint::Tcp(remote)) => {
            remote.ip().is_loopback() || remote.ip() == local.ip()
        }
        _ => true,
    }
}
