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
fn each_is_behind_tls() {
    let mut scene = Scene::start("shop-haproxy-tls", Kind::Haproxy, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_when_connections_are_kept() {
    let mut scene = Scene::start("shop-haproxy-kept", Kind::Haproxy, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn each_is_when_the_upstream_is_a_unix_socket() {
    let mut scene = Scene::start("shop-haproxy-unix", Kind::Haproxy, Upstream::Unix, |_| {});
    scene.all_ways();
    scene.check();
}
