//! Writes the findings: what went wrong with a request, which death is behind it, what told of it.

use tracer_model::quantity::millis;
use tracer_model::{
    Actor, Body, Endpoint, FailedRequest, Failure, Finding, HttpEnd, LostRequest, NetNs, Phase,
    Request, Service, Timestamp, Upstream, Witness,
};

use super::pair::{Attempts, Inbound};
use super::upstream::{self, Case, Clue};
use super::waiting::Decided;
use crate::Analysis;
use crate::history::{Explained, History};
use crate::world::{World, key_of, same};

impl Analysis {
    pub(super) fn tell(&mut self, decided: Vec<Decided>, findings: &mut Vec<Finding>) {
        for one in decided {
            match one {
                Decided::Seen(inbound) => self.tell_seen(&inbound, findings),
                Decided::Logged(attempts) => self.tell_logged(&attempts, findings),
            }
        }
    }

    fn tell_seen(&mut self, inbound: &Inbound, findings: &mut Vec<Finding>) {
        let case = case_of(inbound);
        let (clue, reason) = self.judge(&case);
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
        let mut finding = self.finding(&case, &clue, reason.as_ref(), &inbound.proxy, evidence);
        describe(&mut finding, request);
        finding.client = client.map(|ip| ip.to_canonical().to_string());
        finding.status = case.status;
        finding.latency_ms = Some(millis(inbound.at.since(exchange.began)));
        self.tell_request(finding, &case, reason, &inbound.proxy, findings);
    }

    fn tell_logged(&mut self, attempts: &Attempts, findings: &mut Vec<Finding>) {
        let (entry, at) = (attempts.decisive(), attempts.at());
        let proxy = &attempts.proxy;
        let status = entry
            .status
            .filter(|_| attempts.last().phase != Phase::Answering);
        if status.is_some() && self.requests.counts.knows(&proxy.key, status, self.now) {
            return;
        }
        let process = self.world.processes.find(entry.proxy);
        let netns = self.known(process.map_or(0, |process| process.facts.netns));
        let worker = entry
            .pid
            .and_then(|pid| self.world.processes.by_pid(pid))
            .filter(|process| same(&process.attribution.service, &proxy.service))
            .map(|process| Actor {
                key: process.task.key,
                tid: entry.tid.unwrap_or(process.task.key.pid),
                ..Actor::default()
            });
        let elapsed = attempts.tell(|entry| entry.elapsed);
        let timed = elapsed.is_some() && attempts.timed;
        let slack = if timed {
            upstream::BLUR
        } else {
            upstream::READ_WITHIN
        };
        let request = attempts.tell(|entry| entry.request.as_ref());
        let case = Case {
            proxy: &proxy.key,
            netns,
            worker,
            request,
            began: elapsed.map(|elapsed| upstream::before(at, elapsed + slack)),
            at,
            timed,
            end: None,
            status,
            connected: None,
            logged: Some((entry.upstream.as_ref(), attempts.failure())),
        };
        let (clue, reason) = self.judge(&case);
        let mut evidence = vec![Witness::Log];
        evidence.extend(clue.witness);
        let mut finding = self.finding(&case, &clue, reason.as_ref(), &proxy.service, evidence);
        describe(&mut finding, request);
        finding.client = attempts
            .tell(|entry| entry.client)
            .map(|ip| ip.to_canonical().to_string());
        finding.status = status;
        finding.latency_ms = elapsed.map(millis);
        self.tell_request(finding, &case, reason, &proxy.service, findings);
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
        let reason = reason(world, history, case, &clue);
        (clue, reason)
    }

    pub(super) fn finding(
        &self,
        case: &Case<'_>,
        clue: &Clue,
        reason: Option<&Explained>,
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
            because: reason.map(|reason| reason.because.clone()),
            evidence,
        }
    }

    /// Counts and reports a finding.
    pub(super) fn tell_request(
        &mut self,
        finding: FailedRequest,
        case: &Case<'_>,
        reason: Option<Explained>,
        proxy: &Service,
        findings: &mut Vec<Finding>,
    ) {
        let count = finding.count;
        self.totals.requests_failed = self.totals.requests_failed.saturating_add(count);
        let meant_for = finding
            .upstream
            .as_ref()
            .and_then(|upstream| self.world.upstream(case.netns, &upstream.address))
            .map_or(proxy, |(_, listening)| {
                self.world.listener_service(listening)
            });
        let explained = finding
            .because
            .as_ref()
            .is_some_and(|because| because.death.is_some());
        self.requests.ranking.add(meant_for, count, explained);
        if let Some(reason) = reason {
            let lost = LostRequest {
                at: self.world.wall(case.at),
                client: finding.client.clone(),
                method: finding.method.clone(),
                path: finding.path.clone(),
                status: finding.status,
                failure: finding.failure,
            };
            self.incidents.requests_failed(&reason, lost, count);
        }
        self.report(case.at, Body::RequestFailed(Box::new(finding)), findings);
    }
}

/// What is asked about a request that was seen.
pub(super) fn case_of(inbound: &Inbound) -> Case<'_> {
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
        timed: true,
        end: Some(exchange.end),
        status: match exchange.end {
            HttpEnd::Status(status) => Some(status),
            _ => None,
        },
        connected: exchange
            .connected
            .as_ref()
            .filter(|connected| connected.at >= exchange.began),
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
fn reason(world: &World, history: &History, case: &Case<'_>, clue: &Clue) -> Option<Explained> {
    let (from, at) = (case.from(), clue.failed.unwrap_or(case.at));
    let upstream = clue.upstream.as_ref().map(|(address, _)| address);
    let absent = |from, at| absence(world, history, case.netns, upstream?, from, at);
    match clue.failure {
        Failure::Answered
        | Failure::Timeout
        | Failure::PermissionDenied
        | Failure::BacklogFull
        | Failure::ProxyClosed
        | Failure::ClientGone
        | Failure::Unknown => None,
        Failure::ProxyDied => case
            .worker
            .and_then(|worker| history.death_of(worker.key, at))
            .or_else(|| history.death_in(case.proxy, from, at)),
        Failure::Cut | Failure::Reset => {
            let listening = upstream
                .and_then(|address| world.upstream(case.netns, address))
                .map(|(_, listening)| listening);
            let service = listening.map(|one| key_of(world.listener_service(one)));
            // A worker that serves its parent's socket under a name of its own: PHP-FPM's pools.
            let serves = |dead| {
                let parent = world.processes.get(dead).map(|process| process.parent);
                parent.is_some() && parent == listening.and_then(|one| one.owner)
            };
            clue.killed
                .and_then(|killed| history.death_of(killed, at))
                .or_else(|| history.death_in(service.as_ref()?, from, at))
                .or_else(|| history.death_among(serves, from, at))
                .or_else(|| absent(at, at))
        }
        // Nobody refuses a connection where somebody listens: it was refused before that.
        Failure::Refused | Failure::NoSocketFile => absent(clue.failed.unwrap_or(from), at),
        Failure::Unreachable | Failure::NoLiveUpstreams => absent(at, at),
    }
}

/// Why nothing answered at an address at some instant of a span.
pub(super) fn absence(
    world: &World,
    history: &History,
    netns: NetNs,
    address: &Endpoint,
    from: Timestamp,
    at: Timestamp,
) -> Option<Explained> {
    let serving = world.upstream(netns, address);
    serving
        .and_then(|(place, _)| history.absence(place, from, at))
        .or_else(|| {
            let mut others = address.candidates().map(|other| (netns, other));
            others.find_map(|place| history.absence(&place, from, at))
        })
}
