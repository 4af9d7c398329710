//! A deployment, watched: what it touched, which deaths it asked for, and the verdict.
//!
//! Pure: it is told what was observed and found, and who runs; it reads nothing and has no clock.
//! The command that does the rest is `cli/deploy`.

pub mod ci;
mod tree;
pub mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use verdict::{CommandEnd, FAIL_ON, Verdict};

use tracer_analysis::world::ServiceView;
use tracer_model::quantity::millis;
use tracer_model::{
    Because, Body, Cause, Death, FailedRequest, Failure, Finding, Incident, IncidentState, Kind,
    ListenerChange, Manager, NetNs, Observation, Pid, Service, Timestamp, WallTime,
};

use self::tree::{Asked, Tree};
use self::verdict::{
    Ended, ListenerState, ListenerStory, Memory, RequestsFailed, ServiceStory, reasons,
};

/// How many services are followed; those touched first.
const MAX_SERVICES: usize = 256;
/// How many ends of processes are told of each.
const MAX_ENDED: usize = 20;
/// How many listeners are followed of each.
const MAX_LISTENERS: usize = 64;
/// How many new processes are followed of each.
const MAX_NEW: usize = 256;
/// How many kinds of failed requests are told apart.
const MAX_REQUESTS: usize = 64;
/// So many deaths that nobody asked for are a crash loop ...
const LOOP: u64 = 3;
/// ... of processes that lived no longer than this, ms.
const SHORT_LIVED_MS: u64 = 30_000;

/// Name and manager.
type ServiceKey = (Arc<str>, Manager);
type RequestsKey = (String, Option<String>, Option<u16>, Failure);

/// See the module.
#[derive(Debug, Default)]
pub struct Deployment {
    command: String,
    tree: Tree,
    /// Whether the command has begun: what happens before is none of its doing.
    began: Option<Timestamp>,
    ended: Option<(Timestamp, CommandEnd)>,
    /// What the newest exit was asked by; its death is the next finding, if it is one.
    asked: Option<Asked>,
    touched: BTreeMap<ServiceKey, Touched>,
    left_out: BTreeSet<Arc<str>>,
    /// Who ran before the command.
    before: BTreeSet<Pid>,
    /// Which services did.
    known: BTreeSet<ServiceKey>,
    /// The service that the command belongs to: a CI runner, a session.
    own: Option<ServiceKey>,
    requests: BTreeMap<RequestsKey, FailedAlike>,
    requests_failed: u64,
    events_lost: u64,
    seen: BTreeMap<Kind, u64>,
    last: WallTime,
}

/// Failed requests of one kind.
#[derive(Debug, Default)]
struct FailedAlike {
    count: u64,
    /// What explains the first of them that is explained.
    because: Option<Because>,
}

#[derive(Debug)]
struct Touched {
    service: Service,
    ended: Vec<Ended>,
    asked_for: u64,
    unexpected: u64,
    /// Of those, how many had hardly lived.
    short_lived: u64,
    new: BTreeSet<Pid>,
    listeners: BTreeMap<(NetNs, String), Listening>,
    /// Whether it listens where it did not before.
    moved: bool,
    crash_loop: bool,
    memory: Option<Memory>,
}

#[derive(Debug, Default)]
struct Listening {
    downs: u64,
    down_ms: f64,
    since: Option<WallTime>,
    /// The process that listens there since.
    by: Option<Pid>,
}

impl Deployment {
    /// Of this command.
    pub fn new<'a>(command: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            command: tree::command_line(command),
            ..Self::default()
        }
    }

    /// The command, fit to be shown.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// The command runs, as this process.
    pub fn command_started(&mut self, pid: Pid, at: Timestamp) {
        self.began = Some(at);
        self.tree.root(pid);
    }

    /// The command has ended.
    pub fn command_ended(&mut self, end: CommandEnd, at: Timestamp) {
        self.ended = Some((at, end));
    }

    /// Whether that process is one of the command's.
    pub fn runs(&self, pid: Pid) -> bool {
        self.tree.has(pid)
    }

    /// Takes in what was observed, before what was concluded from it.
    pub fn observe(&mut self, observation: &Observation) {
        if self.began.is_some() {
            self.asked = self.tree.observe(observation);
        }
    }

    /// Who runs: before the command begins, those who are not new.
    pub fn running(&mut self, views: &[ServiceView]) {
        if self.began.is_none() {
            self.before = views
                .iter()
                .flat_map(|view| view.pids.iter().copied())
                .collect();
            self.known = views.iter().map(|view| key_of(&view.service)).collect();
            return;
        }
        for view in views {
            let key = key_of(&view.service);
            if let Some(touched) = self.touched.get_mut(&key) {
                for pid in &view.pids {
                    if !self.before.contains(pid) && touched.new.len() < MAX_NEW {
                        touched.new.insert(*pid);
                    }
                }
            }
        }
    }

    /// The command belongs to this service, as the tracer does.
    pub fn belongs_to(&mut self, service: &Service) {
        self.own = Some(key_of(service));
    }

    /// The processes of a view whose memory is of interest: new ones of a service that was touched.
    pub fn new_processes<'a>(&'a self, view: &'a ServiceView) -> impl Iterator<Item = Pid> + 'a {
        let key = key_of(&view.service);
        let touched = self.touched.get(&key);
        view.pids
            .iter()
            .copied()
            .filter(move |pid| touched.is_some_and(|touched| touched.new.contains(pid)))
    }

    /// The most memory that a new process has had so far.
    pub fn memory(&mut self, service: &Service, memory: Memory) {
        let key = key_of(service);
        if let Some(touched) = self.touched.get_mut(&key) {
            touched.used(memory);
        }
    }

    /// Takes in what was found.
    pub fn finding(&mut self, finding: &Finding) {
        self.last = self.last.max(finding.at);
        if self.began.is_none() {
            return;
        }
        let at = finding.at;
        match &finding.body {
            Body::Death(death) => self.death(at, death),
            Body::ListenerDown(change) => self.listener_down(at, change),
            Body::ListenerUp(change) => self.listener_up(at, change),
            Body::RequestFailed(request) => self.request_failed(request),
            Body::Incident(incident) => self.incident(incident),
            Body::Lost(lost) => {
                self.events_lost = self.events_lost.saturating_add(lost.count);
                self.count(Kind::Lost);
            }
            body => self.count(body.kind()),
        }
    }

    /// The verdict, given which kinds of findings fail a deployment; it is `now`.
    pub fn verdict(&self, fail_on: &[Kind], now: Timestamp) -> Verdict {
        let began = self.began.unwrap_or(now);
        let ended = self.ended.map_or(now, |(at, _)| at);
        let ms = |from: Timestamp, to: Timestamp| {
            u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
        };
        let mut requests: Vec<RequestsFailed> = self
            .requests
            .iter()
            .map(
                |((proxy, upstream, status, failure), alike)| RequestsFailed {
                    proxy: proxy.clone(),
                    upstream: upstream.clone(),
                    status: *status,
                    failure: *failure,
                    count: alike.count,
                    because: alike.because.as_ref().map(|it| it.sentence.clone()),
                    cause: alike.because.as_ref().and_then(|it| it.cause),
                },
            )
            .collect();
        requests.sort_by_key(|failed| std::cmp::Reverse(failed.count));
        let mut verdict = Verdict {
            command: self.command.clone(),
            ended: self.ended.map(|(_, end)| end),
            ran_ms: ms(began, ended),
            watched_ms: ms(ended, now),
            failures: Vec::new(),
            services: self
                .touched
                .values()
                .map(|touched| touched.story(&self.tree, self.last))
                .collect(),
            services_left_out: self.left_out.len() as u64,
            requests,
            requests_failed: self.requests_failed,
            events_lost: self.events_lost,
        };
        verdict.failures = reasons(&verdict, fail_on, &self.seen);
        verdict
    }

    fn count(&mut self, kind: Kind) {
        *self.seen.entry(kind).or_default() += 1;
    }

    /// Whether what happens to a service is nothing to a deployment: programs that come and go
    /// without a manager, which did not run before.
    fn is_passing(&self, service: &Service) -> bool {
        matches!(service.manager, Manager::Process | Manager::Script)
            && !self.known.contains(&key_of(service))
    }

    fn touch(&mut self, service: &Service) -> Option<&mut Touched> {
        let key = key_of(service);
        if self.touched.len() >= MAX_SERVICES && !self.touched.contains_key(&key) {
            if self.left_out.len() < MAX_SERVICES {
                self.left_out.insert(key.0);
            }
            return None;
        }
        Some(
            self.touched
                .entry(key)
                .or_insert_with(|| Touched::new(service)),
        )
    }

    fn death(&mut self, at: WallTime, death: &Death) {
        let pid = death.process.pid;
        let asked = self.asked.take().filter(|asked| asked.pid == pid);
        let oom = matches!(
            death.cause,
            Cause::OomCgroup | Cause::OomGlobal | Cause::OomDaemon
        );
        // Of the command's own processes its end tells.
        let own = asked.as_ref().is_some_and(|asked| asked.member)
            && self.own.as_ref() == Some(&key_of(&death.service));
        if (own || self.is_passing(&death.service)) && !oom {
            return;
        }
        let clean = death.cause == Cause::Clean;
        let asked_for = !oom
            && asked
                .as_ref()
                .is_some_and(|asked| asked.by_signal || (clean && asked.client));
        let new = !self.before.contains(&pid);
        let Some(touched) = self.touch(&death.service) else {
            return;
        };
        if asked_for {
            touched.asked_for += 1;
        } else if !clean {
            touched.unexpected += 1;
            if new && death.process.uptime_ms <= SHORT_LIVED_MS {
                touched.short_lived += 1;
            }
            touched.crash_loop |= touched.short_lived >= LOOP;
        }
        if new && let Some(peak_bytes) = death.memory.peak_bytes {
            touched.used(Memory {
                pid,
                peak_bytes,
                limit_bytes: death.memory.limit_bytes,
            });
        }
        touched.new.remove(&pid);
        if touched.ended.len() < MAX_ENDED {
            touched.ended.push(Ended {
                at,
                pid,
                comm: death.process.comm.clone(),
                cause: death.cause,
                why: death.why.clone(),
                asked_for,
                ignored: asked.filter(|_| asked_for).and_then(|asked| asked.ignored),
            });
        }
    }

    fn listener_down(&mut self, at: WallTime, change: &ListenerChange) {
        if self.is_passing(&change.service) {
            return;
        }
        let Some(touched) = self.touch(&change.service) else {
            return;
        };
        let place = (change.netns.unwrap_or(0), change.address.to_string());
        if touched.listeners.len() >= MAX_LISTENERS && !touched.listeners.contains_key(&place) {
            return;
        }
        let listening = touched.listeners.entry(place).or_default();
        listening.downs += 1;
        listening.since.get_or_insert(at);
    }

    fn listener_up(&mut self, at: WallTime, change: &ListenerChange) {
        let place = (change.netns.unwrap_or(0), change.address.to_string());
        let by = change.process.as_ref().map(|process| process.pid);
        // Whoever listens there now, it is back for those who need it.
        let mut known = false;
        for touched in self.touched.values_mut() {
            if let Some(listening) = touched.listeners.get_mut(&place) {
                if let Some(since) = listening.since.take() {
                    listening.down_ms += change.down_ms.unwrap_or_else(|| between(since, at));
                }
                listening.by = by;
                known = true;
            }
        }
        let key = key_of(&change.service);
        let before = &self.before;
        if let Some(touched) = self.touched.get_mut(&key) {
            touched.moved |= !known;
            if let Some(pid) = by.filter(|pid| !before.contains(pid))
                && touched.new.len() < MAX_NEW
            {
                touched.new.insert(pid);
            }
        }
    }

    fn request_failed(&mut self, request: &FailedRequest) {
        self.requests_failed = self.requests_failed.saturating_add(request.count);
        let upstream = request.upstream.as_ref().map(|upstream| {
            upstream
                .service
                .as_ref()
                .map_or_else(|| upstream.address.to_string(), ToString::to_string)
        });
        let key = (
            request.proxy.name.to_string(),
            upstream,
            request.status,
            request.failure,
        );
        let full = self.requests.len() >= MAX_REQUESTS && !self.requests.contains_key(&key);
        let key = if full {
            ("others".to_owned(), None, None, Failure::Unknown)
        } else {
            key
        };
        let alike = self.requests.entry(key).or_default();
        alike.count = alike.count.saturating_add(request.count);
        if alike.because.is_none() && !full {
            alike.because.clone_from(&request.because);
        }
    }

    fn incident(&mut self, incident: &Incident) {
        if incident.cause != Cause::Clean && incident.state == IncidentState::Open {
            self.count(Kind::Incident);
        }
        let key = key_of(&incident.service);
        if incident.crash_loop
            && let Some(touched) = self.touched.get_mut(&key)
            // Several restarts that were asked for are no loop.
            && (touched.unexpected > 0 || touched.asked_for < LOOP)
        {
            touched.crash_loop = true;
        }
    }
}

impl Touched {
    fn new(service: &Service) -> Self {
        Self {
            service: service.clone(),
            ended: Vec::new(),
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

    fn used(&mut self, memory: Memory) {
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

    fn story(&self, tree: &Tree, now: WallTime) -> ServiceStory {
        let stopped = self.unexpected == 0 && tree.stopped_for_good(&self.service.name);
        let listeners: Vec<ListenerStory> = self
            .listeners
            .iter()
            .map(|((_, address), listening)| ListenerStory {
                address: address.clone(),
                downs: listening.downs,
                down_ms: listening.down_ms
                    + listening.since.map_or(0.0, |since| between(since, now)),
                state: match listening.since {
                    None => ListenerState::Back,
                    Some(_) if stopped => ListenerState::Stopped,
                    Some(_) if self.moved => ListenerState::Moved,
                    Some(_) => ListenerState::NotBack,
                },
            })
            .collect();
        // Those that serve now are the successors, whoever else the service has.
        let mut new: Vec<Pid> = self
            .listeners
            .values()
            .filter_map(|listening| listening.by.filter(|_| listening.since.is_none()))
            .collect();
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            new = self.new.iter().copied().collect();
        }
        ServiceStory {
            service: self.service.clone(),
            ended: self.ended.clone(),
            asked_for: self.asked_for,
            unexpected: self.unexpected,
            new,
            listeners,
            crash_loop: self.crash_loop,
            memory: self.memory,
        }
    }
}

fn key_of(service: &Service) -> ServiceKey {
    (Arc::clone(&service.name), service.manager)
}

fn between(from: WallTime, to: WallTime) -> f64 {
    let ns = u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0);
    millis(std::time::Duration::from_nanos(ns))
}

#[cfg(test)]
mod tests;
