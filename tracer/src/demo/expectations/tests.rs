use tracer_model::{
    Because, Confidence, Cut, Endpoint, Failure, ListenerChange, Manager, MemoryInfo, Party,
    ProcessInfo, Service, Upstream, WallTime, Witness,
};

use super::*;
use crate::demo::Exchange;

fn facts() -> StackFacts {
    StackFacts {
        service: "demo-api",
        worker_pid: 42,
        worker: Endpoint::Tcp("127.0.0.1:17300".parse().unwrap()),
        proxy: Endpoint::Tcp("127.0.0.1:17301".parse().unwrap()),
        proxy_program: "demo-proxy".to_owned(),
        limit_bytes: 64 << 20,
    }
}

fn log(statuses: &[u16]) -> ClientLog {
    let exchange = |&status| Exchange {
        at: WallTime(0),
        method: "GET",
        path: "/",
        status: Some(status),
    };
    ClientLog {
        exchanges: statuses.iter().map(exchange).collect(),
        worker_signal: Some(9),
        restarted_pid: 43,
    }
}

fn service() -> Service {
    Service {
        name: "demo-api".into(),
        manager: Manager::Config,
        evidence: "rule".into(),
    }
}

fn party() -> Party {
    Party {
        pid: 7,
        comm: "nginx".to_owned(),
        service: None,
    }
}

/// The findings of a run in which everything is seen.
fn findings() -> Vec<Finding> {
    let death = Death {
        service: service(),
        process: ProcessInfo {
            pid: 42,
            ppid: 1,
            ns_pid: None,
            comm: "tracer".to_owned(),
            cmdline: None,
            uid: 0,
            uptime_ms: 1,
        },
        cause: Cause::OomCgroup,
        exit_code: None,
        signal: Some("SIGKILL".to_owned()),
        core_dumped: None,
        by: None,
        memory: MemoryInfo {
            limit_bytes: Some(64 << 20),
            ..MemoryInfo::default()
        },
        trigger: None,
        why: String::new(),
        incident: Some(1),
    };
    let listener = |down_ms| ListenerChange {
        service: service(),
        address: facts().worker,
        netns: None,
        process: None,
        down_ms,
        incident: Some(1),
    };
    let bodies = [
        Body::Oom(Box::new(death.clone())),
        Body::Death(Box::new(death)),
        Body::ListenerDown(listener(None)),
        Body::ConnectionCut(Box::new(Cut {
            service: service(),
            peer: None,
            address: facts().worker,
            peer_address: facts().proxy,
            count: 2,
            pid: 42,
            incident: Some(1),
        })),
        Body::ConnectFailed(Box::new(ConnectFailure {
            proxy: service(),
            process: party(),
            upstream: Upstream {
                address: facts().worker,
                service: Some("demo-api".into()),
            },
            error: ConnectError::Refused,
            errno: None,
            count: 1,
            elapsed_ms: None,
            because: Some(Because {
                incident: 1,
                death: Some(42),
                cause: Some(Cause::OomCgroup),
                after_ms: 10.0,
                sentence: String::new(),
            }),
        })),
        Body::ListenerUp(listener(Some(2000.0))),
        Body::Incident(Box::new(Incident {
            id: 1,
            state: IncidentState::Closed,
            service: service(),
            cause: Cause::OomCgroup,
            summary: String::new(),
            opened: WallTime(0),
            closed: Some(WallTime(1)),
            down_ms: Some(2000.0),
            deaths: 1,
            connects_failed: 4,
            connections_cut: 2,
            requests_failed: 0,
            requests: Vec::new(),
            requests_by_template: Vec::new(),
            crash_loop: false,
            advice: Vec::new(),
        })),
    ];
    bodies
        .into_iter()
        .map(|body| Finding {
            v: 1,
            at: WallTime(0),
            body,
        })
        .collect()
}

const AS_EXPECTED: [u16; 5] = [200, 502, 502, 502, 200];

fn missing(findings: &[Finding], log: &ClientLog, facts: &StackFacts) -> Vec<&'static str> {
    check(findings, log, facts)
        .into_iter()
        .filter(|step| !step.seen)
        .map(|step| step.name)
        .collect()
}

#[test]
fn a_complete_run_passes_every_step() {
    let steps = check(&findings(), &log(&AS_EXPECTED), &facts());
    assert_eq!(steps.len(), 9);
    assert!(steps.iter().all(|step| step.seen), "{steps:?}");
    assert_eq!(steps[2].to_string(), "✓ the memory limit: 64 MiB");
}

#[test]
fn each_missing_finding_fails_its_own_step() {
    let wanted = [
        "the OOM victim",
        "the worker's death",
        "the listener that went down",
        "the cut connections",
        "the refused connects and their cause",
        "the recovery",
        "the incident",
    ];
    for (index, name) in wanted.into_iter().enumerate() {
        let mut findings = findings();
        findings.remove(index);
        assert_eq!(missing(&findings, &log(&AS_EXPECTED), &facts()), [name]);
    }
    assert_eq!(missing(&[], &log(&AS_EXPECTED), &facts()).len(), 8);
}

#[test]
fn another_process_another_limit_or_another_address_does_not_count() {
    let other = StackFacts {
        worker_pid: 41,
        ..facts()
    };
    assert_eq!(missing(&findings(), &log(&AS_EXPECTED), &other).len(), 3);
    let other = StackFacts {
        limit_bytes: 1,
        ..facts()
    };
    assert_eq!(
        missing(&findings(), &log(&AS_EXPECTED), &other),
        ["the memory limit"]
    );
    let other = StackFacts {
        worker: facts().proxy,
        ..facts()
    };
    assert_eq!(missing(&findings(), &log(&AS_EXPECTED), &other).len(), 4);
}

#[test]
fn the_client_must_see_the_outage_and_the_recovery() {
    for statuses in [
        &[200, 200, 200, 200, 200][..],
        &[200, 502, 502, 502],
        &[200, 502, 200],
        &[],
    ] {
        assert_eq!(
            missing(&findings(), &log(statuses), &facts()),
            ["the responses to the client"]
        );
    }
}

#[test]
fn behind_a_known_proxy_each_failed_request_must_be_reported_once_with_its_cause() {
    let facts = StackFacts {
        proxy_program: "/usr/sbin/nginx".to_owned(),
        ..facts()
    };
    let request = |cause| Finding {
        v: 1,
        at: WallTime(0),
        body: Body::RequestFailed(Box::new(FailedRequest {
            proxy: service(),
            client: None,
            forwarded_for: None,
            method: Some("GET".to_owned()),
            host: None,
            path: Some("/".to_owned()),
            status: Some(502),
            latency_ms: None,
            count: 1,
            upstream: Some(Upstream {
                address: facts.worker.clone(),
                service: Some("demo-api".into()),
            }),
            confidence: Some(Confidence::Certain),
            failure: Failure::Refused,
            because: Some(Because {
                incident: 1,
                death: Some(42),
                cause,
                after_ms: 1.0,
                sentence: String::new(),
            }),
            evidence: vec![Witness::Http],
        })),
    };
    let with = |causes: &[Option<Cause>]| {
        let mut all = findings();
        all.extend(causes.iter().map(|cause| request(*cause)));
        missing(&all, &log(&AS_EXPECTED), &facts)
    };
    let oom = Some(Cause::OomCgroup);
    assert_eq!(with(&[oom; 3]), [""; 0]);
    for wrong in [&[oom; 2][..], &[oom; 4], &[oom, oom, None]] {
        assert_eq!(with(wrong), ["the failed requests and their cause"]);
    }
}
