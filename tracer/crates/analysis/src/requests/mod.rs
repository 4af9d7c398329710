//! Failed requests: one finding per request of a client that failed, with everything that told of
//! it, its upstream and the death behind it.
//!
//! This file takes in what witnesses tell; `pair` says which exchange and log lines are of one
//! request, `waiting` holds them until they are together, `upstream` finds the upstream and what went wrong, `tell` finds the death behind it and writes the finding,
//! `counted` takes in storms, `losses` counts.
//!
//! 1. An inbound exchange is a request that failed: each gives exactly one finding, at once, or,
//!    when a followed log may still tell of it, within 100 ms. Lines and the proxy's own
//!    (outbound) exchanges only add to it.
//! 2. The proxy is the service that listens at the exchange's local address, else that of its
//!    actor. The actor is believed only when it belongs to that service.
//! 3. A log line without an exchange is not told when the proxy's witnesses would have seen the
//!    request fail: it was tried again with success. It is told, after a second in which further
//!    attempts may follow, when it can't have an exchange: HTTP/2 and HTTP/3, an answer that broke
//!    off after its header, a final status of 500 or more, a proxy (or TLS listener: a port that
//!    ends in 443) that no witness follows.
//! 4. What waits is decided before a listener is told to be back, so that an incident has its
//!    requests when it closes.
//! 5. `because` is the incident that explains the instant of failure, not that of the answer: the
//!    dead process that held the cut connection, a death in the upstream's service while it worked
//!    on the request, or the absence of the upstream's listener. An answer of the application, a
//!    timeout and a client that went away have none; the proxy's own death explains what it left
//!    unanswered.
//!
//! With `--http all` a request that a proxy handed to a server of the same machine is one request
//! for each of them. Every table is bounded; what a full one gives up is detail, never a request.

mod counted;
pub(super) mod losses;
mod pair;
mod shelf;
mod tell;
#[cfg(test)]
mod tests;
mod upstream;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use tracer_model::{
    Actor, ConnectFailed, Endpoint, Finding, HttpCounted, HttpEnd, HttpExchange, LogEntry, NetNs,
    Phase, ProcessKey, Service, Side, Timestamp, What, Witnesses,
};
use tracer_proxylog::{Fact, Profile, profile_of};

use super::world::{World, key_of, same};
use super::{Analysis, Options};
use counted::Counts;
use losses::Ranking;
use pair::{Attempts, Inbound, Proxy, Worth};
use tell::case_of;
use upstream::Clues;
use waiting::{Lines, Waiting};

/// Processes of proxies whose witnesses are known; those that are dead go first.
const MAX_WITNESSED: usize = 4096;
/// Processes whose logs are read, of which is remembered what was found out about them.
const MAX_LOGGING: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Requests {
    witnesses: BTreeMap<ProcessKey, Witnesses>,
    /// Whose log lines were read since the world changed.
    logging: BTreeMap<ProcessKey, Logging>,
    waiting: Waiting,
    clues: Clues,
    counts: Counts,
    ranking: Ranking,
}

impl Requests {
    pub(super) fn due(&self) -> Option<Timestamp> {
        [self.waiting.due(), self.counts.due()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn ranking(&self) -> Vec<tracer_model::ServiceLoss> {
        self.ranking.most()
    }
}

/// What is known of the process that a log line is of.
#[derive(Clone)]
struct Logging {
    proxy: Arc<Proxy>,
    /// See [`Analysis::is_covered`].
    covered: bool,
}

/// Which witnesses follow the processes of a service.
#[derive(Clone, Copy, Default)]
struct Coverage {
    http: bool,
    tls: bool,
    log: bool,
    /// What is known of the proxy whose log that is.
    profile: Option<&'static Profile>,
}

impl Coverage {
    /// Whether the log has no line about a request that the application answered.
    fn is_silent_about_answers(&self) -> bool {
        self.profile
            .is_some_and(|profile| !profile.says(Fact::Answered))
    }
}

impl Analysis {
    /// Forgets what was found out about proxies when `what` may change it. What a storm of failed
    /// requests consists of does not.
    pub(super) fn before(&mut self, what: &What) {
        if !matches!(
            what,
            What::Http(_)
                | What::HttpCounted(_)
                | What::ProxyLog(_)
                | What::ConnectFailed(_)
                | What::ConnectionCut { .. }
                | What::Tick
        ) {
            self.requests.logging.clear();
        }
    }

    pub(super) fn witnessed(&mut self, witnesses: Witnesses) {
        let known = &mut self.requests.witnesses;
        if known.len() >= MAX_WITNESSED {
            let world = &self.world;
            let lives = |key: ProcessKey| {
                let process = world.processes.get(key);
                process.is_some_and(|process| process.dead.is_none())
            };
            known.retain(|key, _| lives(*key));
        }
        if known.len() < MAX_WITNESSED {
            known.insert(witnesses.proxy, witnesses);
        }
    }

    /// A failed connect is a clue to the upstream of the requests that fail because of it.
    pub(super) fn note_connect(&mut self, failed: &ConnectFailed, at: Timestamp) {
        let owner = self.world.processes.find(failed.owner.key);
        let service = owner.map(|owner| &owner.attribution.service);
        let mut actor = failed.owner;
        actor.key = owner.map_or(actor.key, |owner| owner.task.key);
        let netns = self.known(failed.netns);
        self.requests
            .clues
            .tried(&actor, service, netns, &failed.remote, failed.error, at);
    }

    /// A cut connection may be one that a proxy waited on.
    pub(super) fn note_cut(
        &mut self,
        owner: &Actor,
        local: &Endpoint,
        remote: &Endpoint,
        at: Timestamp,
    ) {
        self.requests.clues.cut(owner.key, local, remote, at);
    }

    pub(super) fn http(
        &mut self,
        exchange: &HttpExchange,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if !self.armed {
            return;
        }
        if exchange.side == Side::Outbound {
            let actor = self.world.processes.find(exchange.actor.key);
            let proxy = actor
                .filter(|actor| actor.attribution.role.is_some())
                .map(|actor| key_of(&actor.attribution.service));
            self.requests.clues.outbound(exchange.clone(), proxy, at);
            return;
        }
        let netns = self.known(exchange.netns);
        let Some(mut inbound) = inbound(&self.world, &self.options, exchange, netns, at) else {
            return;
        };
        let coverage = self.coverage(&inbound.proxy);
        inbound.log = coverage.profile;
        let lines = if !coverage.log {
            Lines::WereRead
        } else if exchange.end == HttpEnd::Died {
            // Nobody is left to write any.
            Lines::WereRead
        } else if coverage.is_silent_about_answers()
            && self.requests.clues.was_answered(&case_of(&inbound))
        {
            Lines::None
        } else {
            Lines::MayFollow
        };
        let mut decided = Vec::new();
        self.requests
            .waiting
            .exchange(inbound, lines, self.now, &mut decided);
        self.tell(decided, findings);
    }

    pub(super) fn proxy_log(
        &mut self,
        entry: &Arc<LogEntry>,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if !self.armed {
            return;
        }
        let Logging { proxy, covered } = self.logging(entry.proxy);
        let worth = if entry.http1 == Some(false) || !covered {
            Worth::All
        } else if entry.phase == Phase::Answering
            || entry.status.is_some_and(|status| status >= 500)
        {
            Worth::Proof
        } else {
            Worth::Nothing
        };
        let marker = &self.requests.waiting.marker;
        let ended = self.world.ended(entry, at);
        let at = ended.unwrap_or(at);
        let mut line = Attempts::new(marker, proxy, at, Arc::clone(entry), worth);
        line.timed = ended.is_some();
        let mut decided = Vec::new();
        self.requests.waiting.line(line, self.now, &mut decided);
        self.tell(decided, findings);
    }

    pub(super) fn http_counted(
        &mut self,
        counted: &HttpCounted,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if !self.armed || counted.count == 0 {
            return;
        }
        let netns = self.known(counted.netns);
        let proxy = self
            .world
            .listeners
            .answering(netns, &counted.local)
            .map_or_else(unknown, |(_, listening)| {
                self.world.listener_service(listening).clone()
            });
        let status = (counted.status != 0).then_some(counted.status);
        let now = self.now;
        if let Some(sum) = self
            .requests
            .counts
            .add(proxy, netns, status, counted.count, at, now)
        {
            self.tell_counted(&sum, findings);
        }
    }

    /// Tells what need not wait any longer.
    pub(super) fn advance_requests(&mut self, findings: &mut Vec<Finding>) {
        let mut decided = Vec::new();
        self.requests.waiting.advance(self.now, &mut decided);
        self.tell(decided, findings);
        for sum in self.requests.counts.flush(Some(self.now)) {
            self.tell_counted(&sum, findings);
        }
    }

    /// Tells what waits, as far as it is sure to have failed; `last`: nothing more will come.
    pub(super) fn flush_requests(&mut self, last: bool, findings: &mut Vec<Finding>) {
        let mut decided = Vec::new();
        self.requests.waiting.flush(self.now, last, &mut decided);
        self.tell(decided, findings);
        for sum in self.requests.counts.flush(None) {
            self.tell_counted(&sum, findings);
        }
    }

    /// Whose log it is that a process writes.
    fn logging(&mut self, process: ProcessKey) -> Logging {
        if let Some(known) = self.requests.logging.get(&process) {
            return known.clone();
        }
        let service = match self.world.processes.find(process) {
            Some(process) => process.attribution.service.clone(),
            None => match self.world.only_proxy() {
                Some(only) => only.clone(),
                None => unknown(),
            },
        };
        let logging = Logging {
            covered: self.is_covered(&service, process),
            proxy: Arc::new(Proxy {
                key: key_of(&service),
                service,
            }),
        };
        let known = &mut self.requests.logging;
        if known.len() >= MAX_LOGGING {
            known.clear();
        }
        known.insert(process, logging.clone());
        logging
    }

    fn coverage(&self, service: &Service) -> Coverage {
        let mut coverage = Coverage::default();
        for (key, witnesses) in &self.requests.witnesses {
            let Some(process) = self.world.processes.get(*key) else {
                continue;
            };
            if process.dead.is_some() || !same(&process.attribution.service, service) {
                continue;
            }
            coverage.http |= witnesses.http;
            coverage.tls |= witnesses.tls;
            if witnesses.log {
                let role = process.attribution.role;
                coverage.log = true;
                coverage.profile = coverage.profile.or_else(|| profile_of(role?));
            }
        }
        coverage
    }

    /// Whether an HTTP/1 request at the proxy can't fail without its witnesses telling.
    fn is_covered(&self, proxy: &Service, process: ProcessKey) -> bool {
        let coverage = self.coverage(proxy);
        let ports = self.world.ports_around(process);
        let (tls, plain): (Vec<u16>, Vec<u16>) =
            ports.into_iter().partition(|port| port % 1000 == 443);
        (coverage.http && (coverage.tls || tls.is_empty())) || (coverage.tls && plain.is_empty())
    }

    /// A network namespace; the tracer's own where it is not known.
    fn known(&self, netns: NetNs) -> NetNs {
        match netns {
            0 => self.options.own_netns,
            known => known,
        }
    }
}

/// An inbound exchange with its proxy; None: it is the tracer's own.
fn inbound(
    world: &World,
    options: &Options,
    exchange: &HttpExchange,
    netns: NetNs,
    at: Timestamp,
) -> Option<Inbound> {
    let actor = world.processes.find(exchange.actor.key);
    let listening = exchange
        .local
        .as_ref()
        .and_then(|local| world.listeners.answering(netns, local));
    let listens = listening.map(|(_, listening)| listening);
    let own = |key: ProcessKey| options.own_pid != 0 && key.pid == options.own_pid;
    if listens.map_or_else(
        || own(exchange.actor.key),
        |listening| listening.owner.is_some_and(own),
    ) {
        return None;
    }
    let proxy = match (listens, actor) {
        (Some(listening), _) => world.listener_service(listening).clone(),
        (None, Some(actor)) => actor.attribution.service.clone(),
        (None, None) => unknown(),
    };
    let worker = actor.filter(|actor| same(&actor.attribution.service, &proxy));
    Some(Inbound::new(
        proxy.clone(),
        key_of(&proxy),
        netns,
        worker.map(|worker| Actor {
            key: worker.task.key,
            ..exchange.actor
        }),
        worker.map_or([0; 2], |worker| [worker.task.key.pid, worker.task.ns_pid]),
        at,
        exchange.clone(),
    ))
}

/// The service of a proxy that nothing is known of.
fn unknown() -> Service {
    Service {
        name: "unknown".into(),
        manager: tracer_model::Manager::Process,
        evidence: "nothing is known to listen there".into(),
    }
}
