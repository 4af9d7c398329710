//! Hundreds of concurrent requests through a restart: the client's own list of those that failed,
//! and the findings, compared both ways.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::stack::client::{self, Outcome};
use tracer_tests::stack::ledger::{Death, SECRET};
use tracer_tests::stack::proxy::Kind;
use tracer_tests::stack::scene::Scene;
use tracer_tests::stack::{Address, WARM_UP, http, wait_until};

const CLIENTS: u32 = 8;

/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(50);

/// Requests run for so long before the application is killed, and after it is back.
const HEALTHY: Duration = Duration::from_millis(800);

/// Clients that ask, each for paths of its own, until they are stopped.
fn storm(scene: &Scene, during: impl FnOnce()) -> Vec<Outcome> {
    let (proxy, orders) = (scene.proxy.address(), scene.path("api/orders"));
    let stop = AtomicBool::new(false);
    let next = AtomicU32::new(0);
    let client = || {
        let mut outcomes = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            // Every other takes a while, so that some are cut in flight.
            let kind = if number.is_multiple_of(2) {
                "wait"
            } else {
                "ok"
            };
            let target = format!("{orders}/{number}/{kind}?secret={SECRET}");
            outcomes.push(client::get(proxy, &target));
            thread::sleep(PAUSE);
        }
        outcomes
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        during();
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
    let pid = || http::get(port, "/ok").ok().map(|it| it.number("pid"));
    let dead = u32::try_from(pid().unwrap()).unwrap();
    let mut killed = None;
    let outcomes = storm(&scene, || {
        thread::sleep(HEALTHY);
        let pid_of_dead = Pid::from_raw(dead.cast_signed()).unwrap();
        kill_process(pid_of_dead, Signal::KILL).unwrap();
        killed = Some(Instant::now());
        thread::sleep(WARM_UP / 2);
        wait_until("the application's return", Duration::from_secs(15), || {
            pid().filter(|&pid| pid != u64::from(dead))
        });
        thread::sleep(HEALTHY);
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
        scene.lost_in_storm(outcome, &["refused", "cut", "reset"], Some(death));
    }
    let count = scene.ledger.len();
    let findings = scene.check();
    // Other tests run meanwhile and lose requests too.
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
fn what_nginx_lost_in_a_restart_is_what_its_clients_lost() {
    story("restart-nginx", Kind::Nginx);
}

#[test]
fn what_apache_lost_in_a_restart_is_what_its_clients_lost() {
    story("restart-apache", Kind::Apache);
}

#[test]
fn what_haproxy_lost_in_a_restart_is_what_its_clients_lost() {
    story("restart-haproxy", Kind::Haproxy);
}

#[test]
fn what_caddy_lost_in_a_restart_is_what_its_clients_lost() {
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
