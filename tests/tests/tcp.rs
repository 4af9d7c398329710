//! Failed TCP connects, and connections that are cut by a death.

use std::cell::Cell;
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{Guard, NetNamespace, Tracer, fixture, free_port, wait_until};

const LIMIT: Duration = Duration::from_secs(10);

fn is_failure_of(pid: u32) -> impl Fn(&Value) -> bool {
    move |one| one["kind"] == "connect_failed" && one["process"]["pid"] == pid
}

/// The findings about failed connects of `pid`, and the sum of their counts.
fn failures(findings: &[Value], pid: u32) -> (Vec<&Value>, u64) {
    let all: Vec<&Value> = findings
        .iter()
        .filter(|one| is_failure_of(pid)(one))
        .collect();
    let count = all.iter().map(|one| one["count"].as_u64().unwrap()).sum();
    (all, count)
}

/// Releases a client with one failed connect, and returns the finding.
#[track_caller]
fn only_failure(mut tracer: Tracer, mut client: Guard, errno: i32) -> Value {
    client.release();
    assert_eq!(client.line(), format!("errno {errno}"));
    client.wait();
    tracer.wait_for("a failed connect", LIMIT, is_failure_of(client.pid()));
    let run = tracer.stop();
    let (all, count) = failures(&run.findings, client.pid());
    assert_eq!((all.len(), count), (1, 1), "{all:?}");
    all[0].clone()
}

#[test]
fn a_refused_connect_is_reported_once_for_both_families_blocking_or_not() {
    for host in ["127.0.0.1", "[::1]"] {
        for way in ["blocking", "nonblocking"] {
            let address = format!("{host}:{}", free_port());
            let tracer = Tracer::start::<&str>([]);
            let client = Guard::ready(fixture().args(["connect", &address, way, "1"]));
            let found = only_failure(tracer, client, libc::ECONNREFUSED);
            assert_eq!(found["error"], "refused", "{found}");
            assert_eq!(found["upstream"]["address"], address, "{found}");
            assert_eq!(found["process"]["comm"], "fixture", "{found}");
            assert_eq!(found["because"], Value::Null, "{found}");
            assert!(found["elapsed_ms"].as_f64().unwrap() < 1000.0, "{found}");
        }
    }
}

#[test]
fn twenty_thousand_refusals_are_counted_exactly() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut tracer = Tracer::start::<&str>([]);
    let mut client = Guard::ready(fixture().args(["connect", &address, "blocking", "20000"]));
    client.wait();
    tracer.wait_for("the client's failures", LIMIT, is_failure_of(client.pid()));
    let run = tracer.stop();
    let (all, count) = failures(&run.findings, client.pid());
    assert_eq!(count, 20_000);
    assert!(all.len() < 100, "{} findings for one storm", all.len());
    let end = run.findings.last().unwrap();
    assert!(end["connects_failed"].as_u64().unwrap() >= 20_000, "{end}");
}

#[test]
fn a_connect_that_nobody_answers_times_out() {
    let netns = blackholed(1);
    let tracer = Tracer::start::<&str>([]);
    let client = Guard::ready(netns.command(fixture().get_program()).args([
        "connect",
        "192.0.2.9:80",
        "blocking",
        "1",
    ]));
    let found = only_failure(tracer, client, libc::ETIMEDOUT);
    assert_eq!(found["error"], "timeout", "{found}");
    assert_eq!(found["upstream"]["address"], "192.0.2.9:80", "{found}");
    assert!(found["elapsed_ms"].as_f64().unwrap() > 500.0, "{found}");
}

#[test]
fn a_connect_that_its_caller_gives_up_is_a_timeout() {
    let netns = blackholed(6);
    let tracer = Tracer::start::<&str>([]);
    let client = Guard::ready(netns.command(fixture().get_program()).args([
        "give-up",
        "192.0.2.9:80",
        "400",
    ]));
    let found = only_failure(tracer, client, libc::EINPROGRESS);
    assert_eq!(found["error"], "timeout", "{found}");
    let elapsed = found["elapsed_ms"].as_f64().unwrap();
    assert!((350.0..5000.0).contains(&elapsed), "{found}");
}

#[test]
fn a_full_backlog_is_a_timeout_for_the_client() {
    let netns = NetNamespace::new();
    let _server = Guard::ready(
        netns
            .command(fixture().get_program())
            .args(["full", "127.0.0.1:8000"]),
    );
    let tracer = Tracer::start::<&str>([]);
    let client = Guard::ready(netns.command(fixture().get_program()).args([
        "give-up",
        "127.0.0.1:8000",
        "400",
    ]));
    let found = only_failure(tracer, client, libc::EINPROGRESS);
    assert_eq!(found["error"], "timeout", "{found}");
    assert_eq!(found["upstream"]["address"], "127.0.0.1:8000", "{found}");
}

/// More than the kernel programs' first table of connecting sockets has room for.
#[test]
fn six_thousand_connects_at_once_are_all_reported_with_their_owner() {
    let netns = NetNamespace::new();
    let _server = Guard::ready(
        netns
            .command(fixture().get_program())
            .args(["full", "127.0.0.1:8000"]),
    );
    let mut tracer = Tracer::start::<&str>([]);
    let mut client = Guard::ready(netns.command(fixture().get_program()).args([
        "give-up-together",
        "127.0.0.1:8000",
        "6000",
    ]));
    client.release();
    assert_eq!(client.line(), "gave up 6000");
    client.wait();
    tracer.wait_for("the client's failures", LIMIT, is_failure_of(client.pid()));
    let run = tracer.stop();
    let (all, count) = failures(&run.findings, client.pid());
    assert_eq!(count, 6000);
    assert!(all.iter().all(|one| one["error"] == "timeout"), "{all:?}");
}

#[test]
fn unreachable_routes_are_reported_when_connect_returns() {
    for (route, errno, error) in [
        ("unreachable", libc::EHOSTUNREACH, "unreachable"),
        ("prohibit", libc::EACCES, "permission_denied"),
        ("blackhole", libc::EINVAL, "other"),
    ] {
        for way in ["blocking", "nonblocking"] {
            let netns = NetNamespace::new();
            netns.ip(&["route", "add", route, "192.0.2.0/24"]);
            let tracer = Tracer::start::<&str>([]);
            let client = Guard::ready(netns.command(fixture().get_program()).args([
                "connect",
                "192.0.2.9:80",
                way,
                "1",
            ]));
            let found = only_failure(tracer, client, errno);
            assert_eq!(found["error"], error, "{found}");
            assert_eq!(found["upstream"]["address"], "192.0.2.9:80", "{found}");
        }
    }
}

#[test]
fn a_connect_without_a_free_port_is_reported_when_it_returns() {
    for way in ["blocking", "nonblocking"] {
        let netns = NetNamespace::new();
        let _server = Guard::ready(
            netns
                .command(fixture().get_program())
                .args(["full", "127.0.0.1:8000"]),
        );
        netns.sysctl("net/ipv4/ip_local_port_range", "40000 40000");
        let mut holder = Guard::ready(netns.command(fixture().get_program()).args([
            "give-up",
            "127.0.0.1:8000",
            "20000",
        ]));
        holder.release();
        let sockets = format!("/proc/{}/net/tcp", holder.pid());
        wait_until("the port to be used", LIMIT, || {
            let used = format!(":{:04X} ", 40_000);
            std::fs::read_to_string(&sockets)
                .unwrap()
                .contains(&used)
                .then_some(())
        });
        let tracer = Tracer::start::<&str>([]);
        let client = Guard::ready(netns.command(fixture().get_program()).args([
            "connect",
            "127.0.0.1:8000",
            way,
            "1",
        ]));
        let found = only_failure(tracer, client, libc::EADDRNOTAVAIL);
        assert_eq!(found["error"], "no_local_port", "{found}");
    }
}

#[test]
fn a_neighbour_that_does_not_answer_is_unreachable_after_a_while() {
    let netns = linked();
    for way in ["blocking", "nonblocking"] {
        let tracer = Tracer::start::<&str>([]);
        let client = Guard::ready(netns.command(fixture().get_program()).args([
            "connect",
            "192.0.2.9:80",
            way,
            "1",
        ]));
        let found = only_failure(tracer, client, libc::EHOSTUNREACH);
        assert_eq!(found["error"], "unreachable", "{found}");
    }
}

#[test]
fn connections_of_a_dead_process_are_cut() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut server = Guard::ready(fixture().args(["serve", &address, "3"]));
    let mut tracer = Tracer::start::<&str>([]);
    let mut client = Guard::spawn(fixture().args(["hold-connections", &address, "3"]));
    assert_eq!(client.line(), "connected 3");
    assert_eq!(server.line(), "accepted 3");
    server.signal(Signal::KILL);
    tracer.death_of(server.pid());
    // In one finding, unless the machine was busy in between.
    let count = Cell::new(0);
    tracer.wait_for("the cuts", LIMIT, |one| {
        if one["kind"] == "connection_cut" && one["pid"] == server.pid() {
            assert_eq!(one["address"], address, "{one}");
            let peer = one["peer_address"].as_str().unwrap();
            assert!(peer.starts_with("127.0.0.1:"), "{one}");
            count.set(count.get() + one["count"].as_u64().unwrap());
        }
        count.get() == 3
    });
}

#[test]
fn a_refusal_is_explained_by_the_listeners_death_until_it_listens_again() {
    let address = format!("127.0.0.1:{}", free_port());
    let server = Guard::ready(fixture().args(["listen", &address]));
    let mut tracer = Tracer::start::<&str>([]);
    server.signal(Signal::KILL);
    tracer.death_of(server.pid());
    let connect = |count: &str| {
        let mut client = Guard::ready(fixture().args(["connect", &address, "blocking", count]));
        client.wait();
        client
    };
    let client = connect("1");
    let found = tracer.wait_for("a refusal", LIMIT, is_failure_of(client.pid()));
    let because = &found["because"];
    assert_eq!(because["death"], server.pid(), "{found}");
    assert_eq!(because["cause"], "killed", "{found}");
    assert!(because["incident"].is_u64(), "{found}");
    let after = because["after_ms"].as_f64().unwrap();
    assert!(after > 0.0 && after < 10_000.0, "{found}");

    let again = TcpListener::bind(&address).unwrap();
    let is_up = |one: &Value| one["kind"] == "listener_up" && one["address"] == address;
    let up = tracer.wait_for("the listener up", LIMIT, is_up);
    assert!(up["down_ms"].as_f64().unwrap() > 0.0, "{up}");
    drop(again);
    tracer.wait_for("the listener down", LIMIT, |one| {
        one["kind"] == "listener_down"
            && one["address"] == address
            && one["at"].as_str() > up["at"].as_str()
    });
    // The second listener was closed in order, so the first death explains nothing any more.
    let client = connect("1");
    let found = tracer.wait_for("a refusal", LIMIT, is_failure_of(client.pid()));
    assert_ne!(found["because"]["death"], server.pid(), "{found}");
}

/// A namespace whose link to 192.0.2.0/24 has a neighbour that never responds.
fn blackholed(syn_retries: u32) -> NetNamespace {
    let netns = linked();
    netns.ip(&[
        "neighbour",
        "add",
        "192.0.2.9",
        "lladdr",
        "02:00:00:00:00:09",
        "dev",
        "near",
        "nud",
        "permanent",
    ]);
    netns.sysctl("net/ipv4/tcp_syn_retries", &syn_retries.to_string());
    netns
}

/// A namespace with a link to 192.0.2.0/24 and no neighbour.
fn linked() -> NetNamespace {
    let netns = NetNamespace::new();
    netns.ip(&["link", "add", "near", "type", "veth", "peer", "name", "far"]);
    netns.ip(&["address", "add", "192.0.2.1/24", "dev", "near"]);
    netns.ip(&["link", "set", "near", "up"]);
    netns.ip(&["link", "set", "far", "up"]);
    netns
}
