//! Reports failed requests: finds the upstream and the incident behind each, makes the finding and
//! counts it.

use tracer_model::quantity::millis;
use tracer_model::{
    Actor, Body, Endpoint, FailedRequest, Failure, Finding, LostRequest, Request, Service,
    ServiceLoss, Upstream, Witness,
};

use super::case::{Case, READ_WITHIN};
use super::counted::Sum;
use super::pair::{Attempts, Inbound};
use super::reason::{absence, reason};
use super::upstream::{BLUR, Clue, Clues};
use crate::context::Context;
use crate::history::Explained;
use crate::losses::Ranking;
use crate::world::{key_of, same};

/// See the module.
#[derive(Default)]
pub(super) struct Reports {
    pub clues: Clues,
    ranking: Ranking,
}

impl Reports {
    /// Services by failed requests, most first.
    pub(super) fn ranking(&self) -> Vec<ServiceLoss> {
        self.ranking.most()
    }

    /// Reports a request that a witness saw, with its log lines if there are any.
    pub(super) fn seen(
        &mut self,
        context: &mut Context,
        inbound: &Inbound,
        findings: &mut Vec<Finding>,
    ) {
        let case = Case::of(inbound);
        let (clue, reason) = self.judge(context, &case);
        let exchange = &inbound.exchange;
        let log = inbound.attempts.as_ref();
        let client = match &exchange.remote {
            Some(Endpoint::Tcp(address)) => Some(address.ip()),
            _ => log.and_then(|log| log.first_known(|entry| entry.client)),
        };
        let mut evidence = vec![exchange.witness];
        evidence.extend(clue.witness);
        evidence.extend(log.map(|_| Witness::Log));
        let mut finding = finding(
            context,
            &case,
            &clue,
            reason.as_ref(),
            &inbound.proxy,
            evidence,
        );
        describe(&mut finding, case.request);
        finding.client = client.map(|ip| ip.to_canonical().to_string());
        finding.status = case.status;
        finding.latency_ms = Some(millis(inbound.at.since(exchange.began)));
        self.report(context, finding, &case, reason, &inbound.proxy, findings);
    }

    /// Reports a request that only the log has.
    pub(super) fn logged(
        &mut self,
        context: &mut Context,
        attempts: &Attempts,
        findings: &mut Vec<Finding>,
    ) {
        let (entry, at) = (attempts.decisive(), attempts.at());
        let proxy = &attempts.proxy;
        let processes = &context.world.processes;
        let process = processes.find(entry.proxy);
        let worker = entry
            .pid
            .and_then(|pid| processes.by_pid(pid))
            .filter(|process| same(&process.attribution.service, &proxy.service))
            .map(|process| Actor {
                key: process.task.key,
                tid: entry.tid.unwrap_or(process.task.key.pid),
                ..Actor::default()
            });
        let elapsed = attempts.first_known(|entry| entry.elapsed);
        let timed = elapsed.is_some() && attempts.timed;
        let slack = if timed { BLUR } else { READ_WITHIN };
        let case = Case {
            proxy: &proxy.key,
            netns: context
                .options
                .netns(process.map_or(0, |process| process.facts.netns)),
            worker,
            request: attempts.first_known(|entry| entry.request.as_ref()),
            began: elapsed.map(|elapsed| at.before(elapsed + slack)),
            at,
            timed,
            end: None,
            status: attempts.status(),
            connected: None,
            logged: Some((entry.upstream.as_ref(), attempts.failure())),
        };
        let (clue, reason) = self.judge(context, &case);
        let mut evidence = vec![Witness::Log];
        evidence.extend(clue.witness);
        let mut finding = finding(
            context,
            &case,
            &clue,
            reason.as_ref(),
            &proxy.service,
            evidence,
        );
        describe(&mut finding, case.request);
        finding.client = attempts
            .first_known(|entry| entry.client)
            .map(|ip| ip.to_canonical().to_string());
        finding.status = case.status;
        finding.latency_ms = elapsed.map(millis);
        self.report(context, finding, &case, reason, &proxy.service, findings);
    }

    /// Reports requests that the kernel only counted.
    pub(super) fn counted(
        &mut self,
        context: &mut Context,
        sum: &Sum,
        findings: &mut Vec<Finding>,
    ) {
        let key = key_of(&sum.proxy);
        let case = Case {
            proxy: &key,
            netns: sum.netns,
            worker: None,
            request: None,
            began: Some(sum.began),
            at: sum.at,
            timed: false,
            end: None,
            status: sum.status,
            connected: None,
            logged: None,
        };
        // No death explains a status that the application returned itself.
        let may_have = matches!(sum.status, None | Some(502..=504));
        let found = self.only_reason(context, &case).filter(|_| may_have);
        let clue = match &found {
            Some((address, failure, _)) => Clue::guess(address.clone(), *failure),
            None if sum.status == Some(504) => Clue::unknown(Failure::Timeout),
            None => Clue::unknown(Failure::Unknown),
        };
        let reason = found.map(|(_, _, reason)| reason);
        let evidence = vec![Witness::Http];
        let mut finding = finding(context, &case, &clue, reason.as_ref(), &sum.proxy, evidence);
        finding.status = sum.status;
        finding.count = sum.count;
        self.report(context, finding, &case, reason, &sum.proxy, findings);
    }

    fn judge(&mut self, context: &Context, case: &Case<'_>) -> (Clue, Option<Explained>) {
        let (world, history) = (&context.world, context.incidents.history());
        let clue = self.clues.judge(case, &|to, from, at| {
            absence(world, history, case.netns, to, from, at).is_some()
                || world
                    .upstream(case.netns, to)
                    .is_some_and(|(_, one)| one.down.is_some_and(|down| down <= at))
        });
        let reason = reason(world, history, case, &clue);
        (clue, reason)
    }

    /// The incident that explains why connects of the proxy failed during the case, if there is
    /// exactly one.
    fn only_reason(
        &self,
        context: &Context,
        case: &Case<'_>,
    ) -> Option<(Endpoint, Failure, Explained)> {
        let (world, history) = (&context.world, context.incidents.history());
        let mut only: Option<(Endpoint, Failure, Explained)> = None;
        for (netns, address, failure) in self.clues.tried_by(case.proxy, case.from()) {
            let Some(reason) = absence(world, history, netns, address, case.from(), case.at) else {
                continue;
            };
            if let Some((.., known)) = &only
                && known.because.incident != reason.because.incident
            {
                return None;
            }
            only.get_or_insert((address.clone(), failure, reason));
        }
        only
    }

    /// Counts and reports a finding.
    fn report(
        &mut self,
        context: &mut Context,
        finding: FailedRequest,
        case: &Case<'_>,
        reason: Option<Explained>,
        proxy: &Service,
        findings: &mut Vec<Finding>,
    ) {
        let count = finding.count;
        let total = &mut context.totals.requests_failed;
        *total = total.saturating_add(count);
        let world = &context.world;
        let meant_for = finding
            .upstream
            .as_ref()
            .and_then(|upstream| world.upstream(case.netns, &upstream.address))
            .map_or(proxy, |(_, listening)| world.listener_service(listening));
        let explained = finding
            .because
            .as_ref()
            .is_some_and(|because| because.death.is_some());
        self.ranking.add(meant_for, count, explained);
        if let Some(reason) = reason {
            let lost = LostRequest {
                at: world.wall(case.at),
                client: finding.client.clone(),
                method: finding.method.clone(),
                path: finding.path.clone(),
                status: finding.status,
                failure: finding.failure,
            };
            context.incidents.requests_failed(&reason, lost, count);
        }
        context.report(case.at, Body::RequestFailed(Box::new(finding)), findings);
    }
}

fn finding(
    context: &Context,
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
        service: context.world.service_at(case.netns, address),
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
