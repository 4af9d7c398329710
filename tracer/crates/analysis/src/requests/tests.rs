//! Stories of failed requests: reports of witnesses in, findings out.

mod late;
mod order;
mod stories;
mod storms;
mod upstreams;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tracer_model::{
    Actor, Body, ConnectError, ConnectFailed, End, Endpoint, ExitStatus, FailedRequest, Failure,
    Finding, HttpEnd, HttpExchange, Incident, IncidentState, Listener, LogEntry, Observation,
    Phase, Pid, ProxyKind, Request, Side, SocketId, Timestamp, What, Witness, Witnesses,
};

use crate::tests::{KILLED, actor, at, down, exit, key, process, run, scan, tcp, up};

const CLIENT: [u8; 4] = [203, 0, 113, 9];

/// nginx[50] on port 80 in front of node[60] on 3000, and the witnesses that follow nginx.
fn machine(http: bool, tls: bool, log: bool) -> Vec<Observation> {
    let mut all = scan();
    let armed = all.pop().unwrap();
    all.extend([
        at(0, listens(50, 80)),
        at(
            0,
            What::Witnesses(Witnesses {
                proxy: key(50),
                http,
                tls,
                log,
            }),
        ),
        armed,
    ]);
    all
}

fn listens(pid: Pid, port: u16) -> What {
    What::ListenerUp(Listener {
        socket: SocketId::Scanned(u64::from(port)),
        netns: 1,
        address: Endpoint::tcp([0, 0, 0, 0].into(), port),
        holders: [key(pid)].into(),
    })
}

fn when(ms: u64) -> Timestamp {
    at(ms, What::Tick).at
}

fn request(path: &str) -> Request {
    Request {
        method: "GET".into(),
        target: path.into(),
        host: Some("shop.example".into()),
        forwarded_for: None,
    }
}

/// A client's request at port 80, from `began` ms on.
fn inbound(began: u64, path: &str, port: u16, end: HttpEnd) -> HttpExchange {
    HttpExchange {
        witness: Witness::Http,
        side: Side::Inbound,
        actor: actor(50, "nginx"),
        netns: 1,
        local: Some(tcp(80)),
        remote: Some(Endpoint::tcp(CLIENT.into(), port)),
        request: Some(request(path)),
        began: when(began),
        end,
        connected: None,
    }
}

/// nginx's request to node, in node's context as the kernel mostly sees it.
fn outbound(began: u64, path: &str, end: HttpEnd) -> HttpExchange {
    HttpExchange {
        side: Side::Outbound,
        actor: actor(60, "node"),
        local: Some(tcp(41_000)),
        remote: Some(tcp(3000)),
        ..inbound(began, path, 1, end)
    }
}

fn http(exchange: HttpExchange) -> What {
    What::Http(Box::new(exchange))
}

fn status(began: u64, path: &str, port: u16, status: u16) -> What {
    http(inbound(began, path, port, HttpEnd::Status(status)))
}

/// A line of nginx[50]'s log.
fn nginx(path: &str, failure: Failure, upstream: Option<u16>) -> LogEntry {
    LogEntry {
        proxy: key(50),
        format: Some(ProxyKind::Nginx),
        pid: Some(50),
        tid: Some(50),
        connection: Some(57),
        client: Some(CLIENT.into()),
        client_port: None,
        request: Some(Request {
            forwarded_for: None,
            ..request(path)
        }),
        http1: Some(true),
        upstream: upstream.map(tcp),
        upstream_name: upstream.is_none().then(|| "backend".into()),
        status: None,
        failure,
        phase: Phase::Connecting,
        elapsed: None,
        ended: None,
    }
}

/// A line of HAProxy's log.
fn haproxy(path: &str, port: u16, status: u16) -> LogEntry {
    LogEntry {
        format: Some(ProxyKind::Haproxy),
        tid: None,
        connection: None,
        client_port: Some(port),
        upstream: None,
        upstream_name: Some("be/srv1".into()),
        status: Some(status),
        elapsed: Some(Duration::from_millis(5)),
        ..nginx(path, Failure::Unknown, None)
    }
}

fn line(entry: LogEntry) -> What {
    What::ProxyLog(Arc::new(entry))
}

fn fails_to_connect(owner: Actor, port: u16, error: ConnectError) -> What {
    What::ConnectFailed(Box::new(ConnectFailed {
        owner,
        netns: 1,
        remote: tcp(port),
        error,
        errno: 111,
        elapsed: Duration::ZERO,
        count: 1,
    }))
}

fn refused() -> What {
    fails_to_connect(actor(50, "nginx"), 3000, ConnectError::Refused)
}

/// node[60] is killed at 1000 ms, and its listener goes down at 1002.
fn dies() -> Vec<Observation> {
    vec![
        at(1000, exit(60, "node", KILLED, false)),
        at(1002, down(SocketId::Kernel(9))),
    ]
}

fn back(ms: u64) -> Observation {
    at(ms, up(SocketId::Kernel(10), 61))
}

fn story(parts: impl IntoIterator<Item = Vec<Observation>>) -> Vec<Finding> {
    let mut all: Vec<Observation> = parts.into_iter().flatten().collect();
    all.push(at(60_000, What::End));
    run(&all)
}

fn failed(findings: &[Finding]) -> Vec<FailedRequest> {
    let all = findings.iter().filter_map(|finding| match &finding.body {
        Body::RequestFailed(request) => Some((**request).clone()),
        _ => None,
    });
    all.collect()
}

/// The only failed request.
fn one(findings: &[Finding]) -> FailedRequest {
    let mut all = failed(findings);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.pop().unwrap()
}

fn upstream(request: &FailedRequest) -> Option<String> {
    let upstream = request.upstream.as_ref()?;
    Some(upstream.address.to_string())
}

fn death(request: &FailedRequest) -> Option<Pid> {
    request.because.as_ref().and_then(|because| because.death)
}

fn closed(findings: &[Finding]) -> Incident {
    let mut all = findings.iter().filter_map(|finding| match &finding.body {
        Body::Incident(incident) if incident.state == IncidentState::Closed => {
            Some((**incident).clone())
        }
        _ => None,
    });
    all.next().unwrap()
}

fn end(findings: &[Finding]) -> End {
    match findings.last().map(|finding| &finding.body) {
        Some(Body::End(end)) => end.clone(),
        other => panic!("no end: {other:?}"),
    }
}

fn ip(last: u8) -> IpAddr {
    [203, 0, 113, last].into()
}
