//! What a line of a proxy's error log costs in a storm of 502 answers, and how often it allocates:
//! to read it, and to match it with the requests that the kernel reported.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails says so by panicking"
)]

mod counting;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tracer_analysis::rules::Rules;
use tracer_analysis::{Analysis, Options};
use tracer_model::{
    Actor, ClockAnchor, Comm, Endpoint, Exit, ExitStatus, Finding, HttpCounted, HttpEnd,
    HttpExchange, Listener, LogEntry, Observation, Pid, ProcessFacts, ProcessKey, ProxyKind,
    Request, Session, Side, SocketId, TaskFacts, Timestamp, WallTime, What, Witness, Witnesses,
};
use tracer_proxylog::{Line, profile_of};

const NETNS: u32 = 4_026_531_840;
/// One second of the storm.
const LINES: u64 = 50_000;
const APART_NS: u64 = 20_000;
const BEGAN_NS: u64 = 1_000_000_000;
/// The kernel sends one of this many requests in detail, and counts the others.
const DETAIL_EVERY: u64 = 50;
/// So many lines are read together, well after their requests failed.
const ROUND: u64 = 1_000;
const CLIENTS: u64 = 32;

const MASTER: Pid = 5168;
const WORKERS: [Pid; 2] = [5169, 5170];
const UPSTREAM: Pid = 6000;

/// Requests that went well.
const TRAEFIK: &str = "127.0.0.1 - - [27/Nov/2026:21:06:54 +0000] \"GET /api/orders/7 HTTP/1.1\" 200 \
    312 \"-\" \"-\" 1 \"shop@file\" \"http://127.0.0.1:9101\" 4ms";
const ENVOY: &str = "[2026-11-27T21:08:59.235Z] \"GET /api/orders/7 HTTP/1.1\" 200 - 0 312 4 3 \"-\" \
    \"curl/7.88.1\" \"adf42ebd-2d4f-4225-8bc7-e870385ea98b\" \"shop.example\" \"127.0.0.1:9101\"";

/// What the storm's requests are.
#[derive(Clone, Copy)]
enum Storm {
    /// Of connections that are kept alive, for one and the same thing.
    Same,
    /// Each of a connection of its own, for something else.
    Different,
}

fn key(pid: Pid) -> ProcessKey {
    ProcessKey {
        pid,
        start_ticks: 144_000 + u64::from(pid),
    }
}

fn task(pid: Pid, parent: Pid, comm: &str) -> TaskFacts {
    TaskFacts {
        key: key(pid),
        ppid: parent,
        ns_pid: pid,
        uid: 33,
        cgroup: 4000,
        comm: Comm::new(comm),
    }
}

fn process(pid: Pid, parent: Pid, comm: &str, unit: &str) -> What {
    What::Process(Box::new(ProcessFacts {
        task: task(pid, parent, comm),
        args: [comm.into()].into(),
        exe: Some(format!("/usr/sbin/{comm}").into()),
        cgroup_path: Some(format!("/system.slice/{unit}.service").into()),
        netns: NETNS,
        ..ProcessFacts::default()
    }))
}

fn local(port: u16) -> Endpoint {
    Endpoint::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn listens(port: u16, holders: &[Pid]) -> What {
    What::ListenerUp(Listener {
        socket: SocketId::Kernel(u64::from(port)),
        netns: NETNS,
        address: local(port),
        holders: holders.iter().map(|&pid| key(pid)).collect(),
    })
}

/// nginx, whose requests and log are followed, and its upstream, which was killed.
fn machine() -> Analysis {
    let options = Options {
        own_netns: NETNS,
        ..Options::default()
    };
    let mut analysis = Analysis::new(Rules::none(), options);
    let mut what = vec![
        What::Session(Box::new(Session {
            clock: ClockAnchor {
                boot: Timestamp(0),
                wall: WallTime(1_767_225_600_000_000_000),
            },
            ..Session::default()
        })),
        process(MASTER, 1, "nginx", "nginx"),
        process(WORKERS[0], MASTER, "nginx", "nginx"),
        process(WORKERS[1], MASTER, "nginx", "nginx"),
        process(UPSTREAM, 1, "node", "orders"),
        listens(80, &[MASTER, WORKERS[0], WORKERS[1]]),
        listens(9102, &[UPSTREAM]),
    ];
    for pid in [MASTER, WORKERS[0], WORKERS[1]] {
        what.push(What::Witnesses(Witnesses {
            proxy: key(pid),
            http: true,
            tls: false,
            log: true,
        }));
    }
    what.push(What::Armed);
    what.push(What::Exited(Exit {
        task: task(UPSTREAM, 1, "node"),
        parent: key(1),
        status: ExitStatus::Signal {
            signal: 9,
            core_dumped: false,
        },
        peak_bytes: 4 << 20,
        oom_victim: false,
        oom_trigger: None,
        stop: None,
        other: None,
    }));
    what.push(What::ListenerDown {
        socket: SocketId::Kernel(9102),
        netns: NETNS,
        address: local(9102),
        by: Actor::default(),
        exiting: true,
    });
    let mut findings = Vec::new();
    for what in what {
        let at = Timestamp(1);
        analysis.observe(&Observation { at, what }, &mut findings);
    }
    analysis
}

impl Storm {
    fn connection(self, number: u64) -> u64 {
        match self {
            Self::Same => 1 + number % CLIENTS,
            Self::Different => 1 + number,
        }
    }

    fn order(self, number: u64) -> u64 {
        match self {
            Self::Same => 17,
            Self::Different => number,
        }
    }

    fn line(self, number: u64) -> String {
        let worker = WORKERS[usize::from(number % 2 == 1)];
        let (connection, order) = (self.connection(number), self.order(number));
        format!(
            "2026/11/22 23:52:35 [error] {worker}#{worker}: *{connection} connect() failed (111: \
             Connection refused) while connecting to upstream, client: 127.0.0.1, server: \
             shop.example, request: \"GET /api/orders/{order}?customer=4711 HTTP/1.1\", upstream: \
             \"http://127.0.0.1:9102/api/orders/{order}?customer=4711\", host: \"shop.example\""
        )
    }

    fn exchange(self, number: u64) -> What {
        let pid = WORKERS[usize::from(number % 2 == 1)];
        let client = u16::try_from(self.connection(number) % 20_000).unwrap();
        What::Http(Box::new(HttpExchange {
            witness: Witness::Http,
            side: Side::Inbound,
            actor: Actor {
                key: key(pid),
                tid: pid,
                comm: Comm::new("nginx"),
                uid: 33,
            },
            netns: NETNS,
            local: Some(local(80)),
            remote: Some(local(40_000 + client)),
            request: Some(Request {
                method: "GET".into(),
                target: format!("/api/orders/{}", self.order(number)).into(),
                host: Some("shop.example".into()),
                forwarded_for: None,
            }),
            began: Timestamp(BEGAN_NS + number * APART_NS - 100_000),
            end: HttpEnd::Status(502),
            connected: None,
        }))
    }

    /// What is observed in a round: requests as they fail, then the lines about all of them.
    fn round(self, round: u64) -> Vec<Observation> {
        let numbers = round * ROUND..(round + 1) * ROUND;
        let at = |number| Timestamp(BEGAN_NS + number * APART_NS);
        let detailed = numbers.clone().filter(|number| number % DETAIL_EVERY == 0);
        let mut all: Vec<Observation> = detailed
            .map(|number| Observation {
                at: at(number),
                what: self.exchange(number),
            })
            .collect();
        let at = at(numbers.end);
        all.push(Observation {
            at,
            what: What::HttpCounted(Box::new(HttpCounted {
                netns: NETNS,
                local: local(80),
                status: 502,
                count: ROUND - ROUND / DETAIL_EVERY,
            })),
        });
        all.extend(numbers.map(|number| {
            let mut entry = log_entry(ProxyKind::Nginx, &self.line(number)).unwrap();
            Arc::make_mut(&mut entry).proxy = key(MASTER);
            let what = What::ProxyLog(entry);
            Observation { at, what }
        }));
        all
    }

    /// How long analysis takes for all of it, and how often it allocates. Lines come to it as they
    /// do from the log: just read, and given back when they were taken in.
    fn run(self) -> (Duration, u64) {
        let mut analysis = machine();
        let mut findings: Vec<Finding> = Vec::new();
        let (mut elapsed, mut allocations) = (Duration::ZERO, 0);
        for round in 0..LINES / ROUND {
            let observations = self.round(round);
            let (before, began) = (counting::count(), Instant::now());
            for observation in observations {
                analysis.observe(&observation, &mut findings);
                black_box(findings.drain(..).count());
            }
            elapsed += began.elapsed();
            allocations += counting::count() - before;
        }
        (elapsed, allocations)
    }
}

fn log_entry(kind: ProxyKind, line: &str) -> Option<Arc<LogEntry>> {
    match profile_of(kind)?.read(line, false) {
        Line::Entry(entry) => Some(entry),
        Line::Ignored | Line::Notice | Line::Unreadable => None,
    }
}

fn read(criterion: &mut Criterion) {
    let line = Storm::Same.line(7);
    let mut group = criterion.benchmark_group("log_line_read");
    group.throughput(Throughput::Elements(1));
    counting::print("a line read", LINES, || {
        for _ in 0..LINES {
            black_box(log_entry(ProxyKind::Nginx, black_box(&line)));
        }
    });
    group.bench_function("nginx", |bencher| {
        bencher.iter(|| log_entry(ProxyKind::Nginx, black_box(&line)));
    });
    // What an access log mostly has.
    for (kind, line) in [(ProxyKind::Traefik, TRAEFIK), (ProxyKind::Envoy, ENVOY)] {
        group.bench_function(format!("{} 200", kind.as_str()), |bencher| {
            bencher.iter(|| log_entry(kind, black_box(line)));
        });
    }
    group.finish();
}

fn matched(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log_line_matched");
    group.sample_size(20);
    group.throughput(Throughput::Elements(LINES));
    for (name, storm) in [("same", Storm::Same), ("different", Storm::Different)] {
        let (_, allocations) = storm.run();
        counting::print_count(
            &format!("{name} requests: a line matched"),
            LINES,
            allocations,
        );
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| storm.run().0).sum());
        });
    }
    group.finish();
}

criterion_group!(benches, read, matched);
criterion_main!(benches);
