//! Failed requests: one finding per request of a client that failed, with everything that told of
//! it, its upstream and the death behind it.
//!
//! This file takes in what witnesses tell and writes the findings; `pair` joins exchanges and log
//! lines, `upstream` finds the upstream and what went wrong, `counted` takes in storms, `losses`
//! counts.
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
#[cfg(test)]
mod tests;
mod upstream;

use std::collections::BTreeMap;

use super::history::{Explained, History};
use super::world::{Place, World, key_of, same};
use super::{Analysis, Options};
use crate::model::quantity::millis;
use crate::model::{
    Actor, Body, ConnectFailed, Endpoint, FailedRequest, Failure, Finding, HttpCounted, HttpEnd,
    HttpExchange, LogEntry, LostRequest, NetNs, Phase, ProcessKey, ProxyKind, Request, Service,
    Side, Timestamp, Upstream, Witness, Witnesses,
};
use counted::Counts;
use losses::Ranking;
use pair::{Attempts, Decided, Inbound, Waiting};
use upstream::{Case, Clue, Clues};

/// Processes of proxies whose witnesses are known; those that are dead go first.
const MAX_WITNESSED: usize = 4096;

/// See the module.
#[derive(Default)]
pub(super) struct Requests {
    witnesses: BTreeMap<ProcessKey, Witnesses>,
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

    pub(super) fn ranking(&self) -> Vec<crate::model::ServiceLoss> {
        self.ranking.most()
    }
}

/// Which witnesses follow the processes of a service.
#[derive(Clone, Copy, Default)]
struct Coverage {
    http: bool,
    tls: bool,
    /// A log of that format.
    log: Option<ProxyKind>,
}

impl Analysis {
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
        let service = owner.map(|owner| key_of(&owner.attribution.service));
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
        let Some(inbound) = inbound(&self.world, &self.options, exchange, netns, at) else {
            return;
        };
        let hold = match self.coverage(&inbound.proxy).log {
            None => false,
            // They write nothing about what an upstream answered.
            Some(ProxyKind::Nginx | ProxyKind::Apache) => {
                !self.requests.clues.was_answered(&case_of(&inbound))
            }
            Some(_) => true,
        };
        let mut decided = Vec::new();
        self.requests
            .waiting
            .exchange(inbound, hold, self.now, &mut decided);
        self.tell(decided, findings);
    }

    pub(super) fn proxy_log(
        &mut self,
        entry: &LogEntry,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if !self.armed {
            return;
        }
        let proxy = match self.world.processes.find(entry.proxy) {
            Some(process) => process.attribution.service.clone(),
            None => match self.world.only_proxy() {
                Some(only) => only.clone(),
                None => unknown(),
            },
        };
        let is_proof = entry.phase == Phase::Answering
            || entry.http1 == Some(false)
            || entry.status.is_some_and(|status| status >= 500)
            || !self.is_covered(&proxy);
        let key = key_of(&proxy);
        let line = Attempts::new(proxy, key, at, entry.clone(), is_proof);
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
                self.world.listener_service(listening)
            });
        let status = (counted.status != 0).then_some(counted.status);
        let now = self.now;
        if let Some(sum) = self
            .requests
            .counts
            .add(proxy, netns, status, counted.count, at, now)
        {
            self.tell_counted(sum, findings);
        }
    }

    /// Tells what need not wait any longer.
    pub(super) fn advance_requests(&mut self, findings: &mut Vec<Finding>) {
        let mut decided = Vec::new();
        self.requests.waiting.advance(self.now, &mut decided);
        self.tell(decided, findings);
        for sum in self.requests.counts.flush(Some(self.now)) {
            self.tell_counted(sum, findings);
        }
    }

    /// Tells what waits, as far as it is sure to have failed; `last`: nothing more will come.
    pub(super) fn flush_requests(&mut self, last: bool, findings: &mut Vec<Finding>) {
        let mut decided = Vec::new();
        self.requests.waiting.flush(self.now, last, &mut decided);
        self.tell(decided, findings);
        for sum in self.requests.counts.flush(None) {
            self.tell_counted(sum, findings);
        }
    }

    fn tell(&mut self, decided: Vec<Decided>, findings: &mut Vec<Finding>) {
        for one in decided {
            match one {
                Decided::Seen(inbound) => self.tell_seen(&inbound, findings),
                Decided::Logged(attempts) => self.tell_logged(&attempts, findings),
            }
        }
    }

    fn tell_seen(&mut self, inbound: &Inbound, findings: &mut Vec<Finding>) {
        let case = case_of(inbound);
        let (clue, cause) = self.judge(&case);
        let exchange = &inbound.exchange;
        let log = inbound.attempts.as_ref();
        let request = exchange
            .request
            .as_ref()
            .or_else(|| log?.tell(|entry| entry.request.as_ref()));
        let client = match &exchange.remote {
            Some(Endpoint::Tcp(address)) => Some(address.ip()),
            _ => log.and_then(|log| log.tell(|entry| entry.client)),
        };
        let mut evidence = vec![exchange.witness];
        evidence.extend(clue.witness);
        evidence.extend(log.map(|_| Witness::Log));
        let mut finding = self.finding(&case, &clue, cause.as_ref(), &inbound.proxy, evidence);
        describe(&mut finding, request);
        finding.client = client.map(|ip| ip.to_canonical().to_string());
        finding.status = case.status;
        finding.latency_ms = Some(millis(inbound.at.since(exchange.began)));
        self.tell_request(finding, &case, cause, &inbound.proxy, findings);
    }

    fn tell_logged(&mut self, attempts: &Attempts, findings: &mut Vec<Finding>) {
        let (entry, at) = (attempts.decisive(), attempts.at());
        let status = entry
            .status
            .filter(|_| attempts.last().phase != Phase::Answering);
        if status.is_some() && self.requests.counts.knows(&attempts.key, status, self.now) {
            return;
        }
        let process = self.world.processes.find(entry.proxy);
        let netns = self.known(process.map_or(0, |process| process.facts.netns));
        let worker = entry
            .pid
            .and_then(|pid| self.world.processes.by_pid(pid))
            .filter(|process| same(&process.attribution.service, &attempts.proxy))
            .map(|process| Actor {
                key: process.task.key,
                tid: entry.tid.unwrap_or(process.task.key.pid),
                ..Actor::default()
            });
        let elapsed = attempts.tell(|entry| entry.elapsed);
        let request = attempts.tell(|entry| entry.request.as_ref());
        let case = Case {
            proxy: &attempts.key,
            netns,
            worker,
            request,
            began: elapsed.map(|elapsed| upstream::before(at, elapsed)),
            at,
            end: None,
            status,
            connected: None,
            logged: Some((entry.upstream.as_ref(), attempts.failure())),
        };
        let (clue, cause) = self.judge(&case);
        let mut evidence = vec![Witness::Log];
        evidence.extend(clue.witness);
        let mut finding = self.finding(&case, &clue, cause.as_ref(), &attempts.proxy, evidence);
        describe(&mut finding, request);
        finding.client = attempts
            .tell(|entry| entry.client)
            .map(|ip| ip.to_canonical().to_string());
        finding.status = status;
        finding.latency_ms = elapsed.map(millis);
        self.tell_request(finding, &case, cause, &attempts.proxy, findings);
    }

    fn judge(&mut self, case: &Case<'_>) -> (Clue, Option<Explained>) {
        let (world, history) = (&self.world, self.incidents.history());
        let is_down = |to: &Endpoint, from, at| absence(world, history, case.netns, to, from, at);
        let clue = self.requests.clues.judge(case, &|to, from, at| {
            is_down(to, from, at).is_some()
                || world
                    .upstream(case.netns, to)
                    .is_some_and(|(_, one)| one.down.is_some_and(|down| down <= at))
        });
        let cause = cause(world, history, case, &clue);
        (clue, cause)
    }

    fn finding(
        &self,
        case: &Case<'_>,
        clue: &Clue,
        cause: Option<&Explained>,
        proxy: &Service,
        mut evidence: Vec<Witness>,
    ) -> FailedRequest {
        evidence.sort_unstable();
        evidence.dedup();
        let upstream = clue.upstream.as_ref().map(|(address, _)| Upstream {
            address: address.clone(),
            service: self.world.service_at(case.netns, address),
        });
        FailedRequest {
            proxy: proxy.clone(),
            client: None,
            forwarded_for: None,
            method: None,
            host: None,
            path: None,
            status: None,
            latency_ms: None,
            count: 1,
            upstream,
            confidence: clue.upstream.as_ref().map(|(_, confidence)| *confidence),
            failure: clue.failure,
            because: cause.map(|cause| cause.because.clone()),
            evidence,
        }
    }

    /// Counts and reports a finding.
    fn tell_request(
        &mut self,
        finding: FailedRequest,
        case: &Case<'_>,
        cause: Option<Explained>,
        proxy: &Service,
        findings: &mut Vec<Finding>,
    ) {
        let count = finding.count;
        self.totals.requests_failed = self.totals.requests_failed.saturating_add(count);
        let meant_for = finding
            .upstream
            .as_ref()
            .and_then(|upstream| self.world.upstream(case.netns, &upstream.address))
            .map_or_else(
                || proxy.clone(),
                |(_, listening)| self.world.listener_service(listening),
            );
        let explained = finding
            .because
            .as_ref()
            .is_some_and(|because| because.death.is_some());
        self.requests.ranking.add(&meant_for, count, explained);
        if let Some(cause) = cause {
            let lost = LostRequest {
                at: self.world.wall(case.at),
                client: finding.client.clone(),
                method: finding.method.clone(),
                path: finding.path.clone(),
                status: finding.status,
                failure: finding.failure,
            };
            self.incidents.requests_failed(&cause, lost, count);
        }
        self.report(case.at, Body::RequestFailed(Box::new(finding)), findings);
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
                let kind = process.attribution.role.unwrap_or(ProxyKind::Envoy);
                coverage.log = coverage.log.or(Some(kind));
            }
        }
        coverage
    }

    /// Whether an HTTP/1 request at the proxy can't fail without its witnesses telling.
    fn is_covered(&self, proxy: &Service) -> bool {
        let coverage = self.coverage(proxy);
        let ports = self.world.ports_of(proxy);
        let (tls, plain): (Vec<u16>, Vec<u16>) =
            ports.into_iter().partition(|port| port % 1000 == 443);
        (coverage.http || coverage.tls)
            && (coverage.http || plain.is_empty())
            && (coverage.tls || tls.is_empty())
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
        (Some(listening), _) => world.listener_service(listening),
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

fn case_of(inbound: &Inbound) -> Case<'_> {
    let exchange = &inbound.exchange;
    let log = inbound.attempts.as_ref();
    Case {
        proxy: &inbound.key,
        netns: inbound.netns,
        worker: inbound.worker,
        request: exchange
            .request
            .as_ref()
            .or_else(|| log?.tell(|entry| entry.request.as_ref())),
        began: Some(exchange.began),
        at: inbound.at,
        end: Some(exchange.end),
        status: match exchange.end {
            HttpEnd::Status(status) => Some(status),
            _ => None,
        },
        connected: exchange
            .connected
            .as_ref()
            .filter(|(at, _)| *at >= exchange.began)
            .map(|(_, to)| to),
        logged: log.map(|log| (log.decisive().upstream.as_ref(), log.failure())),
    }
}

fn describe(finding: &mut FailedRequest, request: Option<&Request>) {
    let Some(request) = request else {
        return;
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    finding.method = text(&request.method);
    finding.path = text(&request.target);
    finding.host = request.host.as_deref().and_then(text);
    finding.forwarded_for = request.forwarded_for.as_deref().and_then(text);
}

/// The incident that explains a failure.
fn cause(world: &World, history: &History, case: &Case<'_>, clue: &Clue) -> Option<Explained> {
    let (from, at) = (case.from(), clue.failed.unwrap_or(case.at));
    let upstream = clue.upstream.as_ref().map(|(address, _)| address);
    let absent = |from, at| absence(world, history, case.netns, upstream?, from, at);
    match clue.failure {
        Failure::Answered
        | Failure::Timeout
        | Failure::PermissionDenied
        | Failure::ProxyClosed
        | Failure::ClientGone
        | Failure::Unknown => None,
        Failure::ProxyDied => case
            .worker
            .and_then(|worker| history.death_of(worker.key, at))
            .or_else(|| history.death_in(case.proxy, from, at)),
        Failure::Cut | Failure::Reset => {
            let service = upstream
                .and_then(|address| world.upstream(case.netns, address))
                .map(|(_, listening)| key_of(&world.listener_service(listening)));
            clue.killed
                .and_then(|killed| history.death_of(killed, at))
                .or_else(|| history.death_in(service.as_ref()?, from, at))
                .or_else(|| absent(at, at))
        }
        // Nobody refuses a connection where somebody listens: it was refused before that.
        Failure::Refused | Failure::NoSocketFile => absent(clue.failed.unwrap_or(from), at),
        Failure::Unreachable | Failure::BacklogFull | Failure::NoLiveUpstreams => absent(at, at),
    }
}

/// Why nothing answered at an address at some instant of a span.
fn absence(
    world: &World,
    history: &History,
    netns: NetNs,
    address: &Endpoint,
    from: Timestamp,
    at: Timestamp,
) -> Option<Explained> {
    let serving = world.upstream(netns, address).map(|(place, _)| place);
    let others = address.candidates().into_iter().map(|other| (netns, other));
    serving
        .into_iter()
        .chain(others)
        .find_map(|place: Place| history.absence(&place, from, at))
}

/// The service of a proxy that nothing is known of.
fn unknown() -> Service {
    Service {
        name: "unknown".into(),
        manager: crate::model::Manager::Process,
        evidence: "nothing is known to listen there".into(),
    }
}
