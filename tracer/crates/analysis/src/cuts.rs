//! Connections cut because their owner died: counted for a few milliseconds per process, address and
//! peer, then reported.
//!
//! Only inbound connections count: those whose own end is at an address with a listener, now or
//! before. The peer is named only if it is on this machine and the machine has exactly one proxy
//! service: the owner of the other end's port is not tracked.

use std::collections::BTreeMap;
use std::time::Duration;

use tracer_model::{Actor, Body, Cut, Endpoint, Finding, NetNs, ProcessKey, Service, Timestamp};

use super::context::Context;
use super::earliest::Earliest;

/// A process that exits closes its sockets one after the other within this time.
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

    /// Accepts a cut connection.
    pub(super) fn add(
        &mut self,
        context: &mut Context,
        owner: &Actor,
        netns: NetNs,
        local: &Endpoint,
        remote: &Endpoint,
    ) {
        let world = &context.world;
        if !context.armed {
            return;
        }
        let Some((place, listening)) = world.listeners.answering(netns, local) else {
            return;
        };
        context.totals.connections_cut += 1;
        let is_local = is_on_this_machine(local, remote);
        let key = (owner.key, netns, place.1.clone(), is_local);
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.cut.count += 1;
            return;
        }
        let service: Service = world.processes.find(owner.key).map_or_else(
            || world.listener_service(listening).clone(),
            |process| process.attribution.service.clone(),
        );
        let cut = Cut {
            peer: is_local.then(|| world.only_proxy().cloned()).flatten(),
            service,
            address: local.clone(),
            peer_address: remote.clone(),
            count: 1,
            pid: owner.key.pid,
            incident: None,
        };
        let at = context.now;
        // With too many windows, the oldest one ends now.
        if self.pending.len() >= MAX_PENDING
            && let Some(oldest) = self.pending.values_mut().min_by_key(|one| one.flush)
        {
            oldest.flush = at;
            self.due.add(at);
        }
        let flush = at.after(WINDOW);
        self.due.add(flush);
        self.pending.insert(key, Pending { flush, at, cut });
    }

    /// Reports the windows that end by `now`, or all.
    pub(super) fn flush(
        &mut self,
        context: &mut Context,
        now: Option<Timestamp>,
        findings: &mut Vec<Finding>,
    ) {
        let ripe: Vec<Key> = self
            .pending
            .iter()
            .filter(|(_, pending)| now.is_none_or(|now| pending.flush <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in ripe {
            let Some(Pending { at, mut cut, .. }) = self.pending.remove(&key) else {
                continue;
            };
            cut.incident = context.incidents.cut(&cut.service, cut.count);
            context.report(at, Body::ConnectionCut(Box::new(cut)), findings);
        }
        self.due
            .find(self.pending.values().map(|pending| pending.flush));
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
