//! Observations in, findings out. Pure: no I/O, no clock; time comes from observations. The same
//! observations always give the same findings, so a replay equals the live output.
//!
//! This file only routes: `world` keeps what is known, and each kind of conclusion has a file of
//! its own.

mod advice;
pub mod attribution;
pub mod candidate;
mod connects;
mod context;
mod cuts;
mod death;
mod earliest;
mod history;
mod incident;
mod losses;
pub mod managers;
mod options;
mod outage;
mod requests;
pub mod rules;
pub mod verdict;
mod victims;
pub mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use tracer_model::quantity::millis;
use tracer_model::{
    Body, Cause, Exit, Finding, Listener, ListenerChange, LostEvents, Manager, Mark, Observation,
    Party, ProcessKey, Ring, SocketId, Start, Timestamp, What,
};

use connects::Connects;
use context::Context;
use cuts::Cuts;
use death::Deaths;
use requests::Requests;
use rules::Rules;
use world::{Change, Place, key_of};

pub use options::Options;
pub use world::World;

/// Turns observations into findings.
pub struct Analysis {
    context: Context,
    started: Timestamp,
    lost_since: BTreeMap<Ring, Timestamp>,
    deaths: Deaths,
    connects: Connects,
    cuts: Cuts,
    requests: Requests,
}

impl Analysis {
    /// Nothing is known yet.
    pub fn new(rules: Rules, options: Options) -> Self {
        Self {
            context: Context::new(rules, options),
            started: Timestamp::default(),
            lost_since: BTreeMap::new(),
            deaths: Deaths::default(),
            connects: Connects::default(),
            cuts: Cuts::default(),
            requests: Requests::default(),
        }
    }

    /// What is known of the machine.
    pub fn world(&self) -> &World {
        &self.context.world
    }

    /// When the next [`What::Tick`] is needed at the latest; None while nothing waits for time to
    /// pass.
    pub fn due(&self) -> Option<Timestamp> {
        [
            self.connects.due(),
            self.cuts.due(),
            self.context.incidents.due(),
            self.requests.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Accepts one observation, and appends the conclusions to `findings`.
    pub fn observe(&mut self, observation: &Observation, findings: &mut Vec<Finding>) {
        let at = observation.at;
        self.context.now = self.context.now.max(at);
        self.advance(findings);
        self.requests.invalidate(&observation.what);
        let context = &mut self.context;
        match &observation.what {
            What::Session(session) => {
                context.world.set_clock(session.clock);
                context.world.session = (**session).clone();
            }
            What::Clock(clock) => context.world.set_clock(*clock),
            What::Process(facts) => {
                context.world.learn(facts);
                self.came(facts.task.key, findings);
            }
            What::Forked { child, parent } => context.world.forked(*child, *parent),
            What::Executed { task, args } => {
                context.world.executed(*task, args);
                self.came(task.key, findings);
            }
            What::Exited(exit) => self.exited(exit, at, findings),
            What::Vanished(key) => self.vanished(*key, at, findings),
            What::OomVictim(victim) => self.deaths.oom_victim(context, victim, at, findings),
            What::OomReported(report) => self.deaths.oom_reported(report, at),
            What::ListenerUp(listener) => self.listeners_up([listener], at, findings),
            What::ListenerDown {
                socket,
                netns,
                address,
                ..
            } => self.listener_down(*socket, &(*netns, address.clone()), at, findings),
            What::ListenersScanned {
                netns,
                unix,
                listeners,
            } => {
                let listening = &mut context.world.listeners;
                let gone = listening.scanned(*netns, *unix, listeners, at);
                self.listeners_changed(gone, at, findings);
                self.listeners_up(listeners, at, findings);
            }
            What::ConnectFailed(failed) => {
                self.requests.note_connect(context, failed, at);
                self.connects.failed(context, failed, at, findings);
            }
            What::ConnectionCut {
                owner,
                netns,
                local,
                remote,
            } => {
                self.requests.note_cut(owner, local, remote, at);
                self.cuts.add(context, owner, *netns, local, remote);
            }
            What::Cgroup {
                id,
                path,
                memory_limit_bytes,
            } => context.world.cgroups.insert(*id, path, *memory_limit_bytes),
            What::Container(facts) => context.world.container(facts),
            What::Lost { ring, count } => self.lost(*ring, *count, at, findings),
            What::Http(exchange) => self.requests.http(context, exchange, at, findings),
            What::HttpCounted(counted) => {
                self.requests.http_counted(context, counted, at, findings);
            }
            What::ProxyLog(entry) => self.requests.proxy_log(context, entry, at, findings),
            What::LogLinesUnread(count) => context.log_lines_unread(*count),
            What::Witnesses(witnesses) => self.requests.witnesses(&context.world, *witnesses),
            What::Hook(hook) => context.world.hook(hook),
            What::Mark(label) => {
                let label = label.to_string();
                context.report(at, Body::Mark(Mark { label }), findings);
            }
            What::Armed => self.arm(at, findings),
            What::Tick => {}
            What::End => self.end(findings),
        }
    }

    fn arm(&mut self, at: Timestamp, findings: &mut Vec<Finding>) {
        if std::mem::replace(&mut self.context.armed, true) {
            return;
        }
        self.started = at;
        let world = &self.context.world;
        let session = &world.session;
        let services = world.services(self.context.options.own_pid);
        let body = Body::Start(Start {
            version: session.tracer_version.to_string(),
            kernel: session.kernel.to_string(),
            host: session.host.to_string(),
            hooks: session.hooks.clone(),
            services: services.into_iter().map(Into::into).collect(),
            blind: session.blind.clone(),
        });
        self.context.report(at, body, findings);
    }

    fn end(&mut self, findings: &mut Vec<Finding>) {
        let context = &mut self.context;
        let now = context.now;
        context.report_all(now, self.connects.flush(None), findings);
        self.cuts.flush(context, None, findings);
        self.requests.flush(context, true, findings);
        context.report_all(now, context.incidents.at_end(&context.world), findings);
        let elapsed = if context.armed {
            now.since(self.started)
        } else {
            Duration::ZERO
        };
        context.totals.duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        context.totals.incidents = context.incidents.total();
        context.totals.incidents_open = context.incidents.open_count();
        context.totals.losses = self.requests.ranking();
        let body = Body::End(context.totals.clone());
        context.report(now, body, findings);
    }

    /// Does everything that waited for this time.
    fn advance(&mut self, findings: &mut Vec<Finding>) {
        let now = self.context.now;
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let context = &mut self.context;
        context.report_all(now, self.connects.flush(Some(now)), findings);
        self.cuts.flush(context, Some(now), findings);
        self.requests.advance(context, findings);
        if context.incidents.due().is_some_and(|due| due <= now) {
            // Requests are reported before the incident that they belong to closes.
            self.requests.flush(context, false, findings);
        }
        let bodies = context.incidents.advance(now, &context.world);
        context.report_all(now, bodies, findings);
    }

    fn lost(&mut self, ring: Ring, count: u64, at: Timestamp, findings: &mut Vec<Finding>) {
        let since = self.lost_since.insert(ring, at).unwrap_or(self.started);
        let context = &mut self.context;
        context.totals.lost = context.totals.lost.saturating_add(count);
        let since = context.world.wall(since);
        let body = Body::Lost(LostEvents { ring, count, since });
        context.report(at, body, findings);
    }

    /// A process got its program or its facts: an incident may be waiting for it.
    fn came(&mut self, key: ProcessKey, findings: &mut Vec<Finding>) {
        let context = &mut self.context;
        let Some(process) = context.world.processes.get(key) else {
            return;
        };
        let service = &process.attribution.service;
        if process.dead.is_some()
            || !context.incidents.awaits_process(&key_of(service))
            || !context.world.is_main(process)
        {
            return;
        }
        let service = key_of(service);
        let now = context.now;
        let bodies = context.incidents.process_up(&service, now, &context.world);
        context.report_all(now, bodies, findings);
    }

    fn exited(&mut self, exit: &Exit, at: Timestamp, findings: &mut Vec<Finding>) {
        if self.deaths.exited(&mut self.context, exit, at, findings) {
            self.holder_exited(exit.task.key, at, findings);
        }
    }

    fn vanished(&mut self, key: ProcessKey, at: Timestamp, findings: &mut Vec<Finding>) {
        if self.deaths.vanished(&mut self.context, key, at, findings) {
            self.holder_exited(key, at, findings);
        }
    }

    /// A process exited: its unix sockets no longer listen, unless another process holds them.
    fn holder_exited(&mut self, key: ProcessKey, at: Timestamp, findings: &mut Vec<Finding>) {
        let gone = self.context.world.listeners.holder_exited(key, at);
        self.listeners_changed(gone, at, findings);
    }

    fn listeners_up<'a>(
        &mut self,
        listeners: impl IntoIterator<Item = &'a Listener>,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        for listener in listeners {
            let change = self.context.world.listener_up(listener, at);
            self.listeners_changed(change, at, findings);
        }
    }

    fn listener_down(
        &mut self,
        socket: SocketId,
        place: &Place,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let change = self.context.world.listeners.down(socket, place, at);
        self.listeners_changed(change, at, findings);
    }

    fn listeners_changed(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        for change in changes {
            match change {
                Change::Up(place, down) => self.service_up(&place, down, at, findings),
                Change::Down(place) => {
                    self.context.world.listener_lost(&place);
                    self.service_down(place, at, findings);
                }
            }
        }
    }

    /// Something listens at a place, where nothing did since `down`.
    fn service_up(
        &mut self,
        place: &Place,
        down: Option<Timestamp>,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let context = &mut self.context;
        let Some(mut finding) = listener_change(context, place) else {
            return;
        };
        let listening = context.world.listeners.get(place);
        let owner = listening
            .and_then(|listening| listening.owner)
            .and_then(|key| context.world.processes.get(key));
        finding.process = owner.map(|owner| Party {
            pid: owner.task.key.pid,
            comm: owner.task.comm.to_text(),
            service: None,
        });
        finding.down_ms = down.map(|down| millis(at.since(down)));
        // Connects and requests that failed during the outage are reported before its end.
        context.report_all(at, self.connects.flush(None), findings);
        if down.is_some() {
            self.requests.flush(context, false, findings);
        }
        let (incident, closed) = context
            .incidents
            .listener_up(place, down, at, &context.world);
        finding.incident = incident;
        context.report(at, Body::ListenerUp(finding), findings);
        context.report_all(at, closed, findings);
    }

    /// Nothing listens at a place any more.
    fn service_down(&mut self, place: Place, at: Timestamp, findings: &mut Vec<Finding>) {
        let context = &mut self.context;
        let Some(mut finding) = listener_change(context, &place) else {
            return;
        };
        let listening = context.world.listeners.get(&place);
        let death = listening
            .and_then(|listening| listening.owner)
            .and_then(|key| context.world.processes.get(key))
            .and_then(|owner| Some((owner.task.key, owner.dead.as_ref()?)));
        let opens = finding.service.manager != Manager::Process
            || death.is_some_and(|(_, end)| end.cause != Cause::Clean);
        let (incident, bodies) = context.incidents.listener_down(
            &finding.service,
            place,
            at,
            death,
            opens,
            &context.world,
        );
        finding.incident = incident;
        // Connections cut before the listener went are reported before it.
        self.cuts.flush(context, None, findings);
        context.report(at, Body::ListenerDown(finding), findings);
        context.report_all(at, bodies, findings);
    }
}

/// What a finding about a listener says whether it is up or down; None if none is to be reported.
fn listener_change(context: &Context, place: &Place) -> Option<ListenerChange> {
    if !context.armed {
        return None;
    }
    let listening = context.world.listeners.get(place)?;
    let (netns, address) = place;
    Some(ListenerChange {
        service: context.world.listener_service(listening).clone(),
        address: address.clone(),
        netns: (*netns != 0 && *netns != context.options.own_netns).then_some(*netns),
        process: None,
        down_ms: None,
        incident: None,
    })
}

#[cfg(test)]
mod tests;
