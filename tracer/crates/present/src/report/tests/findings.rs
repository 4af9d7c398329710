//! A day of a small machine as findings, for snapshots.

use std::sync::Arc;

use tracer_model::{
    Because, Body, Cause, Confidence, ConnectError, ConnectFailure, Cut, Death, End, Endpoint,
    FailedRequest, Failure, Finding, Hook, Incident, IncidentState, ListenerChange, LostEvents,
    LostRequest, LostRequests, Manager, MemoryInfo, Party, ProcessInfo, Ring, RunningService,
    SCHEMA_VERSION, Service, ServiceLoss, Start, Upstream, WallTime, Witness,
};

/// 2026-11-22 08:00:00 UTC.
pub(crate) const START: i64 = 1_795_334_400_000_000_000;
const MS: i64 = 1_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A name that attacks every format.
pub(crate) const HOSTILE: &str = "</svg><script>alert(1)</script>\"onload='alert(2)' \
    `|*x*|` [a](javascript:alert(3)) \u{202e}\x1b[2J=1+1 @all";

pub(crate) fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        manager: Manager::Systemd,
        evidence: format!("cgroup /system.slice/{name}").into(),
    }
}

pub(crate) fn at(at_ms: i64) -> WallTime {
    WallTime(START + at_ms * MS)
}

pub(crate) fn finding(at_ms: i64, body: Body) -> Finding {
    Finding {
        v: SCHEMA_VERSION,
        at: at(at_ms),
        body,
    }
}

fn api() -> Endpoint {
    Endpoint::Tcp("127.0.0.1:3000".parse().unwrap())
}

pub(crate) fn death(name: &str, pid: u32, cause: Cause, why: &str) -> Death {
    Death {
        service: service(name),
        process: ProcessInfo {
            pid,
            ppid: 1,
            ns_pid: None,
            comm: "node".to_owned(),
            cmdline: Some("node --max-old-space-size=4096 server.js".to_owned()),
            uid: 1000,
            uptime_ms: 10_000,
        },
        cause,
        exit_code: None,
        signal: None,
        core_dumped: None,
        by: None,
        memory: MemoryInfo::default(),
        trigger: None,
        why: why.to_owned(),
        incident: None,
    }
}

fn oom(pid: u32, uptime_ms: u64, anon_bytes: u64) -> Death {
    let why = "killed by the kernel: cgroup limit 2.0 GiB reached, peak 1.98 GiB";
    let mut death = death("api.service", pid, Cause::OomCgroup, why);
    death.process.uptime_ms = uptime_ms;
    death.memory = MemoryInfo {
        peak_bytes: Some(anon_bytes + 8_000_000),
        anon_bytes: Some(anon_bytes),
        limit_bytes: Some(2 << 30),
        limit_cgroup: Some("/system.slice/api.service".to_owned()),
    };
    death
}

fn listener(name: &str, address: Endpoint, incident: u64) -> ListenerChange {
    ListenerChange {
        service: service(name),
        address,
        netns: None,
        process: None,
        down_ms: None,
        incident: Some(incident),
    }
}

pub(crate) fn incident(id: u64, name: &str, cause: Cause, opened_ms: i64) -> Incident {
    Incident {
        id,
        state: IncidentState::Open,
        service: service(name),
        cause,
        summary: "OOM (cgroup limit 2.0 GiB)".to_owned(),
        opened: at(opened_ms),
        closed: None,
        down_ms: None,
        deaths: 1,
        connects_failed: 0,
        connections_cut: 0,
        requests_failed: 0,
        requests: Vec::new(),
        requests_by_template: Vec::new(),
        crash_loop: false,
        advice: vec![
            "node's heap may grow to about 4.0 GiB in a cgroup of 2.0 GiB: set --max-old-space-size to 1536".to_owned(),
            "raise MemoryMax= or find what grows: systemctl show -p MemoryMax api.service".to_owned(),
        ],
    }
}

/// An OOM kill of the API: chosen, died, not listening, recovered.
struct Outage {
    id: u64,
    pid: u32,
    began_ms: i64,
    down_ms: i64,
    uptime_ms: u64,
    anon_bytes: u64,
}

impl Outage {
    fn push(&self, effects: Vec<Finding>, closing: Incident, out: &mut Vec<Finding>) {
        let Self {
            id,
            pid,
            began_ms: t,
            down_ms,
            ..
        } = *self;
        let chosen = oom(pid, self.uptime_ms, self.anon_bytes);
        let killed = Death {
            signal: Some("SIGKILL".to_owned()),
            core_dumped: Some(false),
            incident: Some(id),
            trigger: Some(Party {
                pid: pid + 1,
                comm: "node".to_owned(),
                service: Some("api.service".into()),
            }),
            ..chosen.clone()
        };
        let open = incident(id, "api.service", Cause::OomCgroup, t + 6);
        let down = listener("api.service", api(), id);
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let lasted = down_ms as f64;
        let up = ListenerChange {
            process: Some(Party {
                pid: pid + 90,
                comm: "node".to_owned(),
                service: None,
            }),
            down_ms: Some(lasted),
            ..down.clone()
        };
        let closed = Incident {
            state: IncidentState::Closed,
            closed: Some(at(t + 6 + down_ms)),
            down_ms: Some(lasted),
            ..closing
        };
        out.push(finding(t, Body::Oom(Box::new(chosen))));
        out.push(finding(t + 6, Body::Death(Box::new(killed))));
        out.push(finding(t + 6, Body::Incident(Box::new(open))));
        out.push(finding(t + 7, Body::ListenerDown(down)));
        out.extend(effects);
        out.push(finding(t + 6 + down_ms, Body::ListenerUp(up)));
        out.push(finding(t + 6 + down_ms, Body::Incident(Box::new(closed))));
    }
}

fn because(id: u64, pid: u32, after_ms: i64) -> Because {
    Because {
        incident: id,
        death: Some(pid),
        cause: Some(Cause::OomCgroup),
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        after_ms: after_ms as f64,
        sentence: "api.service was OOM-killed before".to_owned(),
    }
}

fn upstream(name: Option<&str>) -> Upstream {
    Upstream {
        address: api(),
        service: name.map(Arc::from),
    }
}

fn refused(id: u64, pid: u32, after_ms: i64, count: u64) -> Body {
    Body::ConnectFailed(Box::new(ConnectFailure {
        proxy: service("nginx.service"),
        process: Party {
            pid: 811,
            comm: "nginx".to_owned(),
            service: Some("nginx.service".into()),
        },
        upstream: upstream(Some("api.service")),
        error: ConnectError::Refused,
        errno: None,
        count,
        elapsed_ms: Some(0.04),
        because: Some(because(id, pid, after_ms)),
    }))
}

fn lost(index: i64, id: u64, pid: u32, after_ms: i64) -> FailedRequest {
    let (method, path) = match index % 5 {
        0 | 3 => ("GET", format!("/api/orders/{}", 1000 + index)),
        1 => ("POST", "/api/checkout".to_owned()),
        2 => ("GET", "/api/cart".to_owned()),
        _ => ("GET", format!("/api/users/{}/avatar", 7 + index)),
    };
    let cut = after_ms < 10;
    FailedRequest {
        proxy: service("nginx.service"),
        client: Some(format!("203.0.113.{}", 10 + index % 40)),
        forwarded_for: None,
        method: Some(method.to_owned()),
        host: Some("shop.example".to_owned()),
        path: Some(path),
        status: Some(502),
        latency_ms: Some(if cut { 812.5 } else { 0.6 }),
        count: 1,
        upstream: Some(upstream(Some("api.service"))),
        confidence: Some(Confidence::Certain),
        failure: if cut { Failure::Cut } else { Failure::Refused },
        because: Some(because(id, pid, after_ms)),
        evidence: vec![Witness::Http, Witness::Log],
    }
}

fn in_list(at_ms: i64, request: &FailedRequest) -> LostRequest {
    LostRequest {
        at: at(at_ms),
        client: request.client.clone(),
        method: request.method.clone(),
        path: request.path.clone(),
        status: request.status,
        failure: request.failure,
    }
}

/// The day.
pub(crate) fn day() -> Vec<Finding> {
    let mut all = vec![finding(0, Body::Start(start()))];
    quiet_morning(&mut all);
    for (index, hour) in (0_u32..).zip([1, 3, 5]) {
        let outage = Outage {
            id: u64::from(index) + 1,
            pid: 9_000 + 1_000 * index,
            began_ms: hour * HOUR,
            down_ms: 900 + 100 * i64::from(index),
            uptime_ms: 2 * 3_600_000 + 60_000 * u64::from(index),
            anon_bytes: 2_110_000_000 + 4_000_000 * u64::from(index),
        };
        let closing = incident(
            outage.id,
            "api.service",
            Cause::OomCgroup,
            outage.began_ms + 6,
        );
        outage.push(Vec::new(), closing, &mut all);
    }
    noon(&mut all);
    crash_loop(&mut all);
    hostile(&mut all);
    all.push(finding(
        7 * HOUR,
        Body::Lost(LostEvents {
            ring: Ring::Traffic,
            count: 12,
            since: at(7 * HOUR - 5_000),
        }),
    ));
    all.push(finding(8 * HOUR, Body::End(end())));
    all
}

fn start() -> Start {
    let hook = |name: &str, via: Option<&str>, why: Option<&str>| Hook {
        name: name.to_owned(),
        via: via.map(str::to_owned),
        ok: via.is_some(),
        why: why.map(str::to_owned),
    };
    Start {
        version: "0.1.0".to_owned(),
        kernel: "6.1.0-18-amd64".to_owned(),
        host: "web1".to_owned(),
        hooks: vec![
            hook("exit", Some("raw_tracepoint sched_process_exit"), None),
            hook("oom_mark", Some("raw_tracepoint mark_victim"), None),
            hook(
                "unix_connect",
                None,
                Some("fentry and kprobes are refused by the kernel's lockdown"),
            ),
        ],
        services: vec![RunningService {
            service: service("api.service"),
            processes: 1,
            listens: vec![api()],
        }],
        blind: vec!["failed connects to unix sockets".to_owned()],
    }
}

/// Deaths without an incident, and failures that no death explains.
fn quiet_morning(all: &mut Vec<Finding>) {
    let mut backup = death(
        "backup.service",
        4_100,
        Cause::Clean,
        "exited cleanly, up 10.0 s",
    );
    backup.exit_code = Some(0);
    backup.process.comm = "restic".to_owned();
    all.push(finding(12 * MINUTE, Body::Death(Box::new(backup))));
    let mut cron = death(
        "cron.service",
        4_200,
        Cause::Error,
        "exited with status 2, up 310 ms",
    );
    cron.exit_code = Some(2);
    cron.process.comm = "report.sh".to_owned();
    all.push(finding(30 * MINUTE, Body::Death(Box::new(cron))));
    for minute in 0..3 {
        let request = FailedRequest {
            failure: Failure::Answered,
            status: Some(500),
            because: None,
            upstream: Some(upstream(Some("api.service"))),
            path: Some("/api/report".to_owned()),
            ..lost(0, 0, 0, 100)
        };
        all.push(finding(
            (40 + minute) * MINUTE,
            Body::RequestFailed(Box::new(request)),
        ));
    }
}

/// The most costly incident: 42 failed requests in 3.33 s.
fn noon(all: &mut Vec<Finding>) {
    let t = 6 * HOUR + 30 * MINUTE + 1_482;
    let (id, pid) = (4, 12_345);
    let mut effects = vec![finding(
        t + 8,
        Body::ConnectionCut(Box::new(Cut {
            service: service("api.service"),
            peer: Some(service("nginx.service")),
            address: api(),
            peer_address: Endpoint::Tcp("127.0.0.1:41234".parse().unwrap()),
            count: 3,
            pid,
            incident: Some(id),
        })),
    )];
    let mut list = Vec::new();
    for index in 0..42 {
        let after = if index < 3 {
            4 + index
        } else {
            60 + index * 75
        };
        let request = lost(index, id, pid, after);
        if index >= 3 {
            effects.push(finding(t + 6 + after, refused(id, pid, after, 5)));
        }
        list.push(in_list(t + 6 + after, &request));
        effects.push(finding(
            t + 6 + after,
            Body::RequestFailed(Box::new(request)),
        ));
    }
    effects.sort_by_key(|finding| finding.at);
    let template = |method: &str, template: &str, count| LostRequests {
        method: Some(method.to_owned()),
        template: Some(template.to_owned()),
        status: Some(502),
        count,
    };
    let closing = Incident {
        requests_failed: 42,
        connects_failed: 195,
        connections_cut: 3,
        requests: list,
        requests_by_template: vec![
            template("GET", "/api/orders/{n}", 17),
            template("POST", "/api/checkout", 9),
            template("GET", "/api/cart", 8),
            template("GET", "/api/users/{n}/avatar", 8),
        ],
        ..incident(id, "api.service", Cause::OomCgroup, t + 6)
    };
    let outage = Outage {
        id,
        pid,
        began_ms: t,
        down_ms: 3_330,
        uptime_ms: 90 * 60_000,
        anon_bytes: 2_118_123_520,
    };
    outage.push(effects, closing, all);
}

/// A worker that cannot start and is still down at the end.
fn crash_loop(all: &mut Vec<Finding>) {
    let t = 7 * HOUR + 10 * MINUTE;
    for index in 0..6_i64 {
        let mut death = death(
            "worker.service",
            u32::try_from(20_000 + index).unwrap(),
            Cause::Error,
            "exited with status 1, up 300 ms",
        );
        death.exit_code = Some(1);
        death.process.comm = "python3".to_owned();
        death.process.cmdline = Some("python3 -m worker --queue=mail".to_owned());
        death.process.uptime_ms = 300;
        death.incident = Some(5);
        all.push(finding(t + index * 1_500, Body::Death(Box::new(death))));
    }
    let open = Incident {
        summary: "exit status 1".to_owned(),
        deaths: 6,
        crash_loop: true,
        down_ms: Some(4_000.0),
        advice: vec!["read its own log: journalctl -u worker.service".to_owned()],
        ..incident(5, "worker.service", Cause::Error, t)
    };
    all.push(finding(t + 8_000, Body::Incident(Box::new(open))));
}

/// An incident whose every text comes from an attacker.
fn hostile(all: &mut Vec<Finding>) {
    let t = 7 * HOUR + 40 * MINUTE;
    let name = HOSTILE;
    let mut death = death(name, 31_337, Cause::Crash, HOSTILE);
    death.process.comm = HOSTILE.to_owned();
    death.process.cmdline = Some(HOSTILE.to_owned());
    death.memory.limit_cgroup = Some(HOSTILE.to_owned());
    death.memory.peak_bytes = Some(50 << 20);
    death.memory.limit_bytes = Some(1 << 30);
    death.signal = Some("SIGSEGV".to_owned());
    death.incident = Some(6);
    all.push(finding(t, Body::Death(Box::new(death))));
    let socket = Endpoint::Unix(format!("/run/{HOSTILE}").into());
    let down = ListenerChange {
        service: service(name),
        ..listener(name, socket, 6)
    };
    all.push(finding(t + 1, Body::ListenerDown(down.clone())));
    let request = FailedRequest {
        proxy: service(name),
        client: Some(HOSTILE.to_owned()),
        method: Some(HOSTILE.to_owned()),
        path: Some(format!("/{HOSTILE}")),
        upstream: Some(upstream(Some(name))),
        because: Some(because(6, 31_337, 20)),
        ..lost(0, 6, 31_337, 20)
    };
    all.push(finding(t + 20, Body::RequestFailed(Box::new(request))));
    all.push(finding(t + 900, Body::ListenerUp(down)));
    let closed = Incident {
        state: IncidentState::Closed,
        closed: Some(at(t + 900)),
        down_ms: Some(899.0),
        summary: HOSTILE.to_owned(),
        requests_failed: 1,
        advice: vec![HOSTILE.to_owned()],
        ..incident(6, name, Cause::Crash, t)
    };
    all.push(finding(t + 900, Body::Incident(Box::new(closed))));
}

fn end() -> End {
    End {
        duration_ms: 8 * 3_600_000,
        exits: 412,
        deaths: 13,
        oom_kills: 4,
        connects_failed: 195,
        connections_cut: 3,
        requests_failed: 46,
        losses: vec![ServiceLoss {
            service: service("api.service"),
            requests_failed: 45,
            because_of_deaths: 42,
        }],
        log_lines_unread: 2,
        incidents: 6,
        incidents_open: 1,
        lost: 12,
    }
}
