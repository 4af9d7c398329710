//! Requests that failed behind nginx: what curl saw and what is found, both ways.

use tracer_tests::stack::proxy::{Kind, Listen};
use tracer_tests::stack::scene::{Scene, Upstream};

#[test]
fn each_failed_request_of_nginx_is_reported_once_with_its_cause() {
    let mut scene = Scene::start("shop-nginx-tcp", Kind::Nginx, Upstream::Tcp, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn so_it_is_when_the_upstream_is_a_unix_socket() {
    let mut scene = Scene::start("shop-nginx-unix", Kind::Nginx, Upstream::Unix, |_| {});
    scene.all_ways();
    scene.check();
}

#[test]
fn so_it_is_when_connections_to_the_upstream_are_kept() {
    let mut scene = Scene::start("shop-nginx-kept", Kind::Nginx, Upstream::Tcp, |setup| {
        setup.keep_alive = true;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn so_it_is_behind_tls() {
    let mut scene = Scene::start("shop-nginx-tls", Kind::Nginx, Upstream::Tcp, |setup| {
        setup.listen = Listen::Tls;
    });
    scene.all_ways();
    scene.check();
}

#[test]
fn so_it_is_with_http_2() {
    let mut scene = Scene::start("shop-nginx-h2", Kind::Nginx, Upstream::Tcp, |setup| {
        setup.listen = Listen::TlsHttp2;
    });
    scene.all_ways();
    scene.check();
}
