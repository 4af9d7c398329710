//! What a reader needs that begins in the middle: the stream so far, without the observations that no
//! longer matter. A process's facts matter until it exits, a listener until it is down.
//!
//! A checkpoint lacks some history (who held a socket before, why a process died). A replay that begins
//! there knows the machine as well as a tracer that starts at that moment.

use std::collections::BTreeMap;

use tracer_model::{Endpoint, NetNs, Observation, ProcessKey, SocketId, Timestamp, What};

/// At most this many observations are kept; when there is no room, new ones are left out.
const MAX_KEPT: usize = 1 << 16;

/// A subject of which only the latest observation matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Session,
    Clock,
    Forked(ProcessKey),
    Executed(ProcessKey),
    Process(ProcessKey),
    Witnesses(ProcessKey),
    Hook(String),
    Up(SocketId),
    Scanned(NetNs, bool),
    Cgroup(u64),
    Container(Box<str>),
}

/// The observations of the stream so far that still matter.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// In the order of observation.
    kept: BTreeMap<u64, Observation>,
    slots: BTreeMap<Slot, u64>,
    next: u64,
    armed: bool,
}

impl Checkpoint {
    /// Adds one more observation of the stream.
    pub(super) fn observe(&mut self, observation: &Observation) {
        match &observation.what {
            What::Session(_) => self.keep(Slot::Session, observation),
            What::Clock(_) => self.keep(Slot::Clock, observation),
            What::Process(facts) => self.keep(Slot::Process(facts.task.key), observation),
            What::Forked { child, .. } => self.keep(Slot::Forked(child.key), observation),
            What::Executed { task, .. } => {
                // The facts were those of the previous program.
                self.drop(&Slot::Process(task.key));
                self.keep(Slot::Executed(task.key), observation);
            }
            What::Exited(exit) => self.exited(exit.task.key),
            What::Vanished(key) => self.exited(*key),
            What::Witnesses(witnesses) => {
                self.keep(Slot::Witnesses(witnesses.proxy), observation);
            }
            What::Hook(hook) => self.keep(Slot::Hook(hook.name.clone()), observation),
            What::ListenerUp(listener) => self.keep(Slot::Up(listener.socket), observation),
            What::ListenerDown {
                socket,
                netns,
                address,
                ..
            } => self.down(*socket, *netns, address),
            What::ListenersScanned {
                netns,
                unix,
                listeners,
            } => {
                let gone = |one: &Observation| {
                    matches!(&one.what, What::ListenerUp(known) if known.netns == *netns
                        && matches!(known.address, Endpoint::Unix(_)) == *unix
                        && listeners.iter().all(|found| found.address != known.address))
                };
                self.drop_ups(gone);
                self.keep(Slot::Scanned(*netns, *unix), observation);
            }
            What::Cgroup { id, .. } => self.keep(Slot::Cgroup(*id), observation),
            What::Container(facts) => self.keep(Slot::Container(facts.id.clone()), observation),
            What::Armed => self.armed = true,
            What::OomVictim(_)
            | What::OomReported(_)
            | What::ConnectFailed(_)
            | What::ConnectionCut { .. }
            | What::Http(_)
            | What::HttpCounted(_)
            | What::ProxyLog(_)
            | What::LogLinesUnread(_)
            | What::Mark(_)
            | What::Lost { .. }
            | What::Tick
            | What::End => {}
        }
    }

    /// What is known, as a stream of its own that ends at `at`.
    pub(super) fn observations(&self, at: Timestamp) -> Vec<Observation> {
        let armed = Observation {
            at,
            what: What::Armed,
        };
        let mut all: Vec<Observation> = self.kept.values().cloned().collect();
        all.extend(self.armed.then_some(armed));
        all
    }

    fn keep(&mut self, slot: Slot, observation: &Observation) {
        self.drop(&slot);
        if self.kept.len() < MAX_KEPT {
            self.kept.insert(self.next, observation.clone());
            self.slots.insert(slot, self.next);
            self.next += 1;
        }
    }

    fn exited(&mut self, key: ProcessKey) {
        for slot in [Slot::Forked, Slot::Executed, Slot::Process, Slot::Witnesses] {
            self.drop(&slot(key));
        }
    }

    fn drop(&mut self, slot: &Slot) -> bool {
        let number = self.slots.remove(slot);
        number.is_some_and(|number| self.kept.remove(&number).is_some())
    }

    fn drop_ups(&mut self, gone: impl Fn(&Observation) -> bool) {
        let kept = &self.kept;
        let slots: Vec<Slot> = self
            .slots
            .range(Slot::Up(SocketId::Kernel(0))..=Slot::Up(SocketId::Scanned(u64::MAX)))
            .filter(|(_, number)| kept.get(number).is_some_and(&gone))
            .map(|(slot, _)| slot.clone())
            .collect();
        for slot in slots {
            self.drop(&slot);
        }
    }

    /// Forgets a listener. It is known by its socket, or by its address from a scan.
    fn down(&mut self, socket: SocketId, netns: NetNs, address: &Endpoint) {
        if self.drop(&Slot::Up(socket)) {
            return;
        }
        let unix = matches!(address, Endpoint::Unix(_));
        if let Some(number) = self.slots.get(&Slot::Scanned(netns, unix))
            && let Some(Observation {
                what: What::ListenersScanned { listeners, .. },
                ..
            }) = self.kept.get_mut(number)
            && let Some(at) = listeners.iter().position(|one| one.address == *address)
        {
            let mut rest = std::mem::take(listeners).into_vec();
            rest.remove(at);
            *listeners = rest.into();
        }
        let found = |one: &Observation| {
            matches!(&one.what, What::ListenerUp(known)
                if matches!(known.socket, SocketId::Scanned(_))
                && known.netns == netns && known.address == *address)
        };
        self.drop_ups(found);
    }
}
