//! Compares the findings with what the demo did. Pure.

use std::fmt;

use tracer_model::{
    Body, Cause, ConnectError, ConnectFailure, Death, FailedRequest, Finding, Incident,
    IncidentState, Service, wording,
};

use super::facts::StackFacts;
use super::names::PROXY_COMMAND;
use super::scenario::ClientLog;

/// Something that the tracer must have seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub name: &'static str,
    /// Whether the tracer saw it.
    pub seen: bool,
    /// The details that were seen, or what is missing.
    pub detail: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.seen { '✓' } else { '✗' };
        write!(f, "{mark} {}: {}", self.name, self.detail)
    }
}

/// The steps of the demo in the order in which they happen. The demo succeeded if all were seen.
pub fn check(findings: &[Finding], log: &ClientLog, facts: &StackFacts) -> Vec<Step> {
    let found = Found { findings, facts };
    let mut steps = vec![
        found.oom_victim(),
        found.death(),
        found.limit(),
        found.listener_down(),
        found.cut_connections(),
        found.refused_connects(),
        found.recovery(),
        found.incident(),
        clients_view(log),
    ];
    // Requests are only followed at programs that are known to be proxies.
    if facts.proxy_program != PROXY_COMMAND {
        steps.push(found.failed_requests(log));
    }
    steps
}

/// The findings, and what they should be about.
struct Found<'a> {
    findings: &'a [Finding],
    facts: &'a StackFacts,
}

impl<'a> Found<'a> {
    fn bodies(&self) -> impl Iterator<Item = &'a Body> {
        self.findings.iter().map(|finding| &finding.body)
    }

    fn oom(&self) -> Option<&'a Death> {
        self.bodies().find_map(|body| match body {
            Body::Oom(death) if self.is_victim(death) => Some(&**death),
            _ => None,
        })
    }

    fn dead(&self) -> Option<&'a Death> {
        self.bodies().find_map(|body| match body {
            Body::Death(death) if self.is_victim(death) => Some(&**death),
            _ => None,
        })
    }

    fn is_worker(&self, service: &Service) -> bool {
        &*service.name == self.facts.service
    }

    fn is_victim(&self, death: &Death) -> bool {
        let process = &death.process;
        (process.pid == self.facts.worker_pid || process.ns_pid == Some(self.facts.worker_pid))
            && self.is_worker(&death.service)
    }

    fn oom_victim(&self) -> Step {
        step(
            "the OOM victim",
            self.oom()
                .filter(|oom| oom.cause == Cause::OomCgroup)
                .map(|oom| format!("{}[{}]", oom.process.comm, oom.process.pid)),
            "no oom finding about the worker with cause oom_cgroup",
        )
    }

    fn death(&self) -> Step {
        step(
            "the worker's death",
            self.dead()
                .filter(|death| death.cause == Cause::OomCgroup)
                .filter(|death| death.signal.as_deref() == Some("SIGKILL"))
                .map(|_| "SIGKILL by the kernel".to_owned()),
            "no death finding about the worker with cause oom_cgroup and SIGKILL",
        )
    }

    fn limit(&self) -> Step {
        let limit = self.facts.limit_bytes;
        let mut deaths = self.oom().into_iter().chain(self.dead());
        step(
            "the memory limit",
            deaths
                .any(|death| death.memory.limit_bytes == Some(limit))
                .then(|| format!("{} MiB", limit >> 20)),
            "neither the oom nor the death finding has the worker's memory limit",
        )
    }

    fn listener_down(&self) -> Step {
        let down = self.bodies().any(|body| match body {
            Body::ListenerDown(change) => {
                change.address == self.facts.worker && self.is_worker(&change.service)
            }
            _ => false,
        });
        step(
            "the listener that went down",
            down.then(|| self.facts.worker.to_string()),
            "no listener_down finding about the worker's address",
        )
    }

    fn cut_connections(&self) -> Step {
        let cut: u64 = self
            .bodies()
            .map(|body| match body {
                Body::ConnectionCut(cut)
                    if cut.address == self.facts.worker && self.is_worker(&cut.service) =>
                {
                    cut.count
                }
                _ => 0,
            })
            .sum();
        step(
            "the cut connections",
            (cut > 0).then(|| wording::connections_cut(cut)),
            "no connection_cut finding about the worker",
        )
    }

    fn refused_connects(&self) -> Step {
        let because = self.bodies().find_map(|body| match body {
            Body::ConnectFailed(failure) if self.explains_connect(failure) => {
                failure.because.as_ref()
            }
            _ => None,
        });
        step(
            "the refused connects and their cause",
            because
                .map(|because| format!("the first one {:.0} ms after the death", because.after_ms)),
            "no connect_failed finding that names the worker and its OOM kill",
        )
    }

    fn recovery(&self) -> Step {
        let down_ms = self.bodies().find_map(|body| match body {
            Body::ListenerUp(change)
                if change.address == self.facts.worker && self.is_worker(&change.service) =>
            {
                change.down_ms
            }
            _ => None,
        });
        step(
            "the recovery",
            down_ms.map(|down_ms| format!("listening again after {:.2} s", down_ms / 1000.0)),
            "no listener_up finding about the worker's address with down_ms",
        )
    }

    fn incident(&self) -> Step {
        let closed = self.bodies().find_map(|body| match body {
            Body::Incident(incident) if self.is_complete(incident) => Some(incident),
            _ => None,
        });
        step(
            "the incident",
            closed.map(|incident| {
                [
                    wording::connections_cut(incident.connections_cut),
                    wording::connects_failed(incident.connects_failed),
                ]
                .join(", ")
            }),
            "no closed incident of the worker that counts cut and refused connections",
        )
    }

    /// Every request that the client saw fail, once, with the worker's OOM kill as its cause.
    fn failed_requests(&self, log: &ClientLog) -> Step {
        let reported = self.bodies().filter_map(|body| match body {
            Body::RequestFailed(request) if self.explains_request(request) => Some((
                request.method.as_deref()?,
                request.path.as_deref()?,
                request.status,
            )),
            _ => None,
        });
        let mut reported: Vec<(&str, &str, Option<u16>)> = reported.collect();
        let failed = log.exchanges.iter().filter(|one| one.status != Some(200));
        let mut failed: Vec<_> = failed
            .map(|one| (one.method, one.path, one.status))
            .collect();
        reported.sort_unstable();
        failed.sort_unstable();
        Step {
            name: "the failed requests and their cause",
            seen: reported == failed && !failed.is_empty(),
            detail: format!("{} of {}", reported.len(), failed.len()),
        }
    }

    /// Whether it is a refused connect to the worker, explained by its OOM kill.
    fn explains_connect(&self, failure: &ConnectFailure) -> bool {
        failure.error == ConnectError::Refused
            && failure.upstream.address == self.facts.worker
            && failure.upstream.service.as_deref() == Some(self.facts.service)
            && failure
                .because
                .as_ref()
                .is_some_and(|because| because.cause == Some(Cause::OomCgroup))
    }

    /// Whether it is a failed request to the worker, explained by its OOM kill.
    fn explains_request(&self, request: &FailedRequest) -> bool {
        let to_worker = request.upstream.as_ref().is_some_and(|upstream| {
            upstream.address == self.facts.worker
                && upstream.service.as_deref() == Some(self.facts.service)
        });
        let because = request.because.as_ref();
        to_worker && because.is_some_and(|because| because.cause == Some(Cause::OomCgroup))
    }

    /// Whether it is the worker's incident, closed and with its effects.
    fn is_complete(&self, incident: &Incident) -> bool {
        incident.state == IncidentState::Closed
            && self.is_worker(&incident.service)
            && incident.cause == Cause::OomCgroup
            && incident.down_ms.is_some()
            && incident.connections_cut > 0
            && incident.connects_failed > 0
    }
}

fn step(name: &'static str, seen: Option<String>, missing: &str) -> Step {
    Step {
        name,
        seen: seen.is_some(),
        detail: seen.unwrap_or_else(|| missing.to_owned()),
    }
}

/// First 200, then 502 for the requests in flight and those while the worker was down, finally 200.
fn clients_view(log: &ClientLog) -> Step {
    let statuses: Vec<Option<u16>> = log.exchanges.iter().map(|e| e.status).collect();
    let as_expected = match statuses.as_slice() {
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
        name: "the responses to the client",
        seen: as_expected && log.worker_signal == Some(9),
        detail: text.join(" "),
    }
}

#[cfg(test)]
mod tests;
