//! nginx in front of a worker with a memory limit, both under systemd: the worker leaks, is
//! OOM-killed, and is restarted. The findings must fit together.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tracer_tests::stack::http::get;
use tracer_tests::wait_until;

use crate::findings::{TracerService, about};
use crate::systemd::{PATIENCE, main_pid, property, systemctl, unit};

const MIB: u64 = 1 << 20;
pub const WORKER: &str = include_str!("worker.py");
const SITE: &str = "server {
    listen 127.0.0.1:80 default_server;
    location / { proxy_pass http://127.0.0.1:3000; }
}
";

/// Starts nginx.service in front of api.service, and waits for a response.
pub fn stack() {
    fs::write("/run/worker.py", WORKER).unwrap();
    unit(
        "api.service",
        "[Service]\nExecStart=/usr/bin/python3 /run/worker.py\nMemoryMax=64M\n\
         MemorySwapMax=0\nRestart=always\nRestartSec=2\n",
    );
    site(SITE);
    systemctl(&["restart", "nginx.service", "api.service"]);
    wait_for_answer(200);
}

/// Makes this the only site of nginx.
pub fn site(text: &str) {
    let folder = "/etc/nginx/sites-enabled";
    for file in fs::read_dir(folder).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    fs::write(format!("{folder}/vm"), text).unwrap();
}

/// Sends requests until the proxy responds with this status.
#[track_caller]
pub fn wait_for_answer(status: u16) {
    wait_until(&format!("a response of {status}"), PATIENCE, || {
        // A slow load: each request may fail and is then reported.
        std::thread::sleep(Duration::from_millis(200));
        get(80, "/").ok().filter(|answer| answer.status == status)
    });
}

pub fn run() {
    stack();
    let pid = main_pid("api.service");
    let mut tracer = TracerService::start();
    assert_eq!(get(80, "/leak").unwrap().status, 502);
    // Until then the backlog of the dead worker may accept a connection.
    tracer.wait_for("the listener going down", |finding| {
        finding["kind"] == "listener_down" && finding["service"]["name"] == "api.service"
    });
    assert_eq!(get(80, "/orders?id=7").unwrap().status, 502);
    wait_for_answer(200);
    assert_eq!(property("api.service", "NRestarts"), "1");
    let closed = tracer.wait_for("the closed incident", |finding| {
        finding["kind"] == "incident" && finding["state"] == "closed"
    });
    let findings = tracer.stop();
    death(&findings, pid);
    outage(&findings, &closed);
    requests(&findings, &closed, pid);
    systemctl(&["stop", "nginx.service", "api.service"]);
}

fn death(findings: &[Value], pid: u32) {
    let events = about(findings, "oom", "api.service");
    let deaths = about(findings, "death", "api.service");
    let ([event], [death]) = (&events[..], &deaths[..]) else {
        panic!("not one OOM victim event and one death: {events:?} {deaths:?}");
    };
    for finding in [event, death] {
        assert_eq!(finding["cause"], "oom_cgroup", "{finding}");
        assert_eq!(finding["process"]["pid"], pid, "{finding}");
        assert_eq!(finding["service"]["manager"], "systemd", "{finding}");
        assert_eq!(finding["memory"]["limit_bytes"], 64 * MIB, "{finding}");
        let cgroup = &finding["memory"]["limit_cgroup"];
        assert_eq!(cgroup, "/system.slice/api.service", "{finding}");
        assert_eq!(finding["trigger"]["pid"], pid, "{finding}");
    }
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    let peak = death["memory"]["peak_bytes"].as_u64().unwrap();
    assert!((32 * MIB..80 * MIB).contains(&peak), "{death}");
}

fn outage(findings: &[Value], closed: &Value) {
    let down = about(findings, "listener_down", "api.service");
    let up = about(findings, "listener_up", "api.service");
    assert_eq!(down[0]["address"], "127.0.0.1:3000", "{down:?}");
    assert_eq!(up[0]["address"], "127.0.0.1:3000", "{up:?}");
    // RestartSec and the start of an interpreter.
    let down_ms = up[0]["down_ms"].as_f64().unwrap();
    assert!((2000.0..60_000.0).contains(&down_ms), "{up:?}");
    assert_eq!(closed["service"]["name"], "api.service", "{closed}");
    assert_eq!(closed["cause"], "oom_cgroup", "{closed}");
    assert_eq!(closed["deaths"], 1, "{closed}");
    let refused = findings.iter().find(|one| {
        one["kind"] == "connect_failed" && one["upstream"]["address"] == "127.0.0.1:3000"
    });
    let refused = refused.unwrap_or_else(|| panic!("no failed connect: {findings:?}"));
    assert_eq!(refused["error"], "refused", "{refused}");
    assert_eq!(refused["proxy"]["name"], "nginx.service", "{refused}");
    assert_eq!(refused["upstream"]["service"], "api.service", "{refused}");
    let cut = findings
        .iter()
        .any(|one| one["kind"] == "connection_cut" && one["service"]["name"] == "api.service");
    assert!(cut, "the connection of the leaking request was not cut");
}

/// Checks both requests: the one that made the worker leak, and the next one.
fn requests(findings: &[Value], closed: &Value, pid: u32) {
    let failed = |path: &str| {
        let fits = |one: &&Value| one["kind"] == "request_failed" && one["path"] == path;
        let found: Vec<_> = findings.iter().filter(fits).collect();
        let [one] = found[..] else {
            panic!("{} failed requests of {path}", found.len());
        };
        one
    };
    for (path, failure) in [("/leak", "cut"), ("/orders", "refused")] {
        let request = failed(path);
        assert_eq!(request["status"], 502, "{request}");
        assert_eq!(request["method"], "GET", "{request}");
        assert_eq!(request["host"], "shop.test", "{request}");
        assert_eq!(request["proxy"]["name"], "nginx.service", "{request}");
        let upstream = &request["upstream"];
        assert_eq!(upstream["address"], "127.0.0.1:3000", "{request}");
        assert_eq!(upstream["service"], "api.service", "{request}");
        assert_eq!(request["failure"], failure, "{request}");
        let because = &request["because"];
        assert_eq!(because["death"], pid, "{request}");
        assert_eq!(because["cause"], "oom_cgroup", "{request}");
        assert_eq!(because["incident"], closed["id"], "{request}");
        let witnesses = request["evidence"].as_array().unwrap();
        for witness in ["http", "log"] {
            assert!(witnesses.contains(&witness.into()), "{request}");
        }
    }
    assert!(closed["requests_failed"].as_u64().unwrap() >= 2, "{closed}");
}
