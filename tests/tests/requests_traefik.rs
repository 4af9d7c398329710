//! Requests that failed behind Traefik: what curl saw and what is found, both ways.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_traefik_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-traefik-tcp", Kind::Traefik, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_when_connections_are_kept_and_the_log_is_json() {
    let mut scene = Scene::start("shop-traefik-kept", Kind::Traefik, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}

/// Only its log sees those, without a reason: that comes from its connections to the application.
#[test]
fn each_is_behind_tls() {
    let mut scene = Scene::start("shop-traefik-tls", Kind::Traefik, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_behind_tls_when_the_log_is_in_the_common_format() {
    let name = "shop-traefik-tls-common";
    let mut scene = Scene::start(name, Kind::Traefik, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_with_http_2() {
    let mut scene = Scene::start("shop-traefik-h2", Kind::Traefik, Upstream::Tcp, |setup| {
        setup.listen = Listen::TlsHttp2;
        setup.json_log = true;
    });
    scene.all_ways();
    scene.check();
}
