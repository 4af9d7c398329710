//! Uses of HTTP, and other ways in which requests fail at a proxy: each failed request is reported
//! once and correctly, without private data.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::stack::client::{self, Outcome, statuses};
use tracer_tests::stack::ledger::{Blame, Death, SECRET};
use tracer_tests::stack::proxy::{Kind, Listen, Setup};
use tracer_tests::stack::scene::{Scene, Upstream};
use tracer_tests::stack::{Address, Worker};
use tracer_tests::wait_until;

/// nginx in front of an application on a port.
#[track_caller]
fn nginx(name: &'static str) -> Scene {
    Scene::start(name, Kind::Nginx, Upstream::Tcp, |_: &mut Setup| {})
}

/// The outcome of a request that was sent through a socket.
fn saw(method: &str, target: &str, status: u16) -> Outcome {
    let now = Instant::now();
    Outcome {
        method: method.to_owned(),
        target: target.to_owned(),
        status: Some(status),
        error: None,
        began: now,
        ended: now,
    }
}

/// The headers of a request, without the empty line after them.
fn head(method: &str, target: &str, version: &str) -> String {
    format!("{method} {target} HTTP/{version}\r\nHost: shop.test\r\n")
}

/// Sends requests of these kinds on one connection, one after another or all in one segment. The
/// application returns 500 for [`FAILS`].
#[track_caller]
fn one_connection(scene: &mut Scene, what: &str, in_one_segment: bool, kinds: &[&str]) {
    let targets: Vec<String> = (0..kinds.len())
        .map(|number| scene.target(&format!("{what}/{number}/{}", kinds[number])))
        .collect();
    let mut requests: Vec<String> = targets
        .iter()
        .map(|target| head("GET", target, "1.1") + "\r\n")
        .collect();
    let last = head("GET", targets.last().unwrap(), "1.1") + "Connection: close\r\n\r\n";
    *requests.last_mut().unwrap() = last;
    let proxy = scene.proxy.address();
    let answer = if in_one_segment {
        client::pieces(proxy, &[&requests.concat()])
    } else {
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        client::in_turn(proxy, &requests)
    };
    let expected: Vec<u16> = kinds
        .iter()
        .map(|&kind| if kind == FAILS { 500 } else { 200 })
        .collect();
    assert_eq!(statuses(&answer), expected);
    for (target, status) in targets.iter().zip(expected) {
        if status == 500 {
            scene.note_failure(saw("GET", target, status), &["answered"], None);
        }
    }
}

const FAILS: &str = "answer500";

#[test]
fn requests_on_one_connection_are_distinguished() {
    let mixed = [FAILS, "ok", FAILS, "ok", FAILS, "ok"];
    // Apache closes the connection after a 500.
    let at_last = ["ok", "ok", FAILS];
    for (name, kind, kinds) in [
        ("shop-wire-nginx", Kind::Nginx, &mixed[..]),
        ("shop-wire-haproxy", Kind::Haproxy, &mixed),
        ("shop-wire-apache", Kind::Apache, &at_last),
    ] {
        let mut scene = Scene::start(name, kind, Upstream::Tcp, |_| {});
        one_connection(&mut scene, "kept", false, kinds);
        one_connection(&mut scene, "pipelined", true, kinds);
        scene.check();
    }
}

#[test]
fn a_request_in_many_segments_is_put_together() {
    let mut scene = nginx("shop-split");
    let target = scene.target("line/answer500");
    let (middle, rest) = target.split_at(target.len() / 2);
    let pieces = [
        "GE",
        "T ",
        middle,
        rest,
        " HTTP/1.1\r",
        "\nHost: shop.test\r\nConn",
        "ection: close\r\n\r",
        "\n",
    ];
    let answer = client::pieces(scene.proxy.address(), &pieces);
    assert_eq!(statuses(&answer), [500]);
    scene.note_failure(saw("GET", &target, 500), &["answered"], None);

    // A body that looks like requests is not one.
    let target = scene.target("body/answer500");
    let fake = head("GET", &scene.target("fake/answer500"), "1.1") + "\r\n";
    let head = head("POST", &target, "1.1");
    let length = fake.len() * 3;
    let head = format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n");
    let answer = client::pieces(scene.proxy.address(), &[&head, &fake, &fake, &fake]);
    assert_eq!(statuses(&answer), [500]);
    scene.note_failure(saw("POST", &target, 500), &["answered"], None);
    scene.check();
}

#[test]
fn http_1_0_and_expect_100_are_understood() {
    let mut scene = nginx("shop-versions");
    let target = scene.target("old/answer500");
    let request = format!("GET {target} HTTP/1.0\r\n\r\n");
    let answer = client::pieces(scene.proxy.address(), &[&request]);
    assert_eq!(statuses(&answer), [500]);
    scene.note_failure(saw("GET", &target, 500), &["answered"], None);

    let target = scene.target("expect/answer500");
    let curl = scene.curl.clone().args(&["-H", "Expect: 100-continue"]);
    let outcome = curl.post(&target, &"a=1&".repeat(500));
    assert_eq!(outcome.status, Some(500));
    scene.note_failure(outcome, &["answered"], None);
    let outcome = curl.post(&scene.target("expect/ok"), &"a=1&".repeat(500));
    assert_eq!(outcome.status, Some(200));
    scene.check();
}

#[test]
fn failed_requests_over_ipv6_are_reported() {
    let mut scene = Scene::start("shop-v6", Kind::Nginx, Upstream::Tcp, |setup| {
        setup.listen = Listen::PlainV6;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn a_client_that_disconnects_is_not_blamed_on_the_application() {
    let mut scene = nginx("shop-impatient");
    let curl = scene.curl.clone().args(&["--max-time", "0.3"]);
    let outcome = curl.get(&scene.target("impatient/hang"));
    assert_eq!(outcome.status, None, "{outcome:?}");
    let nobody = Blame {
        upstream: None,
        because: None,
    };
    scene.note_no_response(outcome, "client_gone", nobody);
    scene.fine("after");
    scene.check();
}

#[test]
fn a_request_that_fails_by_the_proxys_own_death_is_reported() {
    let mut scene = nginx("shop-proxy-dies");
    let open = scene.curl.get_meanwhile(&scene.target("open/slow"));
    let path = scene.path("open/slow");
    scene.worker().wait_for("slow", &path);
    let [worker] = scene.proxy.children()[..] else {
        panic!("nginx has one worker")
    };
    let pid = Pid::from_raw(worker.cast_signed()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let outcome = open.join().unwrap();
    assert_eq!(outcome.status, None, "{outcome:?}");
    let death = Death {
        pid: worker,
        cause: "killed",
    };
    let itself = Blame {
        upstream: None,
        because: Some(death),
    };
    scene.note_no_response(outcome, "proxy_died", itself);
    wait_until("the next worker of nginx", Duration::from_secs(5), || {
        (scene.proxy.children() != [worker]).then_some(())
    });
    scene.fine("after");
    scene.check();
}

#[test]
fn a_closed_websocket_is_not_a_failed_request() {
    let mut scene = nginx("shop-socket");
    let target = scene.target("chat");
    let request = head("GET", &target, "1.1")
        + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
           Sec-WebSocket-Key: c2hvcA==\r\n\r\n";
    let mut stream = client::connect(scene.proxy.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(statuses(&start), [101]);
    let path = scene.path("chat");
    scene.worker().wait_for("upgrade", &path);
    scene.kill();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    scene.check();
}

#[test]
fn a_missing_socket_file_is_reported() {
    let mut scene = Scene::start("shop-no-file", Kind::Nginx, Upstream::Unix, |_| {});
    let Address::Unix(path) = scene.upstream().clone() else {
        unreachable!()
    };
    let death = Death {
        pid: scene.kill(),
        cause: "killed",
    };
    fs::remove_file(path).unwrap();
    let outcome = scene.curl.get(&scene.target("missing/ok"));
    scene.note_failure(outcome, &["no_socket_file"], Some(death));
    scene.check();
}

/// A listener with a backlog of one has room for two connections.
#[test]
fn a_full_backlog_is_reported() {
    let mut scene = Scene::start("shop-full", Kind::Nginx, Upstream::Unix, |_| {});
    scene.kill();
    let worker = Worker::start_with(scene.name, scene.upstream(), None, 1);
    scene.worker = Some(worker);
    scene.fine("first");
    scene.worker().signal(Signal::STOP);
    let waiting = [1, 2].map(|number| {
        let target = scene.target(&format!("waiting/ok/{number}"));
        scene.curl.get_meanwhile(&target)
    });
    let Address::Unix(path) = scene.upstream().clone() else {
        unreachable!()
    };
    wait_until("a full backlog", Duration::from_secs(5), || {
        (waiting_at(&path) == 2).then_some(())
    });
    let outcome = scene.curl.get(&scene.target("full/ok"));
    assert_eq!(outcome.status, Some(502), "{}", scene.proxy.log());
    scene.note_failure(outcome, &["backlog_full"], None);
    for outcome in waiting.map(|it| it.join().unwrap()) {
        assert_eq!(outcome.status, Some(504), "{}", scene.proxy.log());
        scene.note_failure(outcome, &["timeout"], None);
    }
    scene.worker().signal(Signal::CONT);
    scene.fine("last");
    scene.check();
}

/// How many connections to this socket nobody has accepted yet.
fn waiting_at(path: &Path) -> usize {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let path = path.to_str().unwrap();
    sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        // Num, RefCount, Protocol, Flags, Type, St, Inode, Path; SS_CONNECTING has the number 2.
        .filter(|fields| fields.get(5) == Some(&"02") && fields.get(7) == Some(&path))
        .count()
}

#[test]
fn a_truncated_response_is_reported() {
    for (name, kind) in [
        ("shop-cut-nginx", Kind::Nginx),
        ("shop-cut-haproxy", Kind::Haproxy),
    ] {
        let mut scene = Scene::start(name, kind, Upstream::Tcp, |_| {});
        let outcome = scene.curl.get(&scene.target("half/cut-body"));
        assert_eq!(outcome.status, Some(200), "{outcome:?}");
        assert!(outcome.error.is_some(), "{outcome:?}");
        let mut blame = scene.blame(None);
        if kind == Kind::Haproxy {
            // Its log has the name of the server, not its address.
            blame.upstream = None;
        }
        scene.note_truncated(outcome, blame);
        scene.fine("after");
        scene.check();
    }
}

/// A token as applications put it into paths.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N";

#[test]
fn tokens_in_paths_are_masked_and_queries_dropped() {
    let mut scene = nginx("shop-private");
    let target = scene.target(&format!("reset/{TOKEN}/answer500"));
    assert_eq!(scene.curl.get(&target).status, Some(500));
    let start = scene.path("reset/");
    let found = scene.wait_for("the request", |f| {
        let path = f["path"].as_str().unwrap_or_default();
        f["kind"] == "request_failed" && path.starts_with(&start)
    });
    let path = found["path"].as_str().unwrap();
    assert!(path.ends_with("/answer500"), "{found}");
    scene.kill();
    assert_eq!(scene.curl.get(&target).status, Some(502));
    scene.wait_for("the other request", |f| {
        f["kind"] == "request_failed" && f["status"] == 502 && f["path"] == path
    });
    for line in scene.stop() {
        let text = line.to_string();
        assert!(!text.contains(&TOKEN[..20]), "{line}");
        assert!(!text.contains(SECRET), "{line}");
    }
}

#[test]
fn queries_are_shown_on_request() {
    let mut scene = Scene::start_with(
        "shop-query",
        Kind::Nginx,
        Upstream::Tcp,
        |_| {},
        &["--show-query"],
    );
    let target = scene.path("list/answer500?page=7&sort=name");
    assert_eq!(scene.curl.get(&target).status, Some(500));
    scene.wait_for("the request with its query", |f| {
        f["kind"] == "request_failed" && f["path"] == *target
    });
    scene.stop();
}

#[test]
fn an_endless_path_is_truncated() {
    let mut scene = nginx("shop-long");
    let long = "/0123456789".repeat(300);
    let target = scene.path(&format!("answer500{long}"));
    assert_eq!(scene.curl.get(&target).status, Some(500));
    let start = scene.path("");
    let found = scene.wait_for("the request", |f| {
        let path = f["path"].as_str().unwrap_or_default();
        f["kind"] == "request_failed" && path.starts_with(&start)
    });
    let path = found["path"].as_str().unwrap();
    let kept = path.strip_suffix('…').unwrap();
    assert!(target.starts_with(kept), "{found}");
    assert!((100..=1024).contains(&kept.len()), "{found}");
    scene.stop();
}
