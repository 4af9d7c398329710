//! Requests that failed behind Caddy: what curl saw and what is found, both ways.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_caddy_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-caddy-tcp", Kind::Caddy, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_behind_tls() {
    let mut scene = Scene::start("shop-caddy-tls", Kind::Caddy, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
        setup.access_log = true;
    });
    scene.all_ways();
    scene.check();
}

/// The log then has two lines for a request that failed, and the kernel sees it too.
#[test]
fn each_is_when_all_requests_are_logged() {
    let mut scene = Scene::start("shop-caddy-log", Kind::Caddy, Upstream::Tcp, |setup| {
        setup.access_log = true;
        setup.keep_alive = true;
    });
    scene.all_ways();
    scene.check();
}
