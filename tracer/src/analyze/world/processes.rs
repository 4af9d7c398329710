//! Processes: who lives, who died lately, whose child each is. Knows nothing about services beyond
//! carrying what attribution said.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::analyze::attribution::Attribution;
use crate::model::{Cause, Pid, ProcessFacts, ProcessKey, ProxyKind, TaskFacts, Timestamp};

/// More live processes than any kernel allows by default on a machine worth this tool.
const MAX_LIVE: usize = 65_536;
/// Dead ones remembered, so that what comes after a death can still be named: so many that ever
/// listened, and so many others. A storm of short-lived commands, whose sockets close at once, must
/// not push out a server whose memory takes the kernel a while to free.
const MAX_DEAD: usize = 1024;

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its task, as last told.
    pub task: TaskFacts,
    /// Facts from /proc, its own or inherited; `facts.task` may be an ancestor's.
    pub facts: Arc<ProcessFacts>,
    /// Whose it is.
    pub attribution: Arc<Attribution>,
    /// Its parent; `start_ticks` is 0 when only the pid is known.
    pub parent: ProcessKey,
    /// Whether it runs the program it was forked with.
    pub forked_only: bool,
    /// Whether it ever held a listener.
    pub listened: bool,
    /// When it died and of what.
    pub dead: Option<End>,
}

/// A process's end.
#[derive(Clone, Debug)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Of what.
    pub cause: Cause,
    /// The cause in a few words.
    pub summary: Arc<str>,
}

/// All processes that are known.
#[derive(Debug, Default)]
pub struct Processes {
    all: BTreeMap<ProcessKey, Process>,
    by_pid: BTreeMap<Pid, ProcessKey>,
    dead: VecDeque<ProcessKey>,
    /// Those of the dead that ever listened; the others are in `dead`.
    dead_servers: VecDeque<ProcessKey>,
    /// The live ones that are proxies.
    proxies: BTreeMap<ProcessKey, ProxyKind>,
    /// Grows whenever `proxies` changes.
    proxies_version: u64,
}

impl Processes {
    /// The process, alive or lately dead.
    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.all.get(&key)
    }

    /// As [`Self::get`].
    pub fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        self.all.get_mut(&key)
    }

    /// Gives a process another name.
    pub fn rename(&mut self, key: ProcessKey, attribution: Arc<Attribution>) {
        let Some(process) = self.all.get_mut(&key) else {
            return;
        };
        let role = attribution.role.filter(|_| process.dead.is_none());
        process.attribution = attribution;
        self.set_role(key, role);
    }

    /// The live processes that are proxies, by key.
    pub fn proxies(&self) -> impl Iterator<Item = (ProcessKey, ProxyKind)> {
        self.proxies.iter().map(|(key, kind)| (*key, *kind))
    }

    /// Grows whenever [`Self::proxies`] changes.
    pub fn proxies_version(&self) -> u64 {
        self.proxies_version
    }

    fn set_role(&mut self, key: ProcessKey, role: Option<ProxyKind>) {
        let before = match role {
            Some(kind) => self.proxies.insert(key, kind),
            None => self.proxies.remove(&key),
        };
        if before != role {
            self.proxies_version += 1;
        }
    }

    /// The process of that key or, when the creation time is not known, the newest of that pid.
    pub fn find(&self, key: ProcessKey) -> Option<&Process> {
        if key.start_ticks == 0 {
            self.by_pid.get(&key.pid).and_then(|key| self.all.get(key))
        } else {
            self.all.get(&key)
        }
    }

    /// The newest process of that pid.
    pub fn by_pid(&self, pid: Pid) -> Option<&Process> {
        self.by_pid.get(&pid).and_then(|key| self.all.get(key))
    }

    /// Those that live, by key.
    pub fn live(&self) -> impl Iterator<Item = &Process> {
        self.all.values().filter(|process| process.dead.is_none())
    }

    /// All that are known, the lately dead too, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.all.values()
    }

    /// Whether `key` is older than the process that has its pid now: news of it is stale.
    pub fn is_stale(&self, key: ProcessKey) -> bool {
        self.by_pid
            .get(&key.pid)
            .is_some_and(|current| current.start_ticks > key.start_ticks)
    }

    /// Adds or replaces a live process. A predecessor of its pid is dead, even if that was not told
    /// yet: it stays until its exit comes late, or until it is missed.
    pub fn insert(&mut self, process: Process) {
        let key = process.task.key;
        let newest = self.by_pid.entry(key.pid).or_insert(key);
        if newest.start_ticks < key.start_ticks {
            *newest = key;
        }
        let role = process.attribution.role.filter(|_| process.dead.is_none());
        self.all.insert(key, process);
        self.set_role(key, role);
        if self.all.len() > MAX_LIVE + 2 * MAX_DEAD
            && let Some(oldest) = self
                .all
                .values()
                .filter(|process| process.dead.is_none() && process.task.key != key)
                .map(|process| process.task.key)
                .min_by_key(|key| (key.start_ticks, key.pid))
        {
            self.forget(oldest);
        }
    }

    /// Marks a process as dead; the one of its kind that died longest ago is forgotten.
    pub fn died(&mut self, key: ProcessKey, end: End) {
        let Some(process) = self.all.get_mut(&key) else {
            return;
        };
        let queue = if process.listened {
            &mut self.dead_servers
        } else {
            &mut self.dead
        };
        if process.dead.replace(end).is_none() {
            queue.push_back(key);
        }
        let oldest = (queue.len() > MAX_DEAD)
            .then(|| queue.pop_front())
            .flatten();
        self.set_role(key, None);
        if let Some(oldest) = oldest {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, key: ProcessKey) {
        self.all.remove(&key);
        self.set_role(key, None);
        if self.by_pid.get(&key.pid) == Some(&key) {
            self.by_pid.remove(&key.pid);
        }
    }
}
