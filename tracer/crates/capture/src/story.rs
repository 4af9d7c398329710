//! Observations for tests: a machine with a proxy and a worker, the worker's death and its effects.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tracer_model::{
    Actor, ClockAnchor, Comm, ConnectError, ConnectFailed, Connected, ContainerFacts, Endpoint,
    Exit, ExitStatus, Failure, Hook, HttpCounted, HttpEnd, HttpExchange, Listener, LogEntry,
    Observation, OomReport, OomScope, OomVictim, Phase, ProcessFacts, ProcessKey, ProxyKind,
    Request, Ring, Session, Side, SocketId, TaskFacts, Timestamp, WallTime, What, Witness,
    Witnesses,
};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MS;

pub fn worker() -> ProcessKey {
    ProcessKey {
        pid: 700,
        start_ticks: 1000,
    }
}

pub fn proxy() -> ProcessKey {
    ProcessKey {
        pid: 800,
        start_ticks: 900,
    }
}

pub fn seen(at_ns: u64, what: What) -> Observation {
    Observation {
        at: Timestamp(at_ns),
        what,
    }
}

pub fn session() -> Session {
    Session {
        tracer_version: "0.1.0".into(),
        kernel: "6.1.0".into(),
        host: "vps".into(),
        boot_id: "8b6c6a4e-53d8-4a65-9c2e-0b6f0d5ab0cd".into(),
        clock: ClockAnchor {
            boot: Timestamp(60 * SECOND),
            wall: WallTime(1_767_225_600_000_000_000), // 2026-01-01T00:00:00Z
        },
        page_bytes: 4096,
        memory_bytes: 1 << 30,
        hooks: vec![Hook {
            name: "exit".into(),
            via: Some("raw_tracepoint sched_process_exit".into()),
            ok: true,
            why: None,
        }],
        blind: vec!["requests over HTTP/3".into()],
    }
}

fn task(key: ProcessKey, comm: &str) -> TaskFacts {
    TaskFacts {
        key,
        ppid: 1,
        ns_pid: key.pid,
        uid: 33,
        cgroup: 42,
        comm: Comm::new(comm),
    }
}

pub fn process(key: ProcessKey, comm: &str, args: &[&str], unit: &str) -> What {
    What::Process(Box::new(ProcessFacts {
        task: task(key, comm),
        args: args.iter().map(|arg| (*arg).into()).collect(),
        exe: Some(format!("/usr/bin/{comm}").into()),
        cwd: Some("/srv".into()),
        cgroup_path: Some(format!("/system.slice/{unit}").into()),
        netns: 7,
        ..ProcessFacts::default()
    }))
}

pub fn upstream() -> Endpoint {
    Endpoint::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000)
}

pub fn listens(socket: SocketId, holder: ProcessKey) -> Listener {
    Listener {
        socket,
        netns: 7,
        address: upstream(),
        holders: [holder].into(),
    }
}

fn actor(key: ProcessKey, comm: &str) -> Actor {
    Actor {
        key,
        tid: key.pid,
        comm: Comm::new(comm),
        uid: 33,
    }
}

pub fn refused(at_ns: u64) -> Observation {
    let failed = ConnectFailed {
        owner: actor(proxy(), "nginx"),
        netns: 7,
        remote: upstream(),
        error: ConnectError::Refused,
        errno: 111,
        elapsed: Duration::from_micros(30),
        count: 1,
    };
    seen(at_ns, What::ConnectFailed(Box::new(failed)))
}

/// The machine before the outage.
pub fn start() -> Vec<Observation> {
    let at = 60 * SECOND;
    let scanned = listens(SocketId::Scanned(5), worker());
    vec![
        seen(
            at,
            What::Cgroup {
                id: 42,
                path: "/system.slice/api.service".into(),
                memory_limit_bytes: Some(64 << 20),
            },
        ),
        seen(
            at,
            process(
                proxy(),
                "nginx",
                &["nginx: master process"],
                "nginx.service",
            ),
        ),
        seen(
            at,
            process(worker(), "node", &["node", "worker.js"], "api.service"),
        ),
        seen(
            at,
            What::ListenersScanned {
                netns: 7,
                unix: false,
                listeners: [scanned].into(),
            },
        ),
        seen(at, What::Session(Box::new(session()))),
        seen(at + MS, What::Armed),
    ]
}

/// The worker's death and its effects.
pub fn outage() -> Vec<Observation> {
    let at = 70 * SECOND;
    let down = What::ListenerDown {
        socket: SocketId::Kernel(0xffff_8880_0000_1000),
        netns: 7,
        address: upstream(),
        by: actor(worker(), "node"),
        exiting: true,
    };
    let victim = OomVictim {
        task: task(worker(), "node"),
        trigger: actor(worker(), "node"),
        trigger_cgroup: 42,
        scope: Some(OomScope::Cgroup {
            id: 42,
            path: None,
            limit_bytes: Some(64 << 20),
        }),
        full_cgroup: None,
        anon_bytes: Some(63 << 20),
        file_bytes: None,
    };
    let exit = Exit {
        task: task(worker(), "node"),
        parent: ProcessKey {
            pid: 1,
            start_ticks: 0,
        },
        status: ExitStatus::Signal {
            signal: 9,
            core_dumped: false,
        },
        peak_bytes: 65 << 20,
        oom_victim: true,
        oom_trigger: Some(Box::new(actor(worker(), "node"))),
        stop: None,
        other: None,
    };
    vec![
        seen(at, What::OomVictim(Box::new(victim))),
        seen(at + 8 * MS, What::Exited(exit)),
        seen(
            at + 8 * MS,
            What::ConnectionCut {
                owner: actor(worker(), "node"),
                netns: 7,
                local: upstream(),
                remote: Endpoint::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000),
            },
        ),
        seen(at + 9 * MS, down),
        refused(at + 20 * MS),
        refused(at + 40 * MS),
    ]
}

/// The worker is back as another process.
pub fn recovery() -> Vec<Observation> {
    let at = 73 * SECOND;
    let fresh = ProcessKey {
        pid: 900,
        start_ticks: 7300,
    };
    vec![
        seen(at - SECOND, What::Tick),
        seen(
            at,
            What::Forked {
                child: task(fresh, "systemd"),
                parent: ProcessKey {
                    pid: 1,
                    start_ticks: 0,
                },
            },
        ),
        seen(
            at,
            What::Executed {
                task: task(fresh, "node"),
                args: ["node".into(), "worker.js".into()].into(),
            },
        ),
        seen(
            at,
            process(fresh, "node", &["node", "worker.js"], "api.service"),
        ),
        seen(
            at + 500 * MS,
            What::ListenerUp(listens(SocketId::Kernel(0xffff_8880_0000_2000), fresh)),
        ),
    ]
}

pub fn end() -> Observation {
    seen(80 * SECOND, What::End)
}

/// The whole story.
pub fn whole() -> Vec<Observation> {
    [start(), outage(), recovery(), vec![end()]].concat()
}

/// One observation of every kind that the story lacks.
fn asides() -> Vec<Observation> {
    let at = 75 * SECOND;
    let request = Request {
        method: "GET".into(),
        target: "/api/orders/17".into(),
        host: Some("shop.example".into()),
        forwarded_for: Some("203.0.113.9".into()),
    };
    let listen = Endpoint::tcp(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);
    let client = Endpoint::tcp(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 41_000);
    let exchange = HttpExchange {
        witness: Witness::Http,
        side: Side::Inbound,
        actor: actor(proxy(), "nginx"),
        netns: 7,
        local: Some(listen.clone()),
        remote: Some(client),
        request: Some(request.clone()),
        began: Timestamp(at - 30 * MS),
        end: HttpEnd::Status(502),
        connected: Some(Connected {
            at: Timestamp(at - 20 * MS),
            remote: upstream(),
            result: Some(Err(ConnectError::Refused)),
        }),
    };
    let entry = LogEntry {
        proxy: proxy(),
        format: Some(ProxyKind::Nginx),
        pid: Some(800),
        tid: Some(800),
        connection: Some(57),
        client: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9))),
        client_port: None,
        request: Some(request),
        http1: Some(true),
        upstream: Some(upstream()),
        upstream_name: Some("backend".into()),
        status: None,
        failure: Failure::Refused,
        phase: Phase::Connecting,
        elapsed: None,
        ended: None,
    };
    let container = ContainerFacts {
        id: "0123456789abcdef".repeat(4).into(),
        name: "shop-db-1".into(),
        engine: "docker".into(),
        compose: Some(("shop".into(), "db".into())),
        addresses: [IpAddr::V4(Ipv4Addr::new(172, 18, 0, 2))].into(),
        published: [(([127, 0, 0, 1], 5432).into(), 5432)].into(),
    };
    let report = OomReport {
        victim: 700,
        comm: "node".into(),
        scope: OomScope::Global,
        task_cgroup: Some("/system.slice/api.service".into()),
    };
    let hook = Hook {
        name: "http".into(),
        via: Some("cgroup_skb on the proxies' cgroups".into()),
        ok: true,
        why: None,
    };
    let witnesses = Witnesses {
        proxy: proxy(),
        http: true,
        tls: false,
        log: true,
    };
    let counted = HttpCounted {
        netns: 7,
        local: listen,
        status: 503,
        count: 12,
    };
    let lost = What::Lost {
        ring: Ring::Traffic,
        count: 3,
    };
    [
        What::Clock(session().clock),
        What::Witnesses(witnesses),
        What::Hook(Box::new(hook)),
        What::Container(Box::new(container)),
        What::OomReported(Box::new(report)),
        What::ProxyLog(Arc::new(entry)),
        What::Http(Box::new(exchange)),
        What::HttpCounted(Box::new(counted)),
        What::LogLinesUnread(2),
        What::Mark("deploy 42".into()),
        What::Vanished(worker()),
        lost,
    ]
    .into_iter()
    .map(|what| seen(at, what))
    .collect()
}

/// The whole story and one observation of every other kind: the content of the format's samples.
pub fn everything() -> Vec<Observation> {
    [start(), outage(), recovery(), asides(), vec![end()]].concat()
}
