//! How fast a capture is replayed, and how many bytes of the disk an observation takes: for a storm of
//! refused connects, and for the mix of a busy machine.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails says so by panicking"
)]

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tracer_analysis::Options;
use tracer_analysis::rules::Rules;
use tracer_capture::{Item, Reader, Recorder, Replay, Setup, Target};
use tracer_model::{
    Actor, ClockAnchor, Comm, ConnectError, ConnectFailed, Endpoint, Exit, ExitStatus, Observation,
    ProcessFacts, ProcessKey, Session, TaskFacts, Timestamp, WallTime, What,
};

const OBSERVATIONS: u64 = 200_000;

fn session() -> Session {
    Session {
        clock: ClockAnchor {
            boot: Timestamp(0),
            wall: WallTime(1_767_225_600_000_000_000),
        },
        ..Session::default()
    }
}

fn key(number: u64) -> ProcessKey {
    ProcessKey {
        pid: u32::try_from(3000 + number).unwrap_or(u32::MAX),
        start_ticks: 144_000 + number,
    }
}

fn task(number: u64, comm: &str) -> TaskFacts {
    TaskFacts {
        key: key(number),
        ppid: 1,
        ns_pid: key(number).pid,
        uid: 33,
        cgroup: 4000 + number % 20,
        comm: Comm::new(comm),
    }
}

/// Differs from call to call as times do.
fn jitter(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44
}

fn refused(number: u64) -> What {
    let worker = number % 8;
    let failed = ConnectFailed {
        owner: Actor {
            key: key(worker),
            tid: key(worker).pid,
            comm: Comm::new("nginx"),
            uid: 33,
        },
        netns: 4_026_531_840,
        remote: Endpoint::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), 3000),
        error: ConnectError::Refused,
        errno: 111,
        elapsed: Duration::from_nanos(20_000 + jitter(number) % 50_000),
        count: 1 + jitter(number) % 40,
    };
    What::ConnectFailed(Box::new(failed))
}

/// A process that comes and goes, in three observations, or a refused connect.
fn busy(number: u64) -> What {
    let child = 1000 + number / 4;
    match number % 4 {
        0 => What::Forked {
            child: task(child, "php-fpm"),
            parent: key(1),
        },
        1 => What::Executed {
            task: task(child, "convert"),
            args: ["convert".into(), format!("/srv/in/{child}.png").into()].into(),
        },
        2 => What::Exited(Exit {
            task: task(child, "convert"),
            parent: key(1),
            status: ExitStatus::Code(0),
            peak_bytes: (4 << 20) + jitter(number),
            oom_victim: false,
            oom_trigger: None,
            stop: None,
            other: None,
        }),
        _ => refused(number),
    }
}

fn stream(what: fn(u64) -> What) -> Vec<Observation> {
    let seen = |at, what| Observation {
        at: Timestamp(at),
        what,
    };
    let mut stream: Vec<Observation> = (0..20)
        .map(|number| {
            let facts = ProcessFacts {
                task: task(number, "nginx"),
                args: ["nginx: worker process".into()].into(),
                cgroup_path: Some("/system.slice/nginx.service".into()),
                ..ProcessFacts::default()
            };
            seen(number, What::Process(Box::new(facts)))
        })
        .collect();
    stream.push(seen(100, What::Session(Box::new(session()))));
    stream.push(seen(200, What::Armed));
    // In a storm, the kernel programs send a total every 10 ms for each process.
    let at = |number: u64| 1_000_000_000 + number * 1_250_000 + jitter(number);
    stream.extend((0..OBSERVATIONS).map(|number| seen(at(number), what(number))));
    stream
}

fn record(path: &Path, stream: &[Observation]) -> u64 {
    let setup = Setup::new(Target::File(path.to_owned()), None);
    let options = Options::default();
    let recorder = Recorder::start(&setup, &Rules::none(), options, session(), |_| ()).unwrap();
    for batch in stream.chunks(10_000) {
        for observation in batch {
            recorder.record(observation);
        }
        // As fast as the disk takes it: nothing is to be left out.
        std::thread::sleep(Duration::from_millis(20));
    }
    let summary = recorder.finish().unwrap();
    assert_eq!(summary.lost, 0);
    summary.bytes
}

fn replay(capture: &[u8]) -> usize {
    let mut reader = Reader::new(capture).unwrap();
    let mut replay = Replay::new();
    let mut findings = Vec::new();
    let mut count = 0;
    while let Some(item) = reader.next_item().unwrap() {
        assert!(!matches!(item, Item::Damage(_)));
        replay.feed(item, &mut findings);
        count += findings.drain(..).map(black_box).count();
    }
    count
}

fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    for (name, what) in [("storm", refused as fn(u64) -> What), ("busy", busy)] {
        let path = folder.path().join(name);
        let stream = stream(what);
        let bytes = record(&path, &stream);
        let count = stream.len() as u64;
        let hundredths = bytes * 100 / count;
        println!(
            "{name}: {}.{:02} bytes per event",
            hundredths / 100,
            hundredths % 100
        );
        let capture = fs::read(&path).unwrap();
        let mut group = criterion.benchmark_group("replay");
        group.sample_size(10);
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |bencher| bencher.iter(|| replay(&capture)));
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
