//! Requests that failed behind nginx: what curl saw and what is found, both ways.

use std::thread;

use tracer_tests::free_port;
use tracer_tests::stack::Address;
use tracer_tests::stack::client::Outcome;
use tracer_tests::stack::ledger::Death;
use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_nginx_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-nginx-tcp", Kind::Nginx, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_when_the_upstream_is_a_unix_socket() {
    let mut scene = Scene::start("shop-nginx-unix", Kind::Nginx, Upstream::Unix, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_when_connections_to_the_upstream_are_kept() {
    let mut scene = Scene::start("shop-nginx-kept", Kind::Nginx, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_behind_tls() {
    let mut scene = Scene::start("shop-nginx-tls", Kind::Nginx, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}

/// Only its log has those requests: without the status, and without those that the application
/// answered itself.
#[test]
fn each_that_the_log_has_is_with_http_2() {
    let mut scene = Scene::start("shop-nginx-h2", Kind::Nginx, Upstream::Tcp, |setup| {
        setup.listen = Listen::TlsHttp2;
    });
    scene.all_ways();
    scene.check();
}

/// nginx takes turns: of two requests, one goes to either application.
#[test]
fn a_request_that_another_upstream_answered_did_not_fail() {
    let name = "shop-nginx-two";
    let mut scene = Scene::start(name, Kind::Nginx, Upstream::Tcp, |setup| {
        setup.upstreams.push(Address::Tcp(free_port()));
    });
    scene.fine("first");

    // Cut in flight, answered by the other; then refused, answered by the other.
    let rest = format!("get/slow-at/{name}");
    let open = [(); 2].map(|()| scene.curl.get_meanwhile(&scene.target(&rest)));
    let path = scene.path(&rest);
    scene.worker().wait_for("slow", &path);
    scene.kill();
    for outcome in open.map(|it| it.join().unwrap()) {
        assert_eq!(outcome.status, Some(200), "{outcome:?}");
    }
    scene.fine("one-is-dead");
    scene.fine("still");

    // What is not idempotent is not tried again.
    scene.restart();
    scene.fine("again");
    let rest = format!("post/slow-at/{name}");
    let (curl, target, path) = (scene.curl.clone(), scene.target(&rest), scene.path(&rest));
    let open = [(); 2].map(|()| {
        let (curl, target) = (curl.clone(), target.clone());
        thread::spawn(move || curl.post(&target, "a=1"))
    });
    scene.worker().wait_for("slow", &path);
    let first = Death {
        pid: scene.kill(),
        cause: "killed",
    };
    let outcomes = open.map(|it| it.join().unwrap());
    assert_eq!(outcomes.iter().filter(|it| it.failed()).count(), 1);
    for outcome in outcomes.into_iter().filter(Outcome::failed) {
        let blame = scene.blame_on(0, Some(first));
        scene.lost_to(outcome, &["cut", "reset"], vec![blame]);
    }
    scene.fine("one-is-dead-again");

    let second = Death {
        pid: scene.others.remove(0).kill(),
        cause: "killed",
    };
    for number in 0..4 {
        let outcome = scene.curl.get(&scene.target(&format!("both/ok/{number}")));
        let blame = vec![
            scene.blame_on(0, Some(first)),
            scene.blame_on(1, Some(second)),
        ];
        scene.lost_to(outcome, &["refused"], blame);
    }
    scene.check();
}
