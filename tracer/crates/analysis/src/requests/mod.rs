//! Failed requests: one finding per client's request that failed, with its upstream, the death behind
//! it, and all witnesses as evidence.
//!
//! This file accepts what witnesses report. `pair` decides which exchange and log lines belong to one
//! request, `fingerprint` and `shelf` find them quickly, `waiting` holds them until they are
//! together. `coverage` knows which witnesses follow a proxy. `upstream` finds the upstream and the
//! failure of a `case`, `reason` the incident behind it, `report` makes the finding, and `counted`
//! sums up storms.
//!
//! 1. An inbound exchange is a request that failed: each gives exactly one finding, at once, or
//!    within 100 ms if a followed log may still have a line about it. Lines and the proxy's own
//!    (outbound) exchanges only add to it.
//! 2. The proxy is the service that listens at the exchange's local address, else that of its
//!    actor. The actor counts only if it belongs to that service.
//! 3. A log line without an exchange is not reported if the proxy's witnesses would have seen the
//!    request fail: a further attempt succeeded. It is reported, after a second in which further
//!    attempts may follow, if it can't have an exchange: HTTP/2 and HTTP/3, a truncated response, a
//!    final status of 500 or more, a proxy (or TLS listener: a port that ends in 443) that no
//!    witness follows.
//! 4. Waiting requests are decided before a `listener_up` is reported, so that an incident has its
//!    requests when it closes.
//! 5. `because` is the incident that explains the instant of the failure, not of the response: the
//!    dead process that held the cut connection, a death in the upstream's service while it worked
//!    on the request, or the absence of the upstream's listener. A status that the application
//!    returned, a timeout and a client that disconnected have none; the proxy's own death explains
//!    the requests that it left without a response.
//!
//! With `--http all`, a request that a proxy passed to a server on the same machine is one request
//! for each of them. Every table is bounded; a full one loses details, never a request.

mod case;
mod counted;
mod coverage;
mod fingerprint;
mod pair;
mod reason;
mod report;
mod shelf;
#[cfg(test)]
mod tests;
mod upstream;
mod waiting;

use std::sync::Arc;

use tracer_model::{
    Actor, ConnectFailed, Endpoint, Finding, HttpCounted, HttpEnd, HttpExchange, LogEntry, NetNs,
    Phase, ProcessKey, ServiceLoss, Side, Timestamp, What, Witnesses,
};

use super::context::Context;
use super::options::Options;
use super::world::{World, key_of, same};
use case::Case;
use counted::Counts;
use coverage::{Coverages, Log, unknown_proxy};
use pair::{Attempts, Inbound, Proof};
use report::Reports;
use waiting::{Decided, Lines, Waiting};

/// See the module.
#[derive(Default)]
pub(super) struct Requests {
    coverages: Coverages,
    waiting: Waiting,
    counts: Counts,
    reports: Reports,
}

impl Requests {
    pub(super) fn due(&self) -> Option<Timestamp> {
        [self.waiting.due(), self.counts.due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Services by failed requests, most first.
    pub(super) fn ranking(&self) -> Vec<ServiceLoss> {
        self.reports.ranking()
    }

    /// Empties caches that `what` may make stale.
    pub(super) fn invalidate(&mut self, what: &What) {
        self.coverages.invalidate(what);
    }

    /// Witnesses follow a proxy's process, or no longer do.
    pub(super) fn witnesses(&mut self, world: &World, witnesses: Witnesses) {
        self.coverages.insert(world, witnesses);
    }

    /// Keeps a failed connect: a clue to the upstream of requests.
    pub(super) fn note_connect(
        &mut self,
        context: &Context,
        failed: &ConnectFailed,
        at: Timestamp,
    ) {
        let owner = context.world.processes.find(failed.owner.key);
        let service = owner.map(|owner| &owner.attribution.service);
        let mut actor = failed.owner;
        actor.key = owner.map_or(actor.key, |owner| owner.task.key);
        let netns = context.options.netns(failed.netns);
        let clues = &mut self.reports.clues;
        clues.tried(&actor, service, netns, &failed.remote, failed.error, at);
    }

    /// Keeps a cut connection: a proxy may have waited for a response on it.
    pub(super) fn note_cut(
        &mut self,
        owner: &Actor,
        local: &Endpoint,
        remote: &Endpoint,
        at: Timestamp,
    ) {
        self.reports.clues.cut(owner.key, local, remote, at);
    }

    /// Accepts an exchange that the kernel or the TLS library witnessed.
    pub(super) fn http(
        &mut self,
        context: &mut Context,
        exchange: &HttpExchange,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if !context.armed {
            return;
        }
        let world = &context.world;
        if exchange.side == Side::Outbound {
            let actor = world.processes.find(exchange.actor.key);
            let proxy = actor
                .filter(|actor| actor.attribution.role.is_some())
                .map(|actor| key_of(&actor.attribution.service));
            self.reports.clues.outbound(exchange.clone(), proxy, at);
            return;
        }
        let netns = context.options.netns(exchange.netns);
        let Some(mut inbound) = inbound(world, &context.options, exchange, netns, at) else {
            return;
        };
        let coverage = self.coverages.of(world, &inbound.proxy);
        inbound.log = coverage.profile;
        // After its death, the proxy writes no line.
        let lines = if !coverage.log || exchange.end == HttpEnd::Died {
            Lines::AlreadyRead
        } else if coverage.is_silent_about_answers()
            && self.reports.clues.was_answered(&Case::of(&inbound))
        {
            Lines::None
        } else {
            Lines::MayFollow
        };
        let mut decided = Vec::new();
        self.waiting
            .exchange(inbound, lines, context.now, &mut decided);
        self.report(context, decided, findings);
    }

    /// Accepts a line of a proxy's log.
    pub(super) fn proxy_log(
        &mut self,
        context: &mut Context,
        entry: &Arc<LogEntry>,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if !context.armed {
            return;
        }
        let Log { proxy, covered } = self.coverages.log_of(&context.world, entry.proxy);
        let proof = if entry.http1 == Some(false) || !covered {
            Proof::OnlyWitness
        } else if entry.phase == Phase::Answering
            || entry.status.is_some_and(|status| status >= 500)
        {
            Proof::Failure
        } else {
            Proof::Nothing
        };
        let fingerprinter = &self.waiting.fingerprinter;
        let end = context.world.request_end(entry, at);
        let at = end.unwrap_or(at);
        let mut line = Attempts::new(fingerprinter, proxy, at, Arc::clone(entry), proof);
        line.timed = end.is_some();
        let mut decided = Vec::new();
        self.waiting.line(line, context.now, &mut decided);
        self.report(context, decided, findings);
    }

    /// Accepts a number of requests that the kernel only counted.
    pub(super) fn http_counted(
        &mut self,
        context: &mut Context,
        counted: &HttpCounted,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        if !context.armed || counted.count == 0 {
            return;
        }
        let netns = context.options.netns(counted.netns);
        let world = &context.world;
        let proxy = world
            .listeners
            .answering(netns, &counted.local)
            .map_or_else(unknown_proxy, |(_, listening)| {
                world.listener_service(listening).clone()
            });
        let status = (counted.status != 0).then_some(counted.status);
        let now = context.now;
        let sum = self
            .counts
            .add(proxy, netns, status, counted.count, at, now);
        if let Some(sum) = sum {
            self.reports.counted(context, &sum, findings);
        }
    }

    /// Reports requests that have waited long enough.
    pub(super) fn advance(&mut self, context: &mut Context, findings: &mut Vec<Finding>) {
        let mut decided = Vec::new();
        self.waiting.advance(context.now, &mut decided);
        self.report(context, decided, findings);
        for sum in self.counts.flush(Some(context.now)) {
            self.reports.counted(context, &sum, findings);
        }
    }

    /// Reports all waiting requests that surely failed; `last`: no more observations will come.
    pub(super) fn flush(&mut self, context: &mut Context, last: bool, findings: &mut Vec<Finding>) {
        let mut decided = Vec::new();
        self.waiting.flush(context.now, last, &mut decided);
        self.report(context, decided, findings);
        for sum in self.counts.flush(None) {
            self.reports.counted(context, &sum, findings);
        }
    }

    fn report(
        &mut self,
        context: &mut Context,
        decided: Vec<Decided>,
        findings: &mut Vec<Finding>,
    ) {
        for one in decided {
            match one {
                Decided::Seen(inbound) => self.reports.seen(context, &inbound, findings),
                Decided::Logged(attempts) => {
                    let status = attempts.status();
                    let proxy = &attempts.proxy.key;
                    if status.is_none() || !self.counts.knows(proxy, status, context.now) {
                        self.reports.logged(context, &attempts, findings);
                    }
                }
            }
        }
    }
}

/// An inbound exchange with its proxy; None if it is the tracer's own.
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
    let own = |key: ProcessKey| options.is_own(key.pid);
    if listens.map_or_else(
        || own(exchange.actor.key),
        |listening| listening.owner.is_some_and(own),
    ) {
        return None;
    }
    let proxy = match (listens, actor) {
        (Some(listening), _) => world.listener_service(listening).clone(),
        (None, Some(actor)) => actor.attribution.service.clone(),
        (None, None) => unknown_proxy(),
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
