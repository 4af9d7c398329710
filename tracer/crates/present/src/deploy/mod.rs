//! A deployment, watched: which services it affected, which deaths it asked for, and the verdict.
//!
//! Pure: it is handed what was observed and concluded, and which processes run; it reads nothing and
//! has no clock. `cli/deploy` runs the command and does the rest.

mod affected;
pub mod ci;
pub mod model;
mod reasons;
mod sentences;
mod text;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracer_analysis::world::ServiceView;
use tracer_model::{
    Body, Cause, Death, FailedRequest, Failure, Finding, Incident, IncidentState, Kind,
    ListenerChange, Manager, Observation, Pid, Service, Timestamp, WallTime,
};

pub use self::sentences::{Line, Tone};
pub use self::text::text;

use self::affected::{Affected, LOOP, Share, place};
use self::model::{CommandExit, Memory, RequestsFailed, Verdict};
use self::reasons::reasons;
use self::tree::{Asked, Tree};

/// How many services are followed: the first that are affected.
const MAX_SERVICES: usize = 256;
/// How many kinds of failed requests are distinguished.
const MAX_REQUESTS: usize = 64;

/// Name and manager.
type ServiceKey = (Arc<str>, Manager);

/// What failed requests have in common that are counted together.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RequestsKey {
    proxy: String,
    upstream: Option<String>,
    status: Option<u16>,
    failure: Failure,
    /// The incident and the cause of death that explain them: a deployment may stop a service, and the
    /// new release die a moment later.
    because: Option<(u64, Option<Cause>)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Deployment {
    command: String,
    tree: Tree,
    /// When the command started. What happened before was not its doing.
    began: Option<Timestamp>,
    exited: Option<(Timestamp, CommandExit)>,
    /// Who asked for the newest exit. If that was a death, its finding comes next.
    asked: Option<Asked>,
    affected: BTreeMap<ServiceKey, Affected>,
    left_out: BTreeSet<Arc<str>>,
    /// The processes that ran before the command.
    before: BTreeSet<Pid>,
    /// The services that ran before the command.
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
#[derive(Debug)]
struct FailedAlike {
    count: u64,
    /// What explains the first of them, in words.
    because: Option<String>,
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

    /// The command has exited.
    pub fn command_exited(&mut self, exit: CommandExit, at: Timestamp) {
        self.exited = Some((at, exit));
    }

    /// Whether that process is one of the command's.
    pub fn runs(&self, pid: Pid) -> bool {
        self.tree.has(pid)
    }

    /// Takes in an observation, before the findings that were concluded from it.
    pub fn observe(&mut self, observation: &Observation) {
        if self.began.is_some() {
            self.asked = self.tree.observe(observation);
        }
    }

    /// The processes that run. Those that run before the command starts are not new.
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
            if let Some(affected) = self.affected.get_mut(&key_of(&view.service)) {
                for pid in &view.pids {
                    if !self.before.contains(pid) {
                        affected.has_new(*pid);
                    }
                }
            }
        }
    }

    /// The command belongs to this service, as the tracer does.
    pub fn belongs_to(&mut self, service: &Service) {
        self.own = Some(key_of(service));
    }

    /// The processes of a view whose memory is of interest: new ones of an affected service.
    pub fn new_processes<'a>(&'a self, view: &'a ServiceView) -> impl Iterator<Item = Pid> + 'a {
        let affected = self.affected.get(&key_of(&view.service));
        view.pids
            .iter()
            .copied()
            .filter(move |pid| affected.is_some_and(|affected| affected.new.contains(pid)))
    }

    /// The most memory that a new process has had so far.
    pub fn memory(&mut self, service: &Service, memory: Memory) {
        if let Some(affected) = self.affected.get_mut(&key_of(service)) {
            affected.used(memory);
        }
    }

    /// Takes in a finding.
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
        let exited = self.exited.map_or(now, |(at, _)| at);
        let ms = |from: Timestamp, to: Timestamp| {
            u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
        };
        let services = self
            .affected
            .iter()
            .map(|((name, _), affected)| {
                affected.story(self.tree.stopped_for_good(name), self.last)
            })
            .collect();
        let mut verdict = Verdict {
            command: self.command.clone(),
            exited: self.exited.map(|(_, exit)| exit),
            ran_ms: ms(began, exited),
            watched_ms: ms(exited, now),
            failures: Vec::new(),
            services,
            services_left_out: self.left_out.len() as u64,
            requests: self.requests(),
            requests_failed: self.requests_failed,
            events_lost: self.events_lost,
        };
        verdict.failures = reasons(&verdict, fail_on, &self.seen);
        verdict
    }

    /// The failed requests by kind, most first.
    fn requests(&self) -> Vec<RequestsFailed> {
        let mut requests: Vec<RequestsFailed> = self
            .requests
            .iter()
            .map(|(key, alike)| RequestsFailed {
                proxy: key.proxy.clone(),
                upstream: key.upstream.clone(),
                status: key.status,
                failure: key.failure,
                count: alike.count,
                because: alike.because.clone(),
                cause: key.because.and_then(|(_, cause)| cause),
            })
            .collect();
        requests.sort_by_key(|failed| std::cmp::Reverse(failed.count));
        requests
    }

    fn count(&mut self, kind: Kind) {
        *self.seen.entry(kind).or_default() += 1;
    }

    /// Whether a service is only a program that comes and goes: without a manager, and not running
    /// before the command. It is not judged.
    fn is_transient(&self, service: &Service) -> bool {
        matches!(service.manager, Manager::Process | Manager::Script)
            && !self.known.contains(&key_of(service))
    }

    /// The service, which is affected from now on; None when there are too many.
    fn affect(&mut self, service: &Service) -> Option<&mut Affected> {
        let key = key_of(service);
        if self.affected.len() >= MAX_SERVICES && !self.affected.contains_key(&key) {
            if self.left_out.len() < MAX_SERVICES {
                self.left_out.insert(key.0);
            }
            return None;
        }
        let affected = self.affected.entry(key);
        Some(affected.or_insert_with(|| Affected::new(service)))
    }

    fn death(&mut self, at: WallTime, death: &Death) {
        let pid = death.process.pid;
        let asked = self.asked.take().filter(|asked| asked.pid == pid);
        let oom = matches!(
            death.cause,
            Cause::OomCgroup | Cause::OomGlobal | Cause::OomDaemon
        );
        // The command's exit code reports on its own processes.
        let own = asked.as_ref().is_some_and(|asked| asked.member)
            && self.own.as_ref() == Some(&key_of(&death.service));
        if (own || self.is_transient(&death.service)) && !oom {
            return;
        }
        let clean = death.cause == Cause::Clean;
        let asked_for = !oom
            && asked
                .as_ref()
                .is_some_and(|asked| asked.by_signal || (clean && asked.client));
        let share = Share {
            asked_for,
            ignored: asked.filter(|_| asked_for).and_then(|asked| asked.ignored),
            new: !self.before.contains(&pid),
        };
        if let Some(affected) = self.affect(&death.service) {
            affected.died(at, death, share);
        }
    }

    fn listener_down(&mut self, at: WallTime, change: &ListenerChange) {
        if self.is_transient(&change.service) {
            return;
        }
        if let Some(affected) = self.affect(&change.service) {
            affected.stopped_listening(at, place(change));
        }
    }

    fn listener_up(&mut self, at: WallTime, change: &ListenerChange) {
        let place = place(change);
        let by = change.process.as_ref().map(|process| process.pid);
        // Whoever listens there now, it is back for those who need it.
        let mut known = false;
        for affected in self.affected.values_mut() {
            known |= affected.is_served(at, &place, by, change.down_ms);
        }
        if let Some(affected) = self.affected.get_mut(&key_of(&change.service)) {
            if !known {
                affected.listens_elsewhere();
            }
            if let Some(pid) = by.filter(|pid| !self.before.contains(pid)) {
                affected.has_new(pid);
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
        let because = request.because.as_ref();
        let key = RequestsKey {
            proxy: request.proxy.name.to_string(),
            upstream,
            status: request.status,
            failure: request.failure,
            because: because.map(|it| (it.incident, it.cause)),
        };
        let full = self.requests.len() >= MAX_REQUESTS && !self.requests.contains_key(&key);
        let key = if full {
            RequestsKey {
                proxy: "others".to_owned(),
                upstream: None,
                status: None,
                failure: Failure::Unknown,
                because: None,
            }
        } else {
            key
        };
        let first = || FailedAlike {
            count: 0,
            because: because
                .filter(|_| !full)
                .map(|because| because.sentence.clone()),
        };
        let alike = self.requests.entry(key).or_insert_with(first);
        alike.count = alike.count.saturating_add(request.count);
    }

    fn incident(&mut self, incident: &Incident) {
        if incident.cause != Cause::Clean && incident.state == IncidentState::Open {
            self.count(Kind::Incident);
        }
        if incident.crash_loop
            && let Some(affected) = self.affected.get_mut(&key_of(&incident.service))
            // Several restarts that were asked for are no loop.
            && (affected.unexpected > 0 || affected.asked_for < LOOP)
        {
            affected.crash_loop = true;
        }
    }
}

fn key_of(service: &Service) -> ServiceKey {
    (Arc::clone(&service.name), service.manager)
}

#[cfg(test)]
mod tests;
