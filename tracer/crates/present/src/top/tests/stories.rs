//! What the screens of the tests show: findings as analysis would report them.

use tracer_analysis::world::ServiceView;
use tracer_model::{
    Because, Body, Cause, ConnectError, ConnectFailure, Cut, Death, Endpoint, FailedRequest,
    Failure, Finding, Incident, IncidentState, ListenerChange, LostEvents, Manager, MemoryInfo,
    Party, ProcessInfo, ProxyKind, Ring, RunningService, Service, Start, Upstream, WallTime,
    Witness,
};

use crate::top::{Sample, Screen};

/// 2026-11-22 14:30:00 UTC.
const START: i64 = 1_795_357_800_000_000_000;

/// Names that want to do harm.
pub(super) const HOSTILE: [&str; 7] = [
    "\x1b[2J\x1b]0;owned\x07",
    "two\nlines\r\t",
    "\u{202e}gpj.exe\u{2066}",
    "界界界界界界界界界界界界界界界界界界界界界界界界界界界界界界界界界界界界",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "👩‍👩‍👧‍👦👩‍👩‍👧‍👦 \u{200b}\u{feff}\u{fe0f}️⃣",
    concat!(
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    ),
];

fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        manager: Manager::Systemd,
        evidence: "cgroup".into(),
    }
}

fn at(ms: i64) -> WallTime {
    WallTime(START + ms * 1_000_000)
}

fn show(screen: &mut Screen, ms: i64, body: Body) {
    screen.found(&Finding {
        v: 1,
        at: at(ms),
        body,
    });
}

fn tcp(port: u16) -> Endpoint {
    Endpoint::tcp([127, 0, 0, 1].into(), port)
}

fn sample(name: &str, ports: &[u16], mib: u64, limit_mib: Option<u64>) -> Sample {
    Sample {
        view: ServiceView {
            service: service(name),
            role: name.starts_with("nginx").then_some(ProxyKind::Nginx),
            pids: vec![100, 101],
            listens: ports.iter().map(|port| tcp(*port)).collect(),
            limit_bytes: limit_mib.map(|mib| mib << 20),
        },
        memory_bytes: Some(mib << 20),
    }
}

fn start(screen: &mut Screen) {
    let running = |name: &str, port| RunningService {
        service: service(name),
        processes: 2,
        listens: vec![tcp(port)],
    };
    let body = Start {
        version: "0.1.0".into(),
        kernel: "6.12.0-amd64".into(),
        host: "shop-1".into(),
        hooks: Vec::new(),
        services: vec![running("api.service", 3000), running("nginx.service", 80)],
        blind: Vec::new(),
    };
    show(screen, 0, Body::Start(body));
}

fn samples(screen: &mut Screen, ms: i64, api_mib: Option<u64>) {
    let mut all = vec![
        sample("nginx.service", &[80, 443], 24, None),
        sample("postgresql.service", &[5432], 310, Some(1024)),
        sample("redis.service", &[6379], 12, Some(256)),
        sample("worker.service", &[], 96, Some(128)),
    ];
    if let Some(mib) = api_mib {
        all.push(sample("api.service", &[3000], mib, Some(2048)));
    }
    screen.sampled(at(ms), &all);
}

/// Services that run.
pub(super) fn quiet(screen: &mut Screen) {
    start(screen);
    for second in 0..90_u8 {
        samples(
            screen,
            i64::from(second) * 1000,
            Some(400 + u64::from(second)),
        );
    }
}

/// A worker is OOM-killed, requests fail; when `over`, it comes back after two seconds.
pub(super) fn incident(screen: &mut Screen, over: bool) {
    start(screen);
    for second in 0..40_u8 {
        samples(
            screen,
            i64::from(second) * 1000,
            Some(800 + 32 * u64::from(second)),
        );
    }
    outage(screen, "api.service", 40_000, 1);
    samples(screen, 41_000, None);
    samples(screen, 42_000, None);
    if over {
        recovery(screen, "api.service", 42_020, 1);
        samples(screen, 43_000, Some(90));
    }
}

/// The same with a name that wants to do harm in every place that has one.
pub(super) fn many(screen: &mut Screen, name: &str) {
    start(screen);
    for id in 1..30_u8 {
        let name = format!("{name}{}", id % 3);
        let ms = i64::from(id) * 3_000;
        screen.sampled(at(ms), &[sample(&name, &[3000], 100, Some(101))]);
        outage(screen, &name, ms, id.into());
        if id < 28 {
            recovery(screen, &name, ms + 2_000, id.into());
        }
    }
}

/// Something, chosen by two numbers.
pub(super) fn any(screen: &mut Screen, a: u16, b: u16) {
    let name = HOSTILE[usize::from(a) % HOSTILE.len()];
    let ms = i64::from(b) * 37 - 200_000;
    match a % 5 {
        0 => outage(screen, name, ms, (a % 7).into()),
        1 => recovery(screen, name, ms, (a % 7).into()),
        2 => screen.sampled(at(ms), &[sample(name, &[a, b], b.into(), Some(a.into()))]),
        3 => many(screen, name),
        _ => {
            let body = LostEvents {
                ring: Ring::Traffic,
                count: u64::MAX,
                since: WallTime(i64::MIN),
            };
            show(screen, ms, Body::Lost(body));
        }
    }
}

fn outage(screen: &mut Screen, name: &str, ms: i64, id: u64) {
    let death = Death {
        service: service(name),
        process: ProcessInfo {
            pid: 12_345,
            ppid: 1,
            ns_pid: None,
            comm: name.chars().take(15).collect(),
            cmdline: None,
            uid: 1000,
            uptime_ms: 192_000,
        },
        cause: Cause::OomCgroup,
        exit_code: None,
        signal: Some("SIGKILL".into()),
        core_dumped: Some(false),
        by: None,
        memory: MemoryInfo {
            peak_bytes: Some(2_126_008_811),
            limit_bytes: Some(2 << 30),
            ..MemoryInfo::default()
        },
        trigger: None,
        why: format!("killed by the kernel: cgroup limit 2.0 GiB of {name} reached, peak 1.98 GiB"),
        incident: Some(id),
    };
    let change = ListenerChange {
        service: service(name),
        address: tcp(3000),
        netns: None,
        process: None,
        down_ms: None,
        incident: Some(id),
    };
    let cut = Cut {
        service: service(name),
        peer: Some(service("nginx.service")),
        address: tcp(3000),
        peer_address: tcp(41_000),
        count: 2,
        pid: 12_345,
        incident: Some(id),
    };
    show(screen, ms, Body::Death(Box::new(death)));
    show(
        screen,
        ms,
        Body::Incident(Box::new(story(name, ms, id, None))),
    );
    show(screen, ms + 8, Body::ConnectionCut(Box::new(cut)));
    show(screen, ms + 8, Body::ListenerDown(change));
    for step in 0..14 {
        failure(screen, name, ms + 9 + step * 140, id, step);
    }
}

/// A connect to the dead service is refused, and with it a request fails.
fn failure(screen: &mut Screen, name: &str, ms: i64, id: u64, step: i64) {
    let because = Because {
        incident: id,
        death: Some(12_345),
        cause: Some(Cause::OomCgroup),
        after_ms: 9.0,
        sentence: "api.service died 9.00 ms earlier: OOM".into(),
    };
    let upstream = Upstream {
        address: tcp(3000),
        service: Some(name.into()),
    };
    let failure = ConnectFailure {
        proxy: service("nginx.service"),
        process: Party {
            pid: 77,
            comm: "nginx".into(),
            service: None,
        },
        upstream: upstream.clone(),
        error: ConnectError::Refused,
        errno: None,
        count: 1,
        elapsed_ms: None,
        because: Some(because.clone()),
    };
    let request = FailedRequest {
        proxy: service("nginx.service"),
        client: Some("203.0.113.7".into()),
        forwarded_for: None,
        method: Some(if step % 3 == 0 { "POST" } else { "GET" }.into()),
        host: Some("shop.example".into()),
        path: Some(format!("/api/orders/{step}")),
        status: Some(502),
        latency_ms: Some(1.5),
        count: 1,
        upstream: Some(upstream),
        confidence: None,
        failure: Failure::Refused,
        because: Some(because),
        evidence: vec![Witness::Http],
    };
    show(screen, ms, Body::ConnectFailed(Box::new(failure)));
    show(screen, ms, Body::RequestFailed(Box::new(request)));
}

fn recovery(screen: &mut Screen, name: &str, ms: i64, id: u64) {
    let change = ListenerChange {
        service: service(name),
        address: tcp(3000),
        netns: None,
        process: None,
        down_ms: Some(2012.0),
        incident: Some(id),
    };
    show(screen, ms, Body::ListenerUp(change));
    let over = story(name, ms - 2_020, id, Some(at(ms)));
    show(screen, ms, Body::Incident(Box::new(over)));
}

fn story(name: &str, ms: i64, id: u64, closed: Option<WallTime>) -> Incident {
    Incident {
        id,
        state: match closed {
            Some(_) => IncidentState::Closed,
            None => IncidentState::Open,
        },
        service: service(name),
        cause: Cause::OomCgroup,
        summary: format!(
            "OOM (cgroup limit 2.0 GiB{})",
            if name.len() > 20 { name } else { "" }
        ),
        opened: at(ms),
        closed,
        down_ms: closed.map(|_| 2012.0),
        deaths: u64::from(closed.is_some()),
        connects_failed: if closed.is_some() { 14 } else { 0 },
        connections_cut: if closed.is_some() { 2 } else { 0 },
        requests_failed: if closed.is_some() { 14 } else { 0 },
        requests: Vec::new(),
        requests_by_template: Vec::new(),
        crash_loop: false,
        advice: vec![
            "raise MemoryMax= of api.service, or find what grows".into(),
            "limit the number of workers so that all of them together fit under the limit".into(),
        ],
    }
}
