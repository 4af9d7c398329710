//! Requests that failed behind Envoy: what curl saw compared with the findings, both ways.

use std::time::Duration;

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};
use tracer_tests::wait_until;

#[test]
fn each_failed_request_of_envoy_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-envoy-tcp", Kind::Envoy, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

/// The kernel sees the requests at once; their lines come long after the findings.
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
fn failed_requests_over_kept_connections_are_reported_with_a_json_log() {
    let mut scene = Scene::start("shop-envoy-kept", Kind::Envoy, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_to_a_unix_socket_are_reported() {
    let mut scene = Scene::start("shop-envoy-unix", Kind::Envoy, Upstream::Unix, |_| {});
    scene.all_ways();
    scene.check();
}

/// Only the log has these requests.
#[test]
fn failed_requests_inside_tls_are_reported() {
    let mut scene = Scene::start("shop-envoy-tls", Kind::Envoy, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_over_http_2_are_reported() {
    let mut scene = Scene::start("shop-envoy-h2", Kind::Envoy, Upstream::Tcp, |setup| {
        setup.listen = Listen::TlsHttp2;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}
