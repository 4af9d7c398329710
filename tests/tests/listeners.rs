//! Listeners: when an address is up and when it is down.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tracer_tests::{Guard, NetNamespace, Tracer, fixture, free_port};

const LIMIT: Duration = Duration::from_secs(10);

fn is(kind: &str, address: &str) -> impl Fn(&Value) -> bool {
    move |one| one["kind"] == kind && one["address"] == address
}

fn count(findings: &[Value], kind: &str, address: &str) -> usize {
    findings.iter().filter(|one| is(kind, address)(one)).count()
}

#[test]
fn a_tcp_listener_comes_and_goes() {
    let mut tracer = Tracer::start(["--all"]);
    for host in ["127.0.0.1", "[::1]", "0.0.0.0", "[::]"] {
        let address = format!("{host}:{}", free_port());
        let mut server = Guard::ready(fixture().args(["listen", &address]));
        let up = tracer.wait_for("the listener up", LIMIT, is("listener_up", &address));
        assert_eq!(up["process"]["pid"], server.pid(), "{up}");
        assert_eq!(up["process"]["comm"], "fixture", "{up}");
        assert_eq!(up["netns"], Value::Null, "{up}");
        assert_eq!(up["down_ms"], Value::Null, "{up}");
        server.wait();
        tracer.wait_for("the listener down", LIMIT, is("listener_down", &address));
    }
}

#[test]
fn a_unix_listener_comes_and_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.sock");
    let path = path.to_str().unwrap();
    let abstract_name = format!("@tracer-test-listener-{}", std::process::id());
    let mut tracer = Tracer::start(["--all"]);
    for path in [path, &abstract_name] {
        let address = format!("unix:{path}");
        let mut server = Guard::ready(fixture().args(["unix-listen", path, "8"]));
        let up = tracer.wait_for("the listener up", LIMIT, is("listener_up", &address));
        assert_eq!(up["process"]["pid"], server.pid(), "{up}");
        server.wait();
        tracer.wait_for("the listener down", LIMIT, is("listener_down", &address));
    }
}

#[test]
fn an_inherited_listener_is_down_only_when_its_last_holder_is_gone() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut tracer = Tracer::start(["--all"]);
    let mut parent = Guard::spawn(fixture().args(["listen-in-workers", &address]));
    let line = parent.line();
    let workers: Vec<u32> = line.split(' ').map(|pid| pid.parse().unwrap()).collect();
    tracer.wait_for("the listener up", LIMIT, is("listener_up", &address));
    tracer.death_of(parent.pid());
    let kill = |pid: u32| {
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    };
    kill(workers[0]);
    tracer.death_of(workers[0]);
    tracer.catch_up();
    let so_far = tracer.watch_for(Duration::ZERO);
    assert_eq!(count(so_far, "listener_down", &address), 0);
    kill(workers[1]);
    tracer.wait_for("the listener down", LIMIT, is("listener_down", &address));
    let findings = tracer.stop().findings;
    assert_eq!(count(&findings, "listener_down", &address), 1);
}

#[test]
fn an_address_with_two_listeners_is_down_when_both_are_gone() {
    let address = format!("127.0.0.1:{}", free_port());
    let listen = || Guard::ready(fixture().args(["listen", &address, "reuseport"]));
    let mut tracer = Tracer::start(["--all"]);
    let (mut one, mut other) = (listen(), listen());
    one.wait();
    tracer.death_of(one.pid());
    tracer.catch_up();
    let so_far = tracer.watch_for(Duration::ZERO);
    assert_eq!(count(so_far, "listener_up", &address), 1);
    assert_eq!(count(so_far, "listener_down", &address), 0);
    other.wait();
    tracer.wait_for("the listener down", LIMIT, is("listener_down", &address));
}

#[test]
fn listeners_from_before_the_start_are_known() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("early.sock");
    let tcp = format!("127.0.0.1:{}", free_port());
    let unix = format!("unix:{}", path.display());
    let servers = [
        Guard::ready(fixture().args(["listen", &tcp])),
        Guard::ready(fixture().args(["unix-listen", path.to_str().unwrap(), "8"])),
    ];
    let mut tracer = Tracer::start::<&str>([]);
    let start = tracer.start_finding().clone();
    let listens: Vec<&Value> = start["services"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|service| service["listens"].as_array().unwrap())
        .collect();
    for (server, address) in servers.iter().zip([&tcp, &unix]) {
        assert!(listens.iter().any(|one| *one == address), "{start}");
        server.signal(Signal::KILL);
        let death = tracer.death_of(server.pid());
        let down = tracer.wait_for("the listener down", LIMIT, is("listener_down", address));
        assert!(down["incident"].is_u64(), "{down}");
        assert_eq!(down["incident"], death["incident"], "{down}");
    }
}

#[test]
fn two_listeners_from_before_the_start_are_down_when_both_are_gone() {
    let address = format!("127.0.0.1:{}", free_port());
    let listen = || Guard::ready(fixture().args(["listen", &address, "reuseport"]));
    let (one, other) = (listen(), listen());
    let mut tracer = Tracer::start(["--all"]);
    one.signal(Signal::KILL);
    tracer.death_of(one.pid());
    tracer.catch_up();
    let so_far = tracer.watch_for(Duration::ZERO);
    assert_eq!(count(so_far, "listener_down", &address), 0);
    other.signal(Signal::KILL);
    tracer.wait_for("the listener down", LIMIT, is("listener_down", &address));
}

#[test]
fn a_listener_in_another_network_namespace_is_reported_with_the_namespace() {
    let netns = NetNamespace::new();
    let address = format!("127.0.0.1:{}", free_port());
    let listen = || {
        let mut command = netns.command(fixture().get_program());
        Guard::ready(command.args(["listen", &address]))
    };
    let mut tracer = Tracer::start(["--all"]);
    let mut server = listen();
    let link = std::fs::read_link(format!("/proc/{}/ns/net", server.pid())).unwrap();
    let up = tracer.wait_for("the listener up", LIMIT, is("listener_up", &address));
    assert_eq!(
        link.to_str().unwrap(),
        format!("net:[{}]", up["netns"]),
        "{up}"
    );
    server.wait();
    let down = tracer.wait_for("the listener down", LIMIT, is("listener_down", &address));
    assert_eq!(down["netns"], up["netns"], "{down}");
    drop(tracer);

    // The same for a listener from before the start of the tracer.
    let server = listen();
    let mut tracer = Tracer::start(["--all"]);
    server.signal(Signal::KILL);
    let down = tracer.wait_for("the listener down", LIMIT, is("listener_down", &address));
    assert_eq!(down["netns"], up["netns"], "{down}");
}
