//! Hundreds of concurrent requests during a restart: the failed requests that the clients saw are
//! those that are reported.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::stack::client::{self, Outcome};
use tracer_tests::stack::ledger::{Death, SECRET};
use tracer_tests::stack::proxy::Kind;
use tracer_tests::stack::scene::Scene;
use tracer_tests::stack::{Address, http};
use tracer_tests::wait_until;

const CLIENTS: u32 = 8;

/// The pause between two requests of a client: the load is 160 requests a second at most.
const PAUSE: Duration = Duration::from_millis(50);

/// The requests that succeed before the application is killed, and again after its restart.
const HEALTHY: u32 = 60;

/// The time that they may take; a restart takes a second or two.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs clients, each with unique paths, until `during` returns. That gets the number of successful
/// requests so far.
fn storm(scene: &Scene, during: impl FnOnce(&AtomicU32)) -> Vec<Outcome> {
    let (proxy, orders) = (scene.proxy.address(), scene.path("api/orders"));
    let stop = AtomicBool::new(false);
    let (next, fine) = (AtomicU32::new(0), AtomicU32::new(0));
    let client = || {
        let mut outcomes = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            // Every other request takes a while, so that some are under way when the application
            // dies.
            let kind = if number.is_multiple_of(2) {
                "wait"
            } else {
                "ok"
            };
            let target = format!("{orders}/{number}/{kind}?secret={SECRET}");
            let outcome = client::get(proxy, &target);
            if !outcome.failed() {
                fine.fetch_add(1, Ordering::Relaxed);
            }
            outcomes.push(outcome);
            thread::sleep(PAUSE);
        }
        outcomes
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        during(&fine);
        stop.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    })
}

fn story(name: &'static str, kind: Kind) {
    let mut scene = Scene::supervised(name, kind);
    let &Address::Tcp(port) = scene.upstream() else {
        unreachable!()
    };
    let pid = http::get(port, "/ok").unwrap().number("pid");
    let dead = u32::try_from(pid).unwrap();
    let mut killed = None;
    let outcomes = storm(&scene, |fine| {
        let healthy = |count: u32| {
            wait_until(&format!("{count} successful requests"), LIMIT, || {
                (fine.load(Ordering::Relaxed) >= count).then_some(())
            });
        };
        healthy(HEALTHY);
        let pid_of_dead = Pid::from_raw(dead.cast_signed()).unwrap();
        kill_process(pid_of_dead, Signal::KILL).unwrap();
        killed = Some(Instant::now());
        // More than the clients can have under way, so the application is back.
        healthy(fine.load(Ordering::Relaxed) + HEALTHY);
    });
    let death = Death {
        pid: dead,
        cause: "killed",
    };
    let (failed, fine): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Outcome::failed);
    println!("{} failed, {} did not", failed.len(), fine.len());
    assert!(failed.len() > 100, "{} failed", failed.len());
    assert!(fine.len() > 50, "{} did not fail", fine.len());
    for outcome in failed {
        assert!(outcome.ended > killed.unwrap(), "{outcome:?}");
        scene.note_storm_failure(outcome, &["refused", "cut", "reset"], Some(death));
    }
    let count = scene.ledger.len();
    let findings = scene.check();
    // Requests of other tests fail at the same time.
    let end = findings.last().unwrap();
    let losses = end["losses"].as_array().unwrap();
    let loss = losses.iter().find(|it| it["service"]["name"] == name);
    let loss = loss.unwrap_or_else(|| panic!("{end}"));
    let unexplained: Vec<_> = findings
        .iter()
        .filter(|it| it["kind"] == "request_failed" && it["because"].is_null())
        .collect();
    assert_eq!(loss["requests_failed"], count, "{loss} {unexplained:?}");
    assert_eq!(loss["because_of_deaths"], count, "{loss} {unexplained:?}");
}

#[test]
fn requests_that_nginx_failed_in_a_restart_are_those_that_its_clients_saw_fail() {
    story("restart-nginx", Kind::Nginx);
}

#[test]
fn requests_that_apache_failed_in_a_restart_are_those_that_its_clients_saw_fail() {
    story("restart-apache", Kind::Apache);
}

#[test]
fn requests_that_haproxy_failed_in_a_restart_are_those_that_its_clients_saw_fail() {
    story("restart-haproxy", Kind::Haproxy);
}

#[test]
fn requests_that_caddy_failed_in_a_restart_are_those_that_its_clients_saw_fail() {
    story("restart-caddy", Kind::Caddy);
}

#[test]
fn what_traefik_lost_in_a_restart_is_what_its_clients_lost() {
    story("restart-traefik", Kind::Traefik);
}

#[test]
fn what_envoy_lost_in_a_restart_is_what_its_clients_lost() {
    story("restart-envoy", Kind::Envoy);
}
