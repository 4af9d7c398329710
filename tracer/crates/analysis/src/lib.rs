//! Observations in, findings out. Pure: no I/O, no clock; time comes from observations. The same
//! observations give the same findings, so a replay equals what was seen live.
//!
//! This file only routes: the world is kept in `world`, each kind of conclusion is drawn in a file
//! of its own.

mod advice;
pub mod attribution;
pub mod candidate;
mod connects;
mod cuts;
mod death;
mod earliest;
mod history;
mod incident;
pub mod managers;
mod requests;
pub mod rules;
pub mod verdict;
pub mod world;

use std::collections::BTreeMap;

pub use world::World;

use tracer_model::{
    Body, Cause, End, Finding, Listener, ListenerChange, LostEvents, Manager, Mark, NetNs,
    Observation, Pid, ProcessKey, Ring, SCHEMA_VERSION, Start, Timestamp, What,
};

use connects::Connects;
use cuts::Cuts;
use death::{OomMarks, Repeated};
use incident::Incidents;
use requests::Requests;
use rules::Rules;
use world::{Change, key_of};

/// What to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Report every exit and every failed connect.
    pub all: bool,
    /// The tracer's own network namespace, which findings leave out.
    pub own_netns: NetNs,
    /// The tracer itself, whose exits and connects are not news.
    pub own_pid: Pid,
}

/// Turns observations into findings.
pub struct Analysis {
    options: Options,
    world: World,
    armed: bool,
    started: Timestamp,
    now: Timestamp,
    lost_since: BTreeMap<Ring, Timestamp>,
    marks: OomMarks,
    /// The summaries of deaths.
    summaries: Repeated,
    connects: Connects,
    cuts: Cuts,
    incidents: Incidents,
    requests: Requests,
    totals: End,
}

impl Analysis {
    /// Nothing is known yet.
    pub fn new(rules: Rules, options: Options) -> Self {
        Self {
            options,
            world: World::new(rules),
            armed: false,
            started: Timestamp::default(),
            now: Timestamp::default(),
            lost_since: BTreeMap::new(),
            marks: OomMarks::default(),
            summaries: Repeated::default(),
            connects: Connects::default(),
            cuts: Cuts::default(),
            incidents: Incidents::default(),
            requests: Requests::default(),
            totals: End::default(),
        }
    }

    /// What is known of the machine.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// When a [`What::Tick`] is wanted at the latest; None while nothing waits for time to pass.
    pub fn due(&self) -> Option<Timestamp> {
        [
            self.connects.due(),
            self.cuts.due(),
            self.incidents.due(),
            self.requests.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Takes one observation in; conclusions are appended to `findings`.
    pub fn observe(&mut self, observation: &Observation, findings: &mut Vec<Finding>) {
        let at = observation.at;
        self.now = self.now.max(at);
        self.advance(findings);
        self.before(&observation.what);
        match &observation.what {
            What::Session(session) => {
                self.world.set_clock(session.clock);
                self.world.session = (**session).clone();
            }
            What::Clock(clock) => self.world.set_clock(*clock),
            What::Process(facts) => {
                self.world.learn(facts);
                self.came(facts.task.key, findings);
            }
            What::Forked { child, parent } => self.world.forked(*child, *parent),
            What::Executed { task, args } => {
                self.world.executed(*task, args);
                self.came(task.key, findings);
            }
            What::Exited(exit) => self.exited(exit, at, findings),
            What::Vanished(key) => self.vanished(*key, at, findings),
            What::OomMarked(mark) => self.oom_marked(mark, at, findings),
            What::OomReported(report) => self.marks.reported(report, at),
            What::ListenerUp(listener) => self.listener_up(listener, at, findings),
            What::ListenerDown {
                socket,
                netns,
                address,
                ..
            } => {
                let place = (*netns, address.clone());
                if let Some(change) = self.world.listeners.down(*socket, &place, at) {
                    self.listener_changed(change, at, findings);
                }
            }
            What::ListenersScanned {
                netns,
                unix,
                listeners,
            } => {
                for change in self.world.listeners.vanished(*netns, *unix, listeners, at) {
                    self.listener_changed(change, at, findings);
                }
                for listener in listeners {
                    self.listener_up(listener, at, findings);
                }
            }
            What::ConnectFailed(failed) => {
                self.note_connect(failed, at);
                self.connect_failed(failed, at, findings);
            }
            What::ConnectionCut {
                owner,
                netns,
                local,
                remote,
            } => {
                self.note_cut(owner, local, remote, at);
                self.connection_cut(owner, *netns, local, remote);
            }
            What::Cgroup {
                id,
                path,
                memory_limit_bytes,
            } => self.world.cgroups.insert(*id, path, *memory_limit_bytes),
            What::Container(facts) => self.world.container(facts),
            What::Lost { ring, count } => {
                let since = self.lost_since.insert(*ring, at).unwrap_or(self.started);
                self.totals.lost = self.totals.lost.saturating_add(*count);
                let since = self.world.wall(since);
                self.report(
                    at,
                    Body::Lost(LostEvents {
                        ring: *ring,
                        count: *count,
                        since,
                    }),
                    findings,
                );
            }
            What::Http(exchange) => self.http(exchange, at, findings),
            What::HttpCounted(counted) => self.http_counted(counted, at, findings),
            What::ProxyLog(entry) => self.proxy_log(entry, at, findings),
            What::LogLinesUnread(count) => {
                let unread = &mut self.totals.log_lines_unread;
                *unread = unread.saturating_add(*count);
            }
            What::Witnesses(witnesses) => self.witnessed(*witnesses),
            What::Hook(hook) => self.world.hook(hook),
            What::Mark(label) => {
                let label = label.to_string();
                self.report(at, Body::Mark(Mark { label }), findings);
            }
            What::Armed => self.arm(at, findings),
            What::Tick => {}
            What::End => self.end(findings),
        }
    }

    fn arm(&mut self, at: Timestamp, findings: &mut Vec<Finding>) {
        if std::mem::replace(&mut self.armed, true) {
            return;
        }
        self.started = at;
        let session = &self.world.session;
        let body = Body::Start(Start {
            version: session.tracer_version.to_string(),
            kernel: session.kernel.to_string(),
            host: session.host.to_string(),
            hooks: session.hooks.clone(),
            services: self
                .world
                .services(self.options.own_pid)
                .into_iter()
                .map(Into::into)
                .collect(),
            blind: session.blind.clone(),
        });
        self.report(at, body, findings);
    }

    fn end(&mut self, findings: &mut Vec<Finding>) {
        let now = self.now;
        for body in self.connects.flush(None) {
            self.report(now, body, findings);
        }
        self.flush_cuts(None, findings);
        self.flush_requests(true, findings);
        for body in self.incidents.at_end(&self.world) {
            self.report(now, body, findings);
        }
        let elapsed = if self.armed {
            now.since(self.started)
        } else {
            std::time::Duration::ZERO
        };
        self.totals.duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.totals.incidents = self.incidents.total();
        self.totals.incidents_open = self.incidents.open_count();
        self.totals.losses = self.requests.ranking();
        let body = Body::End(self.totals.clone());
        self.report(now, body, findings);
    }

    /// Does what was waiting for time to pass.
    fn advance(&mut self, findings: &mut Vec<Finding>) {
        let now = self.now;
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        for body in self.connects.flush(Some(now)) {
            self.report(now, body, findings);
        }
        self.flush_cuts(Some(now), findings);
        self.advance_requests(findings);
        if self.incidents.due().is_some_and(|due| due <= now) {
            // What an incident cost is told before it is closed.
            self.flush_requests(false, findings);
        }
        for body in self.incidents.advance(now, &self.world) {
            self.report(now, body, findings);
        }
    }

    fn report(&self, at: Timestamp, body: Body, findings: &mut Vec<Finding>) {
        if self.armed {
            findings.push(Finding {
                v: SCHEMA_VERSION,
                at: self.world.wall(at),
                body,
            });
        }
    }

    /// A process got its program or its facts: it may be what an incident waits for.
    fn came(&mut self, key: ProcessKey, findings: &mut Vec<Finding>) {
        let Some(process) = self.world.processes.get(key) else {
            return;
        };
        let service = &process.attribution.service;
        if process.dead.is_some()
            || !self.incidents.awaits_process(&key_of(service))
            || !self.world.is_main(process)
        {
            return;
        }
        let service = key_of(service);
        let now = self.now;
        for body in self.incidents.process_up(&service, now, &self.world) {
            self.report(now, body, findings);
        }
    }

    fn listener_up(&mut self, listener: &Listener, at: Timestamp, findings: &mut Vec<Finding>) {
        if let Some(change) = self.world.listener_up(listener, at) {
            self.listener_changed(change, at, findings);
        }
    }

    fn listener_changed(&mut self, change: Change, at: Timestamp, findings: &mut Vec<Finding>) {
        if let Change::Down(place) = &change {
            self.world.listener_lost(place);
        }
        if !self.armed {
            return;
        }
        let (Change::Up(place, _) | Change::Down(place)) = &change;
        let Some(listening) = self.world.listeners.get(place) else {
            return;
        };
        let service = self.world.listener_service(listening).clone();
        let owner = listening
            .owner
            .and_then(|key| self.world.processes.get(key));
        let mut finding = ListenerChange {
            service: service.clone(),
            address: place.1.clone(),
            netns: (place.0 != 0 && place.0 != self.options.own_netns).then_some(place.0),
            process: None,
            down_ms: None,
            incident: None,
        };
        match change {
            Change::Up(place, down) => {
                finding.process = owner.map(|owner| tracer_model::Party {
                    pid: owner.task.key.pid,
                    comm: owner.task.comm.to_text(),
                    service: None,
                });
                finding.down_ms = down.map(|down| tracer_model::quantity::millis(at.since(down)));
                // What failed before it was back is told before it.
                for body in self.connects.flush(None) {
                    self.report(at, body, findings);
                }
                if down.is_some() {
                    self.flush_requests(false, findings);
                }
                let (incident, closed) = self.incidents.listener_up(&place, down, at, &self.world);
                finding.incident = incident;
                self.report(at, Body::ListenerUp(finding), findings);
                for body in closed {
                    self.report(at, body, findings);
                }
            }
            Change::Down(place) => {
                let death = owner.and_then(|owner| {
                    let end = owner.dead.as_ref()?;
                    Some((owner.task.key, end))
                });
                let worthy = service.manager != Manager::Process
                    || death.is_some_and(|(_, end)| end.cause != Cause::Clean);
                let (incident, bodies) =
                    self.incidents
                        .listener_down(&service, place, at, death, worthy, &self.world);
                finding.incident = incident;
                // What was cut before the listener went is told before it.
                self.flush_cuts(None, findings);
                self.report(at, Body::ListenerDown(finding), findings);
                for body in bodies {
                    self.report(at, body, findings);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
