//! Requests that failed behind Traefik: what curl saw compared with the findings, both ways.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_traefik_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-traefik-tcp", Kind::Traefik, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_over_kept_connections_are_reported_with_a_json_log() {
    let mut scene = Scene::start("shop-traefik-kept", Kind::Traefik, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}

/// Only the log has these requests, without a reason. The reason comes from the connections to the
/// application.
#[test]
fn failed_requests_inside_tls_are_reported() {
    let mut scene = Scene::start("shop-traefik-tls", Kind::Traefik, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_inside_tls_are_reported_with_a_common_log() {
    let name = "shop-traefik-tls-common";
    let mut scene = Scene::start(name, Kind::Traefik, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_over_http_2_are_reported() {
    let mut scene = Scene::start("shop-traefik-h2", Kind::Traefik, Upstream::Tcp, |setup| {
        setup.listen = Listen::TlsHttp2;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}
