//! A service that a deployment affected: its deaths, its listeners, its new processes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tracer_model::quantity::millis;
use tracer_model::{Cause, Death, ListenerChange, NetNs, Pid, Service, WallTime};

use super::model::{DeathStory, ListenerState, ListenerStory, Memory, ServiceStory};

/// How many deaths are kept of a service.
pub(super) const MAX_DEATHS: usize = 20;
/// How many listeners are followed of a service.
const MAX_LISTENERS: usize = 64;
/// How many new processes are followed of a service.
pub(super) const MAX_NEW: usize = 256;
/// So many deaths that nobody asked for are a crash loop ...
pub(super) const LOOP: u64 = 3;
/// ... of processes that lived no longer than this, ms.
const SHORT_LIVED_MS: u64 = 30_000;

/// Where something listens.
pub(super) type Place = (NetNs, String);

/// The place of a listener.
pub(super) fn place(change: &ListenerChange) -> Place {
    (change.netns.unwrap_or(0), change.address.to_string())
}

/// What the deployment has to do with a death.
#[derive(Debug)]
pub(super) struct Share {
    /// Whether the deployment asked for it.
    pub(super) asked_for: bool,
    /// The stop signal that the process ignored until it was killed.
    pub(super) ignored: Option<String>,
    /// Whether the process did not run before the command.
    pub(super) new: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Affected {
    service: Service,
    deaths: Vec<DeathStory>,
    /// How many died or stopped because the deployment asked for it.
    pub(super) asked_for: u64,
    /// How many died otherwise, and not cleanly.
    pub(super) unexpected: u64,
    /// Of those, how many had hardly lived.
    short_lived: u64,
    /// Processes that did not run before the command.
    pub(super) new: BTreeSet<Pid>,
    listeners: BTreeMap<Place, Listening>,
    /// Whether it listens where it did not before.
    moved: bool,
    /// Whether it died again and again while restarting.
    pub(super) crash_loop: bool,
    memory: Option<Memory>,
}

/// A listener that went down.
#[derive(Debug, Default)]
struct Listening {
    downs: u64,
    down_ms: f64,
    down_since: Option<WallTime>,
    /// The process that listens there now.
    by: Option<Pid>,
}

impl Affected {
    pub(super) fn new(service: &Service) -> Self {
        Self {
            service: service.clone(),
            deaths: Vec::new(),
            asked_for: 0,
            unexpected: 0,
            short_lived: 0,
            new: BTreeSet::new(),
            listeners: BTreeMap::new(),
            moved: false,
            crash_loop: false,
            memory: None,
        }
    }

    /// A process that did not run before the command runs now.
    pub(super) fn has_new(&mut self, pid: Pid) {
        if self.new.len() < MAX_NEW {
            self.new.insert(pid);
        }
    }

    /// The most memory that a new process has had so far.
    pub(super) fn used(&mut self, memory: Memory) {
        let limit_bytes = memory
            .limit_bytes
            .or(self.memory.and_then(|known| known.limit_bytes));
        if self
            .memory
            .is_none_or(|known| known.peak_bytes < memory.peak_bytes)
        {
            self.memory = Some(Memory {
                limit_bytes,
                ..memory
            });
        }
    }

    /// A process of it died or stopped.
    pub(super) fn died(&mut self, at: WallTime, death: &Death, share: Share) {
        let pid = death.process.pid;
        if share.asked_for {
            self.asked_for += 1;
        } else if death.cause != Cause::Clean {
            self.unexpected += 1;
            if share.new && death.process.uptime_ms <= SHORT_LIVED_MS {
                self.short_lived += 1;
            }
            self.crash_loop |= self.short_lived >= LOOP;
        }
        if share.new
            && let Some(peak_bytes) = death.memory.peak_bytes
        {
            self.used(Memory {
                pid,
                peak_bytes,
                limit_bytes: death.memory.limit_bytes,
            });
        }
        self.new.remove(&pid);
        if self.deaths.len() < MAX_DEATHS {
            self.deaths.push(DeathStory {
                at,
                pid,
                comm: death.process.comm.clone(),
                cause: death.cause,
                why: death.why.clone(),
                asked_for: share.asked_for,
                ignored: share.ignored,
            });
        }
    }

    /// It stopped listening at `place`.
    pub(super) fn stopped_listening(&mut self, at: WallTime, place: Place) {
        if self.listeners.len() >= MAX_LISTENERS && !self.listeners.contains_key(&place) {
            return;
        }
        let listening = self.listeners.entry(place).or_default();
        listening.downs += 1;
        listening.down_since.get_or_insert(at);
    }

    /// Somebody listens at `place`, whoever it is; whether the service did so before.
    pub(super) fn is_served(
        &mut self,
        at: WallTime,
        place: &Place,
        by: Option<Pid>,
        down_ms: Option<f64>,
    ) -> bool {
        let Some(listening) = self.listeners.get_mut(place) else {
            return false;
        };
        if let Some(since) = listening.down_since.take() {
            listening.down_ms += down_ms.unwrap_or_else(|| between(since, at));
        }
        listening.by = by;
        true
    }

    /// It listens where nothing went down.
    pub(super) fn listens_elsewhere(&mut self) {
        self.moved = true;
    }

    /// What happened to it, up to `now`. `stopped`: the deployment stopped it and did not start it again.
    pub(super) fn story(&self, stopped: bool, now: WallTime) -> ServiceStory {
        let stopped = stopped && self.unexpected == 0;
        let listeners = self
            .listeners
            .iter()
            .map(|((_, address), listening)| ListenerStory {
                address: address.clone(),
                downs: listening.downs,
                down_ms: listening.down_ms
                    + listening
                        .down_since
                        .map_or(0.0, |since| between(since, now)),
                state: match listening.down_since {
                    None => ListenerState::Back,
                    Some(_) if stopped => ListenerState::Stopped,
                    Some(_) if self.moved => ListenerState::Moved,
                    Some(_) => ListenerState::NotBack,
                },
            })
            .collect();
        ServiceStory {
            service: self.service.clone(),
            deaths: self.deaths.clone(),
            asked_for: self.asked_for,
            unexpected: self.unexpected,
            new: self.successors(),
            listeners,
            crash_loop: self.crash_loop,
            memory: self.memory,
        }
    }

    /// The processes that listen now, whoever else the service has; without any, all new ones.
    fn successors(&self) -> Vec<Pid> {
        let mut listening: Vec<Pid> = self
            .listeners
            .values()
            .filter_map(|listening| listening.by.filter(|_| listening.down_since.is_none()))
            .collect();
        listening.sort_unstable();
        listening.dedup();
        if listening.is_empty() {
            listening = self.new.iter().copied().collect();
        }
        listening
    }
}

fn between(from: WallTime, to: WallTime) -> f64 {
    let ns = u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0);
    millis(Duration::from_nanos(ns))
}
