//! What a reader must know that begins in the middle: the stream so far, without what no longer
//! matters. A process's facts matter until it is dead, a listener until it is down.
//!
//! Some history is lost in it (who held a socket before, why a process died): a replay that begins
//! at a checkpoint knows the machine as well as a tracer that starts at that moment.

use std::collections::BTreeMap;

use tracer_model::{Endpoint, NetNs, Observation, ProcessKey, SocketId, Timestamp, What};

/// As many observations are kept; those of whatever came first stay.
const MAX_KEPT: usize = 1 << 16;

/// Observations of which only the latest matters.
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

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// In the order in which they were observed.
    kept: BTreeMap<u64, Observation>,
    slots: BTreeMap<Slot, u64>,
    next: u64,
    armed: bool,
}

impl Checkpoint {
    /// Takes one more observation of the stream into account.
    pub(super) fn observe(&mut self, observation: &Observation) {
        match &observation.what {
            What::Session(_) => self.keep(Slot::Session, observation),
            What::Clock(_) => self.keep(Slot::Clock, observation),
            What::Process(facts) => self.keep(Slot::Process(facts.task.key), observation),
            What::Forked { child, .. } => self.keep(Slot::Forked(child.key), observation),
            What::Executed { task, .. } => {
                // Its facts were those of the program before.
                self.drop(&Slot::Process(task.key));
                self.keep(Slot::Executed(task.key), observation);
            }
            What::Exited(exit) => self.ended(exit.task.key),
            What::Vanished(key) => self.ended(*key),
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

    /// What is known, as a stream of its own, told at `at`.
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

    fn ended(&mut self, key: ProcessKey) {
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

    /// The socket is known by itself, or as one of those that a scan found at its address.
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
