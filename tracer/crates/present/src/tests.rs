//! Every kind of finding in every form, and hostile names in all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;
use tracer_model::{
    Because, Body, Cause, Confidence, ConnectError, ConnectFailure, Cut, Death, End, Endpoint,
    FailedRequest, Failure, Finding, Hook, Incident, IncidentState, ListenerChange, LostEvents,
    LostRequest, LostRequests, Manager, MemoryInfo, Party, ProcessInfo, Ring, RunningService,
    SCHEMA_VERSION, Service, ServiceLoss, Start, Upstream, WallTime, Witness,
};

use super::{json::Json, schema::schema, text::Text};

/// 2026-11-22 14:30:00 UTC.
const START: i64 = 1_795_357_800_000_000_000;

fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        manager: Manager::Systemd,
        evidence: format!("cgroup /system.slice/{name}").into(),
    }
}

fn finding(at_ms: i64, body: Body) -> Finding {
    Finding {
        v: SCHEMA_VERSION,
        at: WallTime(START + at_ms * 1_000_000),
        body,
    }
}

fn address() -> Endpoint {
    Endpoint::Tcp("127.0.0.1:3000".parse().unwrap())
}

fn death(name: &str) -> Death {
    Death {
        service: service(name),
        process: ProcessInfo {
            pid: 12_345,
            ppid: 1,
            ns_pid: None,
            comm: "node".to_owned(),
            cmdline: Some("node server.js".to_owned()),
            uid: 1000,
            uptime_ms: 192_000,
        },
        cause: Cause::OomCgroup,
        exit_code: None,
        signal: None,
        core_dumped: None,
        by: None,
        memory: MemoryInfo {
            peak_bytes: Some(2_126_008_811),
            anon_bytes: Some(2_118_123_520),
            limit_bytes: Some(2 << 30),
            limit_cgroup: Some(format!("/system.slice/{name}")),
        },
        trigger: Some(Party {
            pid: 12_345,
            comm: "node".to_owned(),
            service: Some(name.into()),
        }),
        why: "reached its cgroup's memory limit".to_owned(),
        incident: Some(1),
    }
}

/// One of each kind, as in the reference.
fn samples() -> Vec<Finding> {
    let api = || service("api.service");
    let listener = |process, down_ms| ListenerChange {
        service: api(),
        address: address(),
        netns: None,
        process,
        down_ms,
        incident: Some(1),
    };
    let killed = Death {
        signal: Some("SIGKILL".to_owned()),
        core_dumped: Some(false),
        ..death("api.service")
    };
    let node = |pid| Party {
        pid,
        comm: "node".to_owned(),
        service: None,
    };
    vec![
        finding(0, Body::Start(start())),
        finding(1482, Body::Oom(Box::new(death("api.service")))),
        finding(1488, Body::Death(Box::new(killed))),
        finding(1489, Body::ListenerDown(listener(None, None))),
        finding(1489, Body::ConnectionCut(Box::new(cut()))),
        finding(1633, Body::ConnectFailed(Box::new(failure()))),
        finding(1634, Body::RequestFailed(Box::new(request()))),
        finding(
            4812,
            Body::ListenerUp(listener(Some(node(12_399)), Some(3323.0))),
        ),
        finding(4812, Body::Incident(Box::new(incident()))),
        finding(
            4900,
            Body::Mark(tracer_model::Mark {
                label: "deploy 42".to_owned(),
            }),
        ),
        finding(
            5000,
            Body::Lost(LostEvents {
                ring: Ring::Traffic,
                count: 12,
                since: WallTime(START),
            }),
        ),
        finding(
            63_000,
            Body::End(End {
                duration_ms: 63_000,
                exits: 40,
                deaths: 1,
                oom_kills: 1,
                connects_failed: 211,
                connections_cut: 3,
                requests_failed: 212,
                losses: vec![
                    ServiceLoss {
                        service: api(),
                        requests_failed: 211,
                        because_of_deaths: 211,
                    },
                    ServiceLoss {
                        service: service("nginx.service"),
                        requests_failed: 1,
                        because_of_deaths: 0,
                    },
                ],
                log_lines_unread: 2,
                incidents: 1,
                incidents_open: 0,
                lost: 12,
            }),
        ),
    ]
}

fn start() -> Start {
    Start {
        version: "0.1.0".to_owned(),
        kernel: "6.1.0-18-amd64".to_owned(),
        host: "web1".to_owned(),
        hooks: vec![
            Hook {
                name: "exit".to_owned(),
                via: Some("raw_tracepoint sched_process_exit".to_owned()),
                ok: true,
                why: None,
            },
            Hook {
                name: "unix_connect".to_owned(),
                via: None,
                ok: false,
                why: Some("fentry is refused".to_owned()),
            },
        ],
        services: vec![RunningService {
            service: service("api.service"),
            processes: 1,
            listens: vec![address()],
        }],
        blind: vec!["failed connects to unix sockets".to_owned()],
    }
}

fn cut() -> Cut {
    Cut {
        service: service("api.service"),
        peer: Some(service("nginx.service")),
        address: address(),
        peer_address: Endpoint::Tcp("127.0.0.1:41234".parse().unwrap()),
        count: 3,
        pid: 12_345,
        incident: Some(1),
    }
}

fn failure() -> ConnectFailure {
    ConnectFailure {
        proxy: service("nginx.service"),
        process: Party {
            pid: 811,
            comm: "nginx".to_owned(),
            service: Some("nginx.service".into()),
        },
        upstream: Upstream {
            address: address(),
            service: Some("api.service".into()),
        },
        error: ConnectError::Refused,
        errno: None,
        count: 1,
        elapsed_ms: Some(0.04),
        because: Some(Because {
            incident: 1,
            death: Some(12_345),
            cause: Some(Cause::OomCgroup),
            after_ms: 151.0,
            sentence: "api.service died 151 ms earlier: OOM (cgroup limit 2.0 GiB)".to_owned(),
        }),
    }
}

fn request() -> FailedRequest {
    FailedRequest {
        proxy: service("nginx.service"),
        client: Some("203.0.113.9".to_owned()),
        forwarded_for: None,
        method: Some("GET".to_owned()),
        host: Some("shop.example".to_owned()),
        path: Some("/api/orders/17".to_owned()),
        status: Some(502),
        latency_ms: Some(0.71),
        count: 1,
        upstream: Some(Upstream {
            address: address(),
            service: Some("api.service".into()),
        }),
        confidence: Some(Confidence::Certain),
        failure: Failure::Refused,
        because: Some(Because {
            incident: 1,
            death: Some(12_345),
            cause: Some(Cause::OomCgroup),
            after_ms: 145.0,
            sentence: "api.service died 145 ms earlier: OOM (cgroup limit 2.0 GiB)".to_owned(),
        }),
        evidence: vec![Witness::Http, Witness::Log],
    }
}

fn incident() -> Incident {
    Incident {
        id: 1,
        state: IncidentState::Closed,
        service: service("api.service"),
        cause: Cause::OomCgroup,
        summary: "OOM (cgroup limit 2.0 GiB)".to_owned(),
        opened: WallTime(START + 1_482_000_000),
        closed: Some(WallTime(START + 4_812_000_000)),
        down_ms: Some(3330.0),
        deaths: 1,
        connects_failed: 211,
        connections_cut: 3,
        requests_failed: 211,
        requests: vec![LostRequest {
            at: WallTime(START + 1_634_000_000),
            client: Some("203.0.113.9".to_owned()),
            method: Some("GET".to_owned()),
            path: Some("/api/orders/17".to_owned()),
            status: Some(502),
            failure: Failure::Refused,
        }],
        requests_by_template: vec![LostRequests {
            method: Some("GET".to_owned()),
            template: Some("/api/orders/{n}".to_owned()),
            status: Some(502),
            count: 211,
        }],
        crash_loop: false,
        advice: vec!["raise MemoryMax= of api.service above 2.0 GiB".to_owned()],
    }
}

fn text(findings: &[Finding], colour: bool) -> String {
    let mut out = Vec::new();
    let mut sink = Text::new(&mut out, colour, TimeZone::UTC);
    for finding in findings {
        sink.finding(finding).unwrap();
    }
    String::from_utf8(out).unwrap()
}

const GOLDEN: &str = "\
── tracer 0.1.0 on web1 · Linux 6.1.0-18-amd64 · 1 of 2 hooks armed · 1 service
   blind spot: failed connects to unix sockets
14:30:01.482  OOM   api.service    node[12345] killed by the kernel: cgroup limit 2.0 GiB reached, peak 1.98 GiB, up 3m12s
14:30:01.489  DOWN  api.service    127.0.0.1:3000 stopped listening
14:30:01.489  CUT   nginx.service  3 connections to api.service 127.0.0.1:3000 cut
14:30:01.633  REFUSED nginx.service → 127.0.0.1:3000 (api.service died 151 ms earlier: OOM, cgroup limit)
14:30:01.634  502   nginx.service  GET /api/orders/17 ← 203.0.113.9 → api.service 127.0.0.1:3000: connection refused (upstream died 145 ms earlier: OOM, cgroup limit)
14:30:04.812  UP    api.service    127.0.0.1:3000 listening again after 3.32 s, node[12399]
── incident 1 closed · api.service · OOM (cgroup limit 2.0 GiB) · down 3.33 s · 3 connections cut, 211 connects failed, 211 requests failed
   → raise MemoryMax= of api.service above 2.0 GiB
14:30:04.900  MARK  tracer         deploy 42
14:30:05.000  LOST  tracer         12 events lost since 14:30:00.000 (connections)
── end · watched 1m03s · 1 death (1 by OOM) · 3 connections cut, 211 connects failed, 212 requests failed · 1 incident · 12 events lost · 2 proxy log lines not understood
   api.service: 211 requests failed, 211 because of deaths
   nginx.service: 1 request failed
";

#[test]
fn an_incident_reads_as_a_story() {
    assert_eq!(text(&samples(), false), GOLDEN);
}

#[test]
fn colours_change_nothing_but_colours() {
    let coloured = text(&samples(), true);
    assert!(
        coloured.contains("\x1b[1m\x1b[31mOOM\x1b[0m"),
        "{coloured:?}"
    );
    let stripped = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(stripped, GOLDEN);
}

#[test]
fn a_death_has_a_line_unless_its_oom_line_said_it_all() {
    let oom = finding(0, Body::Oom(Box::new(death("a"))));
    let other = Death {
        cause: Cause::Error,
        exit_code: Some(3),
        why: "it exited with status 3".to_owned(),
        ..death("a")
    };
    let other = finding(1, Body::Death(Box::new(other)));
    assert_eq!(
        text(&[oom, other.clone(), other], false),
        "14:30:00.000  OOM   a              node[12345] killed by the kernel: cgroup limit 2.0 GiB reached, peak 1.98 GiB, up 3m12s\n\
         14:30:00.001  EXIT  a              node[12345] it exited with status 3\n\
         14:30:00.001  EXIT  a              node[12345] it exited with status 3\n"
    );
}

#[test]
fn hostile_names_stay_in_their_line() {
    let long = "x".repeat(10_000);
    for name in [
        "\x1b[2J\x1b[1;1Hgone",
        "a\n14:30:00.000  OOM   forged",
        "\u{202e}gpj.exe",
        "\u{2028}\u{85}",
        &long,
    ] {
        let mut all = samples();
        for finding in &mut all {
            rename(&mut finding.body, name);
        }
        let shown = text(&all, false);
        assert_eq!(shown.lines().count(), GOLDEN.lines().count() + 1, "{shown}");
        assert!(shown.lines().all(|line| line.len() < 2_000), "{shown}");
        let forbidden = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2028}".contains(c));
        assert!(!shown.contains(forbidden), "{shown:?}");
    }
}

/// Puts `name` wherever a finding carries text from outside.
fn rename(body: &mut Body, name: &str) {
    let shared: Arc<str> = name.into();
    let socket = Endpoint::Unix(name.into());
    match body {
        Body::Start(start) => {
            start.host = name.to_owned();
            start.kernel = name.to_owned();
            start.blind = vec![name.to_owned()];
        }
        Body::Oom(death) | Body::Death(death) => {
            death.service.name = shared;
            death.process.comm = name.to_owned();
            death.why = name.to_owned();
            // Not what its OOM line said: both are shown.
            death.cause = if death.signal.is_some() {
                Cause::Killed
            } else {
                death.cause
            };
        }
        Body::ListenerDown(change) | Body::ListenerUp(change) => {
            change.service.name = shared;
            change.address = socket;
        }
        Body::ConnectFailed(failure) => {
            failure.proxy.name = Arc::clone(&shared);
            failure.upstream.service = Some(shared);
            failure.upstream.address = socket;
            failure.errno = Some(name.to_owned());
        }
        Body::ConnectionCut(cut) => {
            cut.service.name = shared;
            cut.peer = None;
            cut.peer_address = socket;
        }
        Body::RequestFailed(request) => {
            request.proxy.name = Arc::clone(&shared);
            request.path = Some(name.to_owned());
            request.method = Some(name.to_owned());
            request.client = Some(name.to_owned());
            request.upstream = Some(Upstream {
                address: socket,
                service: Some(shared),
            });
        }
        Body::Incident(incident) => {
            incident.service.name = shared;
            incident.summary = name.to_owned();
            incident.advice = vec![name.to_owned()];
        }
        Body::End(end) => {
            for loss in &mut end.losses {
                loss.service.name = Arc::clone(&shared);
            }
        }
        Body::Mark(mark) => mark.label = name.to_owned(),
        Body::Lost(_) => {}
    }
}

#[test]
fn requests_without_a_response_or_detail_have_words_of_their_own() {
    let with = |change: fn(&mut FailedRequest)| {
        let mut request = request();
        change(&mut request);
        let line = text(&[finding(0, Body::RequestFailed(Box::new(request)))], false);
        line.trim_end().split_at(14).1.to_owned()
    };
    let gone = with(|request| {
        request.status = None;
        request.failure = Failure::ClientGone;
        (request.because, request.upstream) = (None, None);
    });
    assert_eq!(
        gone,
        "499   nginx.service  GET /api/orders/17 ← 203.0.113.9: the client disconnected"
    );
    let unanswered = with(|request| {
        request.status = None;
        request.confidence = Some(Confidence::Guess);
        request.failure = Failure::Cut;
    });
    assert!(
        unanswered.starts_with("NOANS nginx.service  GET"),
        "{unanswered}"
    );
    assert!(
        unanswered.contains("→ probably api.service"),
        "{unanswered}"
    );
    let counted = with(|request| {
        (request.client, request.method, request.path) = (None, None, None);
        request.count = 700;
        request.because = None;
    });
    assert_eq!(
        counted,
        "502   nginx.service  700 requests → api.service 127.0.0.1:3000: connection refused"
    );
}

#[test]
fn a_storm_of_requests_is_twenty_lines_a_second_and_the_rest_by_template() {
    let storm = |second: i64| {
        (0..70).map(move |number| {
            let request = FailedRequest {
                path: Some(format!("/api/orders/{number}")),
                client: Some(format!("203.0.113.{number}")),
                ..request()
            };
            finding(
                second * 1000 + number,
                Body::RequestFailed(Box::new(request)),
            )
        })
    };
    let mut all: Vec<Finding> = storm(1).chain(storm(2)).collect();
    all.push(finding(2900, Body::Incident(Box::new(incident()))));
    let shown = text(&all, false);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 21 + 21 + 2, "{shown}");
    for sum in [lines[20], lines[41]] {
        assert!(
            sum.contains("GET /api/orders/{n} ×50 → api.service"),
            "{sum}"
        );
    }
    assert!(lines[42].starts_with("── incident 1"), "{shown}");
}

#[test]
fn the_reference_shows_exactly_these_lines() {
    let mut out = Vec::new();
    let mut sink = Json::new(&mut out);
    for sample in samples() {
        sink.finding(&sample).unwrap();
    }
    let lines = String::from_utf8(out).unwrap();
    let reference: String = include_str!("../../../../docs/findings.md")
        .lines()
        .filter(|line| line.starts_with("{\"v\":"))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(reference, lines);
}

#[test]
fn every_kind_fits_the_schema() {
    let schema = schema();
    assert_eq!(schema["title"], "tracer finding");
    assert_eq!(
        schema["examples"].as_array().unwrap().len(),
        samples().len()
    );
    let mut kinds = BTreeSet::new();
    for sample in samples() {
        let value = serde_json::to_value(&sample).unwrap();
        kinds.insert(value["kind"].as_str().unwrap().to_owned());
        check(&schema, &schema, &value).unwrap_or_else(|error| panic!("{value}: {error}"));
        let mut broken = value;
        broken.as_object_mut().unwrap().remove("at");
        assert!(check(&schema, &schema, &broken).is_err());
        broken["at"] = "2026-11-22T14:30:00Z".into();
        broken["kind"] = "nonsense".into();
        assert!(check(&schema, &schema, &broken).is_err());
    }
    assert_eq!(kinds.len(), schema["oneOf"].as_array().unwrap().len());
}

/// Validates the part of JSON Schema that schemars uses for findings.
fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root
            .pointer(reference.trim_start_matches('#'))
            .ok_or(reference)?;
        check(root, target, value)?;
    }
    if let Some(wanted) = schema.get("const")
        && wanted != value
    {
        return Err(format!("{value} is not {wanted}"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Err(format!("{value} is not in {allowed:?}"));
    }
    for any in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[any].as_array()
            && !choices
                .iter()
                .any(|choice| check(root, choice, value).is_ok())
        {
            return Err(format!("{value} fits none of {any}"));
        }
    }
    if let Some(types) = schema.get("type") {
        let fits = |name: &Value| match name.as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            _ => false,
        };
        let known = types
            .as_array()
            .map_or_else(|| fits(types), |all| all.iter().any(fits));
        if !known {
            return Err(format!("{value} is no {types}"));
        }
    }
    for field in schema["required"].as_array().into_iter().flatten() {
        let field = field.as_str().unwrap_or_default();
        value.get(field).ok_or(format!("{field} is missing"))?;
    }
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(field) {
            check(root, schema, value)?;
        }
    }
    for item in value.as_array().into_iter().flatten() {
        if let Some(items) = schema.get("items") {
            check(root, items, item)?;
        }
    }
    Ok(())
}
