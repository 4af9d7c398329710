//! The stack of the demo on the real kernel, without the tracer. Needs root and a memory cgroup.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use tracer::demo::{DemoError, Options, ProxyChoice, Stack, rules_toml};
use tracer_model::Endpoint;

fn start(proxy: ProxyChoice) -> Stack {
    let executable = Some(PathBuf::from(env!("CARGO_BIN_EXE_tracer")));
    Stack::start(&Options { proxy, executable }).unwrap()
}

/// Runs the incident, checks what the client saw, and that nothing is left behind.
fn incident(proxy: ProxyChoice) {
    let mut stack = start(proxy);
    let facts = stack.facts().clone();
    let proxy_pid = stack.proxy_pid();
    let cgroups = memory_cgroup(facts.worker_pid);
    assert!(cgroups.contains("tracer-demo-worker"), "{cgroups}");
    let cmdline = fs::read_to_string(format!("/proc/{}/cmdline", facts.worker_pid)).unwrap();
    let cmdline = cmdline.replace('\0', " ");
    assert!(cmdline.contains("demo-worker --port"), "{cmdline}");

    let log = stack.run_incident().unwrap();
    let statuses: Vec<_> = log.exchanges.iter().map(|e| (e.path, e.status)).collect();
    assert_eq!(
        statuses[..3],
        [("/", Some(200)), ("/slow", Some(502)), ("/leak", Some(502))]
    );
    let (last, refused) = statuses[3..].split_last().unwrap();
    assert!(refused.len() >= 2, "{statuses:?}");
    assert!(
        refused.iter().all(|&seen| seen == ("/", Some(502))),
        "{statuses:?}"
    );
    assert_eq!(*last, ("/", Some(200)));
    assert_eq!(log.worker_signal, Some(9));
    assert_ne!(log.restarted_pid, facts.worker_pid);

    drop(stack);
    for pid in [facts.worker_pid, log.restarted_pid, proxy_pid] {
        assert!(
            !Path::new(&format!("/proc/{pid}")).exists(),
            "{pid} still runs"
        );
    }
    for address in [facts.worker, facts.proxy] {
        let Endpoint::Tcp(address) = address else {
            panic!("{address} is not TCP");
        };
        assert!(
            TcpStream::connect(address).is_err(),
            "{address} still listens"
        );
        let own = std::process::id();
        let port = address.port();
        for dir in [
            format!("/tmp/tracer-demo-{own}-{port}"),
            format!("/sys/fs/cgroup/memory/tracer-demo-worker-{own}-{port}"),
            format!("/sys/fs/cgroup/tracer-demo-worker-{own}-{port}"),
        ] {
            assert!(!Path::new(&dir).exists(), "{dir} is left behind");
        }
    }
}

fn memory_cgroup(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

#[test]
fn a_worker_behind_nginx_is_oom_killed_and_comes_back() {
    incident(ProxyChoice::Nginx);
}

#[test]
fn a_worker_behind_the_built_in_proxy_is_oom_killed_and_comes_back() {
    incident(ProxyChoice::BuiltIn);
}

#[test]
fn an_incident_can_be_interrupted() {
    let mut stack = start(ProxyChoice::BuiltIn);
    stack.stopper().stop();
    assert!(matches!(stack.run_incident(), Err(DemoError::Stopped)));
}

#[test]
fn the_rules_name_both_programs_and_no_others() {
    let stack = start(ProxyChoice::BuiltIn);
    let rules: toml::Table = rules_toml(stack.facts()).parse().unwrap();
    let rules = rules["service"].as_array().unwrap();
    let field = |n: usize, key: &str| rules[n][key].as_str().unwrap().to_owned();
    let port = |address: &Endpoint| match address {
        Endpoint::Tcp(address) => address.port(),
        Endpoint::Unix(path) => panic!("{path}"),
    };
    let worker = port(&stack.facts().worker);
    let proxy = port(&stack.facts().proxy);
    assert_eq!(field(0, "name"), "demo-api");
    assert_eq!(
        field(0, "cmdline"),
        format!("demo-worker --port {worker}\\b")
    );
    assert_eq!(field(1, "name"), "demo-proxy");
    assert_eq!(field(1, "cmdline"), format!("demo-proxy --port {proxy}\\b"));
}
