//! nginx in front of PHP-FPM, on a unix socket.
//!
//! The name of a pool does not identify the installation, so that two pools at a time would be one
//! service: the tests take turns.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tracer_tests::stack::http::get_meanwhile;
use tracer_tests::stack::{KILLER, Nginx, PhpFpm, asset, kill_by_script};
use tracer_tests::{MemoryCgroup, Tracer, wait_until};

const POOL: &str = "php-fpm/shop";
const MASTER: &str = "php-fpm";
const SHORT: Duration = Duration::from_secs(5);

const LIMIT_BYTES: u64 = 128 << 20;

static TURN: Mutex<()> = Mutex::new(());

struct Shop {
    fpm: PhpFpm,
    nginx: Nginx,
    started: PathBuf,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Shop {
    fn start(cgroup: Option<&MemoryCgroup>) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let started = folder.path().join("started");
        let fpm = PhpFpm::start(folder.path(), cgroup);
        let nginx = Nginx::before_fastcgi(folder.path(), fpm.socket(), &asset("app.php"), &started);
        nginx.wait_for(200);
        Self {
            fpm,
            nginx,
            started,
            folder,
            _turn: turn,
        }
    }

    fn address(&self) -> String {
        format!("unix:{}", self.fpm.socket().display())
    }

    /// Pid of the worker that handles the slow request.
    fn busy_worker(&self) -> u64 {
        wait_until("a worker with the slow request", SHORT, || {
            let text = fs::read_to_string(&self.started).ok()?;
            text.strip_suffix('\n')?.parse().ok()
        })
    }
}

fn of<'a>(findings: &'a [Value], kind: &str, service: &str) -> Vec<&'a Value> {
    findings
        .iter()
        .filter(|f| f["kind"] == kind && f["service"]["name"] == service)
        .collect()
}

/// The only finding of its kind about a service.
#[track_caller]
fn only<'a>(findings: &'a [Value], kind: &str, service: &str) -> &'a Value {
    match of(findings, kind, service)[..] {
        [one] => one,
        ref many => panic!("{} findings of kind {kind}: {findings:#?}", many.len()),
    }
}

/// The closed incident of a service; checks that there is only one, and that it was opened before.
#[track_caller]
fn incident<'a>(findings: &'a [Value], service: &str, cause: &str) -> &'a Value {
    match of(findings, "incident", service)[..] {
        [opened, closed] => {
            assert_eq!(opened["state"], "open", "{opened}");
            assert_eq!(closed["state"], "closed", "{closed}");
            assert_eq!(opened["id"], closed["id"]);
            assert_eq!(closed["cause"], cause, "{closed}");
            closed
        }
        ref many => panic!("{} incidents: {findings:#?}", many.len()),
    }
}

/// Checks that the only failed request was at the socket of the master, and is blamed on the
/// worker.
#[track_caller]
fn lost_to(findings: &[Value], worker: u64) {
    let failed: Vec<_> = findings
        .iter()
        .filter(|f| f["kind"] == "request_failed")
        .collect();
    let [request] = failed[..] else {
        panic!("{} failed requests: {failed:#?}", failed.len());
    };
    assert_eq!(request["status"], 502, "{request}");
    assert_eq!(request["upstream"]["service"], MASTER, "{request}");
    let failure = &request["failure"];
    assert!(failure == "cut" || failure == "reset", "{request}");
    assert_eq!(request["because"]["death"], worker, "{request}");
}

fn is_closed(finding: &Value) -> bool {
    finding["kind"] == "incident" && finding["state"] == "closed"
}

#[test]
fn a_killed_pool_worker_is_named_while_the_master_serves_on() {
    let shop = Shop::start(None);
    let mut tracer = Tracer::start::<&str>([]);
    let slow = get_meanwhile(shop.nginx.port(), "/?do=sleep");
    let pid = shop.busy_worker();
    kill_by_script(shop.folder.path(), pid);
    assert_eq!(slow.join().unwrap().unwrap().status, 502);
    tracer.wait_for("the closed incident", SHORT, is_closed);
    // The socket belongs to the master, so requests still succeed.
    for _ in 0..5 {
        assert_eq!(shop.nginx.get("/").status, 200);
    }
    let findings = tracer.stop().findings;

    let death = only(&findings, "death", POOL);
    assert_eq!(death["service"]["manager"], "php-fpm", "{death}");
    assert_eq!(death["process"]["pid"], pid, "{death}");
    assert_eq!(death["cause"], "killed", "{death}");
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    assert_eq!(death["by"]["comm"], KILLER, "{death}");
    let incident = incident(&findings, POOL, "killed");
    assert_eq!(incident["id"], death["incident"]);
    lost_to(&findings, pid);
    assert_eq!(incident["requests_failed"], 1, "{incident}");
    assert_eq!(incident["deaths"], 1, "{incident}");
    assert_eq!(incident["connects_failed"], 0, "{incident}");
    let wrong = findings.iter().find(|f| {
        (f["kind"] == "listener_down" && f["service"]["manager"] == "php-fpm")
            || (f["kind"] == "connect_failed" && f["upstream"]["address"] == *shop.address())
    });
    assert_eq!(wrong, None);
}

#[test]
fn pool_workers_that_replaced_dead_ones_are_named_too() {
    let shop = Shop::start(None);
    let mut tracer = Tracer::start::<&str>([]);
    // There are two workers, so the third that dies started after the tracer.
    for _ in 0..3 {
        let slow = get_meanwhile(shop.nginx.port(), "/?do=sleep");
        let pid = shop.busy_worker();
        // Time itself: the tracer reads the title of a process when that is 300 ms old.
        tracer.watch_for(Duration::from_millis(600));
        kill_by_script(shop.folder.path(), pid);
        assert_eq!(slow.join().unwrap().unwrap().status, 502);
        fs::remove_file(&shop.started).unwrap();
        let death = tracer.death_of(u32::try_from(pid).unwrap());
        assert_eq!(death["service"]["name"], POOL, "{death}");
        assert_eq!(death["by"]["comm"], KILLER, "{death}");
    }
}

#[test]
fn a_pool_worker_killed_for_its_cgroups_limit_is_named() {
    let cgroup = MemoryCgroup::new("pool-oom", LIMIT_BYTES);
    let shop = Shop::start(Some(&cgroup));
    let mut tracer = Tracer::start::<&str>([]);
    assert_eq!(shop.nginx.get("/?do=leak").status, 502);
    tracer.wait_for("the closed incident", SHORT, is_closed);
    for _ in 0..5 {
        assert_eq!(shop.nginx.get("/").status, 200);
    }
    let findings = tracer.stop().findings;

    let death = only(&findings, "death", POOL);
    assert_eq!(death["service"]["manager"], "php-fpm", "{death}");
    assert_eq!(death["cause"], "oom_cgroup", "{death}");
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    assert_eq!(death["memory"]["limit_bytes"], LIMIT_BYTES, "{death}");
    assert_eq!(death["memory"]["limit_cgroup"], cgroup.path(), "{death}");
    let marked = only(&findings, "oom", POOL);
    assert_eq!(marked["process"]["pid"], death["process"]["pid"]);
    let incident = incident(&findings, POOL, "oom_cgroup");
    assert_eq!(incident["id"], death["incident"]);
    assert_eq!(incident["deaths"], 1, "{incident}");
}

#[test]
fn a_stopped_master_explains_the_proxys_missing_socket() {
    let mut shop = Shop::start(None);
    let mut tracer = Tracer::start::<&str>([]);
    let address = shop.address();
    let master = shop.fpm.pid().unwrap();
    assert!(shop.fpm.stop());
    for _ in 0..3 {
        assert_eq!(shop.nginx.get("/").status, 502);
    }
    shop.fpm.start_again(None);
    shop.nginx.wait_for(200);
    let failed = shop.nginx.failed_connects();
    assert!(failed >= 3, "{failed}");
    tracer.wait_for("the closed incident", SHORT, |f| {
        is_closed(f) && f["service"]["name"] == MASTER
    });
    for _ in 0..5 {
        assert_eq!(shop.nginx.get("/").status, 200);
    }
    assert_eq!(shop.nginx.failed_connects(), failed);
    let again = shop.fpm.pid().unwrap();
    let findings = tracer.stop().findings;

    let listed = findings[0]["services"].as_array().unwrap();
    let listed = listed.iter().find(|it| it["name"] == MASTER).unwrap();
    assert_eq!(listed["listens"], serde_json::json!([address]), "{listed}");

    let death = only(&findings, "death", MASTER);
    assert_eq!(death["process"]["pid"], master, "{death}");
    assert_eq!(death["cause"], "clean", "{death}");
    assert_eq!(death["exit_code"], 0, "{death}");
    assert_eq!(death["by"]["pid"], std::process::id(), "{death}");
    // Its workers were stopped, which is not an outage of the pool.
    for death in of(&findings, "death", POOL) {
        assert_eq!(death["cause"], "clean", "{death}");
    }
    assert_eq!(of(&findings, "incident", POOL), Vec::<&Value>::new());

    let down = only(&findings, "listener_down", MASTER);
    assert_eq!(down["address"], address, "{down}");
    let up = only(&findings, "listener_up", MASTER);
    assert_eq!(up["address"], address, "{up}");
    assert_eq!(up["process"]["pid"], again, "{up}");
    assert!(up["down_ms"].as_f64().unwrap() > 0.0, "{up}");

    let incident = incident(&findings, MASTER, "clean");
    let summary = incident["summary"].as_str().unwrap();
    assert!(summary.starts_with("stopped by its parent "), "{incident}");
    assert_eq!(incident["connects_failed"], failed, "{incident}");
    assert_eq!(incident["id"], down["incident"]);

    let mut count = 0;
    for failure in findings
        .iter()
        .filter(|f| f["kind"] == "connect_failed" && f["upstream"]["address"] == *address)
    {
        assert_eq!(failure["proxy"]["name"], "nginx", "{failure}");
        assert_eq!(failure["proxy"]["manager"], "proxy", "{failure}");
        assert_eq!(failure["upstream"]["service"], MASTER, "{failure}");
        // `refused` between bind() and listen() of the new master.
        let error = failure["error"].as_str().unwrap();
        assert!(matches!(error, "no_socket_file" | "refused"), "{failure}");
        assert_eq!(failure["because"]["cause"], "clean", "{failure}");
        assert_eq!(failure["because"]["incident"], incident["id"]);
        count += failure["count"].as_u64().unwrap();
    }
    assert_eq!(count, failed);
}
