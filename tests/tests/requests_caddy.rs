//! Failed requests behind Caddy: those that curl saw are those that are reported.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_caddy_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-caddy-tcp", Kind::Caddy, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_inside_tls_are_reported() {
    let mut scene = Scene::start("shop-caddy-tls", Kind::Caddy, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
        setup.access_log = true;
    });
    scene.all_ways();
    scene.check();
}

/// The log has two lines for each failed request then, and the kernel is another witness.
#[test]
fn failed_requests_are_reported_once_when_all_requests_are_logged() {
    let mut scene = Scene::start("shop-caddy-log", Kind::Caddy, Upstream::Tcp, |setup| {
        setup.access_log = true;
        setup.keep_alive = true;
    });
    scene.all_ways();
    scene.check();
}
