//! Requests that failed behind Envoy: what curl saw and what is found, both ways.

use std::time::Duration;

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};
use tracer_tests::stack::wait_until;

#[test]
fn each_failed_request_of_envoy_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-envoy-tcp", Kind::Envoy, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

/// The kernel sees them at once, and their lines come when the findings are long out.
#[test]
fn lines_that_envoy_writes_ten_seconds_late_repeat_nothing() {
    let mut scene = Scene::start("shop-envoy-late", Kind::Envoy, Upstream::Tcp, |setup| {
        setup.log_every_ms = None;
    });
    scene.all_ways();
    wait_until("the last line of the log", Duration::from_secs(30), || {
        scene.proxy.log().contains("/last/ok/2").then_some(())
    });
    scene.check();
}

#[test]
fn each_is_when_connections_are_kept_and_the_log_is_json() {
    let mut scene = Scene::start("shop-envoy-kept", Kind::Envoy, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_when_the_upstream_is_a_unix_socket() {
    let mut scene = Scene::start("shop-envoy-unix", Kind::Envoy, Upstream::Unix, |_| {});
    scene.all_ways();
    scene.check();
}

/// Only its log sees those.
#[test]
fn each_is_behind_tls() {
    let mut scene = Scene::start("shop-envoy-tls", Kind::Envoy, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_with_http_2() {
    let mut scene = Scene::start("shop-envoy-h2", Kind::Envoy, Upstream::Tcp, |setup| {
        setup.listen = Listen::TlsHttp2;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}
