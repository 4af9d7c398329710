//! The machine as observed: takes observations in and answers what was where. Draws no conclusions
//! about what happened; the correlators do.

use std::sync::Arc;
use std::time::Duration;

use tracer_model::{
    Actor, ClockAnchor, ContainerFacts, Endpoint, Hook, Listener, LogEntry, Manager, NetNs, Party,
    ProcessFacts, ProcessKey, Service, Session, TaskFacts, Timestamp, WallTime,
};

use super::cgroups::{Cgroups, Containers};
use super::listeners::{Change, Listeners, Listening, Place};
use super::names::same;
use super::processes::{Exited, Process, Processes};
use crate::attribution::{Attribution, attribute};
use crate::candidate::{Candidate, Parent};
use crate::rules::Rules;

/// A line is written at most this long after its request ended. A line that seems older is not
/// believed: a clock has been stepped.
const LATEST_LINE: Duration = Duration::from_secs(15);
/// Lines have times to the millisecond; this much after the reading is still the same time.
const CUT_OFF: Duration = Duration::from_millis(10);

/// The machine as observed.
pub struct World {
    rules: Rules,
    /// The machine and what can be seen on it.
    pub session: Session,
    clock: ClockAnchor,
    /// Processes.
    pub processes: Processes,
    /// Listeners.
    pub listeners: Listeners,
    /// Cgroups.
    pub cgroups: Cgroups,
    /// Containers.
    pub containers: Containers,
}

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            session: Session::default(),
            clock: ClockAnchor::default(),
            processes: Processes::default(),
            listeners: Listeners::default(),
            cgroups: Cgroups::default(),
            containers: Containers::default(),
        }
    }

    pub(crate) fn set_clock(&mut self, clock: ClockAnchor) {
        self.clock = clock;
    }

    /// Wall time of an instant.
    pub fn wall(&self, at: Timestamp) -> WallTime {
        self.clock.wall(at)
    }

    /// When the request of a log's line ended, if the line says it. `read` is when the line was read.
    pub fn request_end(&self, entry: &LogEntry, read: Timestamp) -> Option<Timestamp> {
        let end = self.clock.boot(entry.ended?)?;
        let believed = read.since(end) <= LATEST_LINE && end.since(read) <= CUT_OFF;
        believed.then_some(end.min(read))
    }

    /// Facts from /proc.
    pub(crate) fn learn(&mut self, facts: &ProcessFacts) {
        let key = facts.task.key;
        let known = self.processes.get(key);
        if self.processes.is_stale(key) || known.is_some_and(|process| process.dead.is_some()) {
            return;
        }
        // It exited while /proc was read: a zombie has no command line, so what is known stays.
        if facts.args.is_empty() && known.is_some_and(|process| !process.facts.args.is_empty()) {
            return;
        }
        let parent = match known {
            Some(process) if process.parent.pid == facts.task.ppid => process.parent,
            _ => self.parent_of(facts.task),
        };
        let forked_only = known.map_or_else(
            || {
                self.processes
                    .find(parent)
                    .is_some_and(|parent| facts.exe.is_some() && parent.facts.exe == facts.exe)
            },
            |process| process.forked_only,
        );
        let listened = known.is_some_and(|process| process.listened);
        let facts = Arc::new(facts.clone());
        let attribution = self.attribute(&facts, parent);
        self.processes.insert(Process {
            task: facts.task,
            facts,
            attribution,
            parent,
            forked_only,
            listened,
            dead: None,
        });
        if let Some(process) = self.processes.get(key) {
            self.listeners.adopted(key, &process.attribution.service);
        }
    }

    /// A child inherits everything until its own facts arrive.
    pub(crate) fn forked(&mut self, child: TaskFacts, parent: ProcessKey) {
        if self.processes.is_stale(child.key) || self.processes.get(child.key).is_some() {
            return;
        }
        let process = match self.processes.find(parent) {
            Some(known) => Process {
                task: child,
                facts: Arc::clone(&known.facts),
                attribution: Arc::clone(&known.attribution),
                parent,
                forked_only: true,
                listened: false,
                dead: None,
            },
            None => self.unknown(child, parent),
        };
        self.listeners.inherit(parent, child.key);
        self.processes.insert(process);
    }

    /// A process replaced its program: arguments and name are new, the rest is as before.
    pub(crate) fn executed(&mut self, task: TaskFacts, args: &[Box<str>]) {
        let known = self.processes.get(task.key);
        if self.processes.is_stale(task.key) || known.is_some_and(|known| known.dead.is_some()) {
            return;
        }
        let parent = known.map_or_else(|| self.parent_of(task), |known| known.parent);
        let mut facts = known.map_or_else(
            || self.bare(task, parent),
            |known| ProcessFacts::clone(&known.facts),
        );
        facts.task = task;
        facts.args = args.into();
        facts.exe = None;
        if let Some(cgroup) = self.cgroups.get(task.cgroup) {
            facts.cgroup_path = Some(cgroup.path.clone());
        }
        let listened = known.is_some_and(|known| known.listened);
        let facts = Arc::new(facts);
        let attribution = self.attribute(&facts, parent);
        self.listeners.executed(task.key);
        self.processes.insert(Process {
            task,
            facts,
            attribution,
            parent,
            forked_only: false,
            listened,
            dead: None,
        });
    }

    /// A dying process whose birth was not seen: from its task, its cgroup and its parent.
    pub(crate) fn unknown(&self, task: TaskFacts, parent: ProcessKey) -> Process {
        let facts = Arc::new(self.bare(task, parent));
        let attribution = self.attribute(&facts, parent);
        Process {
            task,
            facts,
            attribution,
            parent,
            forked_only: false,
            listened: false,
            dead: None,
        }
    }

    /// A hook was attached after the start, or in another way than at the start.
    pub(crate) fn hook(&mut self, hook: &Hook) {
        let hooks = &mut self.session.hooks;
        match hooks.iter_mut().find(|known| known.name == hook.name) {
            Some(known) => *known = hook.clone(),
            None => hooks.push(hook.clone()),
        }
        if hook.name == "http" && !hook.ok {
            self.session
                .blind
                .push("failed requests at proxies, except those that their logs record".into());
        }
    }

    /// An engine reported a container: its processes may get a better name.
    pub(crate) fn container(&mut self, facts: &ContainerFacts) {
        self.containers.insert(facts.clone());
        let members: Vec<_> = self
            .processes
            .live()
            .filter(|process| is_in(process, &facts.id))
            .map(|process| (process.task.key, Arc::clone(&process.facts), process.parent))
            .collect();
        for (key, facts, parent) in members {
            let attribution = self.attribute(&facts, parent);
            self.processes.rename(key, attribution);
        }
    }

    /// A listener, with its owner: whoever called listen() or the oldest holder that is not init,
    /// which holds the sockets of socket-activated services.
    pub(crate) fn listener_up(&mut self, listener: &Listener, at: Timestamp) -> Option<Change> {
        let owner = listener
            .holders
            .iter()
            .filter_map(|key| self.processes.find(*key))
            .min_by_key(|process| {
                let key = process.task.key;
                (key.pid == 1, key.start_ticks, key.pid)
            });
        let key = owner.map(|owner| owner.task.key);
        let service = owner.map_or_else(unknown_owner, |owner| owner.attribution.service.clone());
        for holder in &listener.holders {
            if let Some(process) = self.processes.get_mut(*holder) {
                process.listened = true;
            }
        }
        let change = self.listeners.up(listener, at, key, service);
        // A rule may name services by port.
        for holder in &listener.holders {
            if let Some(process) = self.processes.get(*holder)
                && process.dead.is_none()
            {
                let attribution = self.attribute(&process.facts, process.parent);
                self.processes.rename(*holder, attribution);
            }
        }
        change
    }

    /// Whose a listener is, by its owner's present name: a container's may have come late.
    pub fn listener_service<'a>(&'a self, listening: &'a Listening) -> &'a Service {
        listening
            .owner
            .and_then(|owner| self.processes.get(owner))
            .map_or(&listening.service, |process| &process.attribution.service)
    }

    /// Nobody listens at a place any more: its name stays when the owner is forgotten.
    pub(crate) fn listener_lost(&mut self, place: &Place) {
        if let Some(listening) = self.listeners.get(place) {
            let service = self.listener_service(listening).clone();
            self.listeners.rename(place, &service);
        }
    }

    /// A process is dead: what it listened at keeps its name when it is forgotten.
    pub(crate) fn exited(&mut self, key: ProcessKey, end: Exited) {
        if let Some(process) = self.processes.get(key) {
            self.listeners.rename_of(key, &process.attribution.service);
        }
        self.processes.exited(key, end);
    }

    /// Who listens, or listened last, where a connect goes to: in its namespace, or in a container
    /// behind the address.
    pub fn upstream(&self, netns: NetNs, remote: &Endpoint) -> Option<(&Place, &Listening)> {
        let outside = self.listeners.answering(netns, remote);
        if outside.is_some_and(|(_, listening)| listening.down.is_none()) {
            return outside;
        }
        let inside = self.containers.serving(remote).and_then(|(facts, inside)| {
            self.processes
                .in_any_order()
                .filter(|process| process.facts.netns != 0 && is_in(process, &facts.id))
                .filter_map(|process| {
                    let found = self.listeners.answering(process.facts.netns, &inside)?;
                    Some((process.task.key, found))
                })
                .min_by_key(|(key, _)| *key)
                .map(|(_, found)| found)
        });
        inside.or(outside)
    }

    /// Whether a process was started by something outside its service.
    pub fn is_main(&self, process: &Process) -> bool {
        process.parent.pid <= 1
            || self.processes.find(process.parent).is_none_or(|parent| {
                !same(&parent.attribution.service, &process.attribution.service)
            })
    }

    /// Whether a process is a worker: forked without exec from one that listens.
    pub fn is_worker(&self, process: &Process) -> bool {
        process.forked_only
            && self
                .processes
                .find(process.parent)
                .is_some_and(|parent| parent.listened)
    }

    /// The main processes of a service that live.
    pub fn live_mains(&self, service: &Service) -> usize {
        let is_one = |process: &&Process| {
            process.dead.is_none()
                && same(&process.attribution.service, service)
                && self.is_main(process)
        };
        self.processes.in_any_order().filter(is_one).count()
    }

    /// Somebody who had a part in something.
    pub fn party(&self, actor: &Actor) -> Party {
        Party {
            pid: actor.key.pid,
            comm: actor.comm.to_text(),
            service: self
                .processes
                .find(actor.key)
                .map(|process| Arc::clone(&process.attribution.service.name)),
        }
    }

    fn parent_of(&self, task: TaskFacts) -> ProcessKey {
        self.processes
            .by_pid(task.ppid)
            .filter(|parent| parent.task.key.start_ticks <= task.key.start_ticks)
            .map_or(
                ProcessKey {
                    pid: task.ppid,
                    start_ticks: 0,
                },
                |parent| parent.task.key,
            )
    }

    fn bare(&self, task: TaskFacts, parent: ProcessKey) -> ProcessFacts {
        let parent = self.processes.find(parent);
        ProcessFacts {
            task,
            cgroup_path: self
                .cgroups
                .get(task.cgroup)
                .map(|cgroup| cgroup.path.clone())
                .or_else(|| {
                    parent
                        .filter(|parent| task.cgroup == 0 || parent.task.cgroup == task.cgroup)
                        .and_then(|parent| parent.facts.cgroup_path.clone())
                }),
            netns: parent.map_or(0, |parent| parent.facts.netns),
            ..ProcessFacts::default()
        }
    }

    fn attribute(&self, facts: &ProcessFacts, parent: ProcessKey) -> Arc<Attribution> {
        let mut ports: Vec<u16> = self
            .listeners
            .held_by(facts.task.key)
            .filter_map(|(_, address)| match address {
                Endpoint::Tcp(address) => Some(address.port()),
                Endpoint::Unix(_) => None,
            })
            .collect();
        ports.dedup();
        let parent = self.processes.find(parent);
        let attribution = attribute(
            &Candidate {
                facts,
                parent: parent.map(|parent| Parent {
                    service: &parent.attribution.service,
                    facts: &parent.facts,
                }),
                ports: &ports,
                container: &|id| self.containers.get(id),
            },
            &self.rules,
        );
        match parent.map(|parent| &parent.attribution) {
            Some(parents) if **parents == attribution => Arc::clone(parents),
            _ => Arc::new(attribution),
        }
    }
}

fn is_in(process: &Process, container: &str) -> bool {
    !container.is_empty()
        && process
            .facts
            .cgroup_path
            .as_deref()
            .is_some_and(|path| path.contains(container))
}

/// The service of a listener whose holder is not known.
fn unknown_owner() -> Service {
    Service {
        name: "unknown".into(),
        manager: Manager::Process,
        evidence: "its holder is not known".into(),
    }
}
