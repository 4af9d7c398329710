//! What one event costs analysis, and how often it allocates, as the machine's services grow from
//! ten to ten thousand: it should stay the same.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails says so by panicking"
)]

mod counting;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tracer_analysis::rules::Rules;
use tracer_analysis::{Analysis, Options};
use tracer_model::{
    Actor, ClockAnchor, Comm, ConnectError, ConnectFailed, Endpoint, Exit, ExitStatus, Listener,
    Observation, ProcessFacts, ProcessKey, Session, SocketId, TaskFacts, Timestamp, WallTime, What,
};

const NETNS: u32 = 4_026_531_840;
const EVENTS: u64 = 30_000;
const PROXY: u64 = 1;

fn key(number: u64) -> ProcessKey {
    ProcessKey {
        pid: u32::try_from(2000 + number).unwrap(),
        start_ticks: 144_000 + number,
    }
}

fn task(number: u64, parent: u64, comm: &str) -> TaskFacts {
    TaskFacts {
        key: key(number),
        ppid: key(parent).pid,
        ns_pid: key(number).pid,
        uid: 33,
        cgroup: 4000,
        comm: Comm::new(comm),
    }
}

fn port(number: u64) -> Endpoint {
    let port = u16::try_from(3000 + number % 60_000).unwrap();
    Endpoint::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn process(number: u64, comm: &str, unit: &str) -> What {
    What::Process(Box::new(ProcessFacts {
        task: task(number, 0, comm),
        args: [comm.into()].into(),
        cgroup_path: Some(format!("/system.slice/{unit}.service").into()),
        ..ProcessFacts::default()
    }))
}

/// nginx, and so many services that listen, one process each.
fn machine(services: u64) -> Analysis {
    let mut analysis = Analysis::new(Rules::none(), Options::default());
    let mut what = vec![
        What::Session(Box::new(Session {
            clock: ClockAnchor {
                boot: Timestamp(0),
                wall: WallTime(1_767_225_600_000_000_000),
            },
            ..Session::default()
        })),
        process(PROXY, "nginx", "nginx"),
    ];
    for number in 0..services {
        let service = 10 + number;
        what.push(process(service, "node", &format!("api{number}")));
        what.push(What::ListenerUp(Listener {
            socket: SocketId::Scanned(service),
            netns: NETNS,
            address: port(number),
            holders: [key(service)].into(),
        }));
    }
    what.push(What::Armed);
    let mut findings = Vec::new();
    for what in what {
        let at = Timestamp(1);
        analysis.observe(&Observation { at, what }, &mut findings);
    }
    analysis
}

/// The event with this number: processes that come and go below some service, and refused connects.
fn event(number: u64, services: u64) -> Observation {
    let service = number.wrapping_mul(7919) % services;
    let child = 20_000 + number / 3;
    let what = match number % 3 {
        0 => What::Forked {
            child: task(child, 10 + service, "node"),
            parent: key(10 + service),
        },
        1 => What::ConnectFailed(Box::new(ConnectFailed {
            owner: Actor {
                key: key(PROXY),
                tid: key(PROXY).pid,
                comm: Comm::new("nginx"),
                uid: 33,
            },
            netns: NETNS,
            remote: port(service),
            error: ConnectError::Refused,
            errno: 111,
            elapsed: Duration::from_micros(20),
            count: 1,
        })),
        _ => What::Exited(Exit {
            task: task(child, 10 + service, "node"),
            parent: key(10 + service),
            status: ExitStatus::Code(0),
            peak_bytes: 4 << 20,
            oom_victim: false,
            oom_trigger: None,
            stop: None,
            other: None,
        }),
    };
    Observation {
        at: Timestamp(1_000_000_000 + number * 20_000),
        what,
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("analysis");
    group.sample_size(10);
    group.throughput(Throughput::Elements(EVENTS));
    for services in [10, 1_000, 10_000] {
        let events: Vec<Observation> = (0..EVENTS).map(|number| event(number, services)).collect();
        let run = |mut analysis: Analysis| {
            let mut findings = Vec::new();
            for observation in &events {
                analysis.observe(observation, &mut findings);
                black_box(findings.drain(..).count());
            }
            analysis
        };
        let analysis = machine(services);
        counting::print(&format!("{services} services"), EVENTS, || {
            drop(run(analysis));
        });
        group.bench_function(BenchmarkId::from_parameter(services), |bencher| {
            bencher.iter_batched(
                || machine(services),
                run,
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
