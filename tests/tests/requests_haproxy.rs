//! Requests that failed behind HAProxy: what curl saw and what is found, both ways.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_haproxy_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-haproxy-tcp", Kind::Haproxy, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn so_it_is_behind_tls() {
    let mut scene = Scene::start("shop-haproxy-tls", Kind::Haproxy, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}
