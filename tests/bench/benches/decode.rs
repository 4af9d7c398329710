//! What it costs to read a record of the kernel programs, and how often that allocates.

mod counting;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tracer_common::record::{
    Actor, ConnectRecord, ExecRecord, ExitRecord, ForkRecord, Header, SignaledExitRecord, Task,
    kind,
};
use tracer_kernel::is_record;
use zerocopy::{FromZeros, IntoBytes};

const COUNTED: u64 = 1_000;

fn header(kind: u32) -> Header {
    Header {
        at_ns: 7_000_000_000,
        kind,
        cpu: 1,
    }
}

fn task() -> Task {
    let mut task = Task::new_zeroed();
    (task.pid, task.ppid, task.ns_pid) = (4242, 1, 4242);
    task.start_ns = 1_234_567_890;
    task.comm = *b"node\0\0\0\0\0\0\0\0\0\0\0\0";
    task
}

fn actor() -> Actor {
    let mut actor = Actor::new_zeroed();
    (actor.pid, actor.tid, actor.start_ns) = (800, 800, 1_000_000_000);
    actor.comm = *b"nginx\0\0\0\0\0\0\0\0\0\0\0";
    actor
}

/// One record of each kind that comes in numbers.
fn records() -> [(&'static str, Vec<u8>); 5] {
    let mut exit = ExitRecord::new_zeroed();
    (exit.header, exit.task) = (header(kind::EXIT), task());
    exit.peak_rss_pages = 16_384;
    let mut killed = SignaledExitRecord::new_zeroed();
    killed.exit = exit;
    (killed.exit.header.kind, killed.exit.status) = (kind::EXIT_SIGNALED, 9);
    (killed.other.at_ns, killed.other.signal) = (6_999_999_000, 9);
    killed.other.sender = actor();
    let mut fork = ForkRecord::new_zeroed();
    (fork.header, fork.child) = (header(kind::FORK), task());
    let mut exec = ExecRecord::new_zeroed();
    (exec.header, exec.task) = (header(kind::EXEC), task());
    let line = b"node\0/srv/api/dist/main.js\0--port\x003000\0";
    exec.args[..line.len()].copy_from_slice(line);
    (exec.args_len, exec.args_total) = (39, 39);
    let mut connect = ConnectRecord::new_zeroed();
    (connect.header, connect.actor) = (header(kind::CONNECT_FAILED), actor());
    (connect.error, connect.total) = (111, 1);
    connect.endpoints.family = 2;
    connect.endpoints.remote[..4].copy_from_slice(&[127, 0, 0, 1]);
    connect.endpoints.remote_port = 3000;
    [
        ("exit", exit.as_bytes().to_vec()),
        ("exit after a signal", killed.as_bytes().to_vec()),
        ("fork", fork.as_bytes().to_vec()),
        ("exec", exec.as_bytes().to_vec()),
        ("connect_failed", connect.as_bytes().to_vec()),
    ]
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, bytes) in records() {
        assert!(is_record(&bytes), "{name}");
        counting::print(name, COUNTED, || {
            for _ in 0..COUNTED {
                black_box(is_record(black_box(&bytes)));
            }
        });
        group.bench_function(name, |bencher| {
            bencher.iter(|| is_record(black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
