//! Requests that failed behind Apache: what curl saw and what is found, both ways.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_apache_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-apache-tcp", Kind::Apache, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_behind_tls() {
    let mut scene = Scene::start("shop-apache-tls", Kind::Apache, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_when_connections_to_the_upstream_are_kept() {
    let mut scene = Scene::start("shop-apache-kept", Kind::Apache, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
    });
    scene.all_ways();
    scene.check();
}
