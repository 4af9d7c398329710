//! Failed requests behind Apache: those that curl saw are those that are reported.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_apache_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-apache-tcp", Kind::Apache, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_inside_tls_are_reported() {
    let mut scene = Scene::start("shop-apache-tls", Kind::Apache, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_over_kept_connections_are_reported() {
    let mut scene = Scene::start("shop-apache-kept", Kind::Apache, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
    });
    scene.all_ways();
    scene.check();
}
