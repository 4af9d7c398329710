//! Failed requests behind HAProxy: those that curl saw are those that are reported.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_haproxy_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-haproxy-tcp", Kind::Haproxy, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_inside_tls_are_reported() {
    let mut scene = Scene::start("shop-haproxy-tls", Kind::Haproxy, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_over_kept_connections_are_reported() {
    let mut scene = Scene::start("shop-haproxy-kept", Kind::Haproxy, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn failed_requests_to_a_unix_socket_are_reported() {
    let mut scene = Scene::start("shop-haproxy-unix", Kind::Haproxy, Upstream::Unix, |_| {});
    scene.all_ways();
    scene.check();
}
