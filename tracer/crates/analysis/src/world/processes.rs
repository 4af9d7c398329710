//! Processes: which are alive, which died recently, whose child each is. Knows nothing about
//! services beyond carrying what attribution concluded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;
use indexmap::IndexMap;
use indexmap::map::Entry;
use tracer_model::{Cause, Pid, ProcessFacts, ProcessKey, ProxyKind, TaskFacts, Timestamp};

use crate::attribution::Attribution;

/// More live processes than any kernel allows by default on a machine worth this tool.
const MAX_LIVE: usize = 65_536;
/// Dead ones that are remembered, so that what follows a death can still be named: this many that
/// ever listened, and this many others. A storm of short-lived commands, whose sockets close at once, must
/// not push out a server whose memory takes the kernel a while to free.
const MAX_DEAD: usize = 1024;
/// Room that is kept when most of many processes have exited.
const ROOM: usize = 1024;

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its task, as last reported by the kernel.
    pub task: TaskFacts,
    /// Facts from /proc, its own or inherited; `facts.task` may be an ancestor's.
    pub facts: Arc<ProcessFacts>,
    /// Its service and role.
    pub attribution: Arc<Attribution>,
    /// Its parent; `start_ticks` is 0 when only the pid is known.
    pub parent: ProcessKey,
    /// Whether it runs the program it was forked with.
    pub forked_only: bool,
    /// Whether it ever held a listener.
    pub listened: bool,
    /// When it exited, and the cause.
    pub dead: Option<Exited>,
}

/// When and why a process exited.
#[derive(Clone, Debug)]
pub struct Exited {
    /// When.
    pub at: Timestamp,
    /// The cause.
    pub cause: Cause,
    /// The same in a few words.
    pub summary: Arc<str>,
}

/// All known processes.
#[derive(Debug, Default)]
pub struct Processes {
    /// The newest of each pid: most observations are about one of them. Found by hash, which takes
    /// no longer among many; where order matters they are sorted.
    newest: IndexMap<Pid, Process, RandomState>,
    /// Those whose pid was given away before they were forgotten.
    replaced: BTreeMap<ProcessKey, Process>,
    dead: VecDeque<ProcessKey>,
    /// Those of the dead that ever listened; the others are in `dead`.
    dead_servers: VecDeque<ProcessKey>,
    /// The live ones that are proxies.
    proxies: BTreeMap<ProcessKey, ProxyKind>,
    /// Grows whenever `proxies` changes.
    proxies_version: u64,
}

impl Processes {
    /// The process, alive or recently dead.
    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        match self.newest.get(&key.pid) {
            Some(newest) if newest.task.key == key => Some(newest),
            _ => self.replaced.get(&key),
        }
    }

    /// As [`Self::get`].
    pub fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        match self.newest.get_mut(&key.pid) {
            Some(newest) if newest.task.key == key => Some(newest),
            _ => self.replaced.get_mut(&key),
        }
    }

    /// Gives a process another name.
    pub fn rename(&mut self, key: ProcessKey, attribution: Arc<Attribution>) {
        let Some(process) = self.get_mut(key) else {
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
            self.by_pid(key.pid)
        } else {
            self.get(key)
        }
    }

    /// The newest process of that pid.
    pub fn by_pid(&self, pid: Pid) -> Option<&Process> {
        self.newest.get(&pid)
    }

    /// The live ones, by key.
    pub fn live(&self) -> impl Iterator<Item = &Process> {
        let lives = |process: &&Process| process.dead.is_none();
        let mut live: Vec<&Process> = self.in_any_order().filter(lives).collect();
        live.sort_unstable_by_key(|process| process.task.key);
        live.into_iter()
    }

    /// All known processes, the recently dead included, for what does not depend on the order.
    pub fn in_any_order(&self) -> impl Iterator<Item = &Process> {
        self.newest.values().chain(self.replaced.values())
    }

    /// Whether `key` is older than the process that has its pid now, so that news about it is stale.
    pub fn is_stale(&self, key: ProcessKey) -> bool {
        self.by_pid(key.pid)
            .is_some_and(|current| current.task.key.start_ticks > key.start_ticks)
    }

    /// Adds or replaces a live process. A predecessor of its pid is dead, even if its exit was not
    /// recorded yet: it stays until its exit comes late, or until it is missed.
    pub fn insert(&mut self, process: Process) {
        let key = process.task.key;
        let role = process.attribution.role.filter(|_| process.dead.is_none());
        self.replaced.remove(&key);
        match self.newest.entry(key.pid) {
            Entry::Vacant(entry) => {
                entry.insert(process);
            }
            Entry::Occupied(entry) if entry.get().task.key.start_ticks > key.start_ticks => {
                self.replaced.insert(key, process);
            }
            Entry::Occupied(mut entry) => {
                let before = entry.insert(process);
                if before.task.key != key {
                    self.replaced.insert(before.task.key, before);
                }
            }
        }
        self.set_role(key, role);
        if self.newest.len() + self.replaced.len() > MAX_LIVE + 2 * MAX_DEAD
            && let Some(oldest) = self
                .in_any_order()
                .filter(|process| process.dead.is_none() && process.task.key != key)
                .map(|process| process.task.key)
                .min_by_key(|key| (key.start_ticks, key.pid))
        {
            self.forget(oldest);
        }
    }

    /// Marks a process as dead; the one of its kind that died longest ago is forgotten.
    pub fn exited(&mut self, key: ProcessKey, end: Exited) {
        let Some(process) = self.get_mut(key) else {
            return;
        };
        let listened = process.listened;
        let is_new = process.dead.replace(end).is_none();
        let queue = if listened {
            &mut self.dead_servers
        } else {
            &mut self.dead
        };
        if is_new {
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
        if self
            .newest
            .get(&key.pid)
            .is_some_and(|newest| newest.task.key == key)
        {
            self.newest.swap_remove(&key.pid);
            if self.newest.capacity() / 4 > self.newest.len().max(ROOM) {
                self.newest.shrink_to(2 * self.newest.len());
            }
        } else {
            self.replaced.remove(&key);
        }
        self.set_role(key, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;
    use crate::rules::Rules;

    fn process(pid: Pid, start_ticks: u64) -> Process {
        let task = TaskFacts {
            key: ProcessKey { pid, start_ticks },
            ..TaskFacts::default()
        };
        World::new(Rules::none()).unknown(task, ProcessKey::default())
    }

    fn ids<'a>(processes: impl Iterator<Item = &'a Process>) -> Vec<(Pid, u64)> {
        processes
            .map(|process| (process.task.key.pid, process.task.key.start_ticks))
            .collect()
    }

    #[test]
    fn live_processes_are_in_order_however_they_came_and_went() {
        let mut processes = Processes::default();
        for pid in [9, 3, 7, 5, 1] {
            processes.insert(process(pid, 10));
        }
        processes.insert(process(7, 20));
        processes.insert(process(5, 4));
        processes.forget(process(3, 10).task.key);
        let live = [(1, 10), (5, 4), (5, 10), (7, 10), (7, 20), (9, 10)];
        assert_eq!(ids(processes.live()), live);
    }

    #[test]
    fn a_pid_finds_its_newest_process_and_a_key_finds_each() {
        let mut processes = Processes::default();
        processes.insert(process(7, 20));
        processes.insert(process(7, 10));
        processes.insert(process(7, 30));
        assert_eq!(ids(processes.by_pid(7).into_iter()), [(7, 30)]);
        for start_ticks in [10, 20, 30] {
            let key = ProcessKey {
                pid: 7,
                start_ticks,
            };
            assert_eq!(ids(processes.get(key).into_iter()), [(7, start_ticks)]);
            assert_eq!(processes.is_stale(key), start_ticks < 30);
        }
        processes.forget(process(7, 30).task.key);
        assert!(processes.by_pid(7).is_none());
        assert_eq!(ids(processes.live()), [(7, 10), (7, 20)]);
    }

    #[test]
    fn memory_for_many_processes_is_freed_when_few_are_left() {
        let mut processes = Processes::default();
        for pid in 0..20_000 {
            processes.insert(process(pid, 10));
        }
        for pid in 10..20_000 {
            processes.forget(process(pid, 10).task.key);
        }
        assert!(processes.newest.capacity() < 8 * ROOM);
        assert_eq!(processes.live().count(), 10);
    }
}
