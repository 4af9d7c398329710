//! Compares what was found with what the demo did. Pure.

use std::fmt;

use tracer_model::{
    Body, Cause, ConnectError, ConnectFailure, Death, FailedRequest, Finding, Incident,
    IncidentState, wording,
};

use super::facts::StackFacts;
use super::names::PROXY_COMMAND;
use super::scenario::ClientLog;

/// Something that must have been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub name: &'static str,
    /// Whether it was.
    pub seen: bool,
    /// What was seen, or what was missing.
    pub detail: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.seen { '✓' } else { '✗' };
        write!(f, "{mark} {}: {}", self.name, self.detail)
    }
}

/// The demo's steps in the order in which they happen; it succeeded when all were seen.
#[expect(
    clippy::too_many_lines,
    reason = "a list of independent steps, read from top to bottom"
)]
pub fn check(findings: &[Finding], log: &ClientLog, facts: &StackFacts) -> Vec<Step> {
    let bodies = || findings.iter().map(|finding| &finding.body);
    let limited = |death: &Death| death.memory.limit_bytes == Some(facts.limit_bytes);
    let victim = |death: &Death| {
        let process = &death.process;
        (process.pid == facts.worker_pid || process.ns_pid == Some(facts.worker_pid))
            && &*death.service.name == facts.service
    };
    let oom = bodies().find_map(|body| match body {
        Body::Oom(death) if victim(death) => Some(death),
        _ => None,
    });
    let death = bodies().find_map(|body| match body {
        Body::Death(death) if victim(death) => Some(death),
        _ => None,
    });
    let cut: u64 = bodies()
        .map(|body| match body {
            Body::ConnectionCut(cut)
                if cut.address == facts.worker && &*cut.service.name == facts.service =>
            {
                cut.count
            }
            _ => 0,
        })
        .sum();
    let down = bodies().any(|body| match body {
        Body::ListenerDown(change) => {
            change.address == facts.worker && &*change.service.name == facts.service
        }
        _ => false,
    });
    let refused = bodies().find_map(|body| match body {
        Body::ConnectFailed(failure) if explained(failure, facts) => failure.because.as_ref(),
        _ => None,
    });
    let up = bodies().find_map(|body| match body {
        Body::ListenerUp(change)
            if change.address == facts.worker && &*change.service.name == facts.service =>
        {
            change.down_ms
        }
        _ => None,
    });
    let closed = bodies().find_map(|body| match body {
        Body::Incident(incident) if ended(incident, facts) => Some(incident),
        _ => None,
    });
    vec![
        step(
            "the OOM killer's choice",
            oom.filter(|oom| oom.cause == Cause::OomCgroup)
                .map(|oom| format!("{}[{}]", oom.process.comm, oom.process.pid)),
            "no oom finding of the worker with cause oom_cgroup",
        ),
        step(
            "the worker's death",
            death
                .filter(|death| death.cause == Cause::OomCgroup)
                .filter(|death| death.signal.as_deref() == Some("SIGKILL"))
                .map(|_| "SIGKILL by the kernel".to_owned()),
            "no death finding of the worker with cause oom_cgroup and SIGKILL",
        ),
        step(
            "the limit",
            oom.into_iter()
                .chain(death)
                .any(|death| limited(death))
                .then(|| format!("{} MiB", facts.limit_bytes >> 20)),
            "neither oom nor death names the worker's memory limit",
        ),
        step(
            "the listener's loss",
            down.then(|| facts.worker.to_string()),
            "no listener_down of the worker's address",
        ),
        step(
            "the requests in flight",
            (cut > 0).then(|| wording::connections_cut(cut)),
            "no connection_cut of the worker",
        ),
        step(
            "the refused upstream, and why",
            refused.map(|because| format!("{:.0} ms after the death", because.after_ms)),
            "no connect_failed that names the worker and its OOM kill",
        ),
        step(
            "the recovery",
            up.map(|down_ms| format!("listening again after {:.2} s", down_ms / 1000.0)),
            "no listener_up of the worker's address with down_ms",
        ),
        step(
            "the incident",
            closed.map(|incident| {
                [
                    wording::connections_cut(incident.connections_cut),
                    wording::connects_failed(incident.connects_failed),
                ]
                .join(", ")
            }),
            "no closed incident of the worker that counts what was cut and refused",
        ),
        clients_view(log),
    ]
    .into_iter()
    // Only a program that is known as a proxy has its requests followed.
    .chain((facts.proxy_program != PROXY_COMMAND).then(|| requests(findings, log, facts)))
    .collect()
}

fn step(name: &'static str, seen: Option<String>, missing: &str) -> Step {
    Step {
        name,
        seen: seen.is_some(),
        detail: seen.unwrap_or_else(|| missing.to_owned()),
    }
}

/// A refused connect to the worker that is explained by its OOM kill.
fn explained(failure: &ConnectFailure, facts: &StackFacts) -> bool {
    failure.error == ConnectError::Refused
        && failure.upstream.address == facts.worker
        && failure.upstream.service.as_deref() == Some(facts.service)
        && failure
            .because
            .as_ref()
            .is_some_and(|because| because.cause == Some(Cause::OomCgroup))
}

/// The worker's incident, over and with its effects.
fn ended(incident: &Incident, facts: &StackFacts) -> bool {
    incident.state == IncidentState::Closed
        && &*incident.service.name == facts.service
        && incident.cause == Cause::OomCgroup
        && incident.down_ms.is_some()
        && incident.connections_cut > 0
        && incident.connects_failed > 0
}

/// Every request that the client saw fail, once, with the worker's OOM kill as its reason.
fn requests(findings: &[Finding], log: &ClientLog, facts: &StackFacts) -> Step {
    let mut told: Vec<(&str, &str, Option<u16>)> = findings
        .iter()
        .filter_map(|finding| match &finding.body {
            Body::RequestFailed(request) if is_explained(request, facts) => Some((
                request.method.as_deref()?,
                request.path.as_deref()?,
                request.status,
            )),
            _ => None,
        })
        .collect();
    let failed = log.exchanges.iter().filter(|one| one.status != Some(200));
    let mut seen: Vec<_> = failed
        .map(|one| (one.method, one.path, one.status))
        .collect();
    told.sort_unstable();
    seen.sort_unstable();
    Step {
        name: "the failed requests, and why",
        seen: told == seen && !seen.is_empty(),
        detail: format!("{} of {} requests that failed", told.len(), seen.len()),
    }
}

/// A request that the worker's OOM kill failed.
fn is_explained(request: &FailedRequest, facts: &StackFacts) -> bool {
    let to_worker = request.upstream.as_ref().is_some_and(|upstream| {
        upstream.address == facts.worker && upstream.service.as_deref() == Some(facts.service)
    });
    let because = request.because.as_ref();
    to_worker && because.is_some_and(|because| because.cause == Some(Cause::OomCgroup))
}

/// 200 at first, 502 for what was in flight and while it was down, 200 at last.
fn clients_view(log: &ClientLog) -> Step {
    let statuses: Vec<Option<u16>> = log.exchanges.iter().map(|e| e.status).collect();
    let as_caused = match statuses.as_slice() {
        [Some(200), failed @ .., Some(200)] => {
            failed.len() >= 3 && failed.iter().all(|&status| status == Some(502))
        }
        _ => false,
    };
    let text: Vec<String> = statuses
        .iter()
        .map(|status| status.map_or_else(|| "none".to_owned(), |status| status.to_string()))
        .collect();
    Step {
        name: "the client's view",
        seen: as_caused && log.worker_signal == Some(9),
        detail: format!("statuses {}", text.join(" ")),
    }
}

#[cfg(test)]
mod tests;
