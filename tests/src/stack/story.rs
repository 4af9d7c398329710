//! One outage of a node worker behind nginx, as the client and the tracer see it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::http::get_meanwhile;
use super::nginx::Nginx;
use super::node::WARM_UP;
use crate::patience::wait_until;
use crate::tracer::Tracer;

/// Name of the script that kills the worker.
pub const KILLER: &str = "deploy.sh";

/// How the worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// It reaches the limit of its cgroup.
    Oom,
    /// The script of an administrator sends SIGKILL.
    Deploy,
    /// It exits with status 1.
    Exit,
}

/// A finished outage.
pub struct Outage {
    /// Pid of the worker that died.
    pub pid: u64,
    /// The findings, `start` to `end`.
    pub findings: Vec<Value>,
    /// How many connects failed while nothing listened, according to nginx's log.
    pub refused: u64,
}

/// Starts the tracer, makes the worker die with a request in flight, sees 502, and waits until the
/// worker is back and the tracer has reported that.
#[track_caller]
pub fn outage(folder: &Path, nginx: &Nginx, service: &str, kill: Kill) -> Outage {
    let pid = nginx.wait_for(200).number("pid");
    let refused_before = nginx.failed_connects();
    let mut tracer = Tracer::start::<&str>([]);
    let slow = get_meanwhile(nginx.port(), "/slow");
    wait_until("a slow request", Duration::from_secs(5), || {
        (nginx.get("/").number("slow") == 1).then_some(())
    });
    match kill {
        Kill::Oom => assert_eq!(nginx.get("/leak").status, 502),
        Kill::Deploy => kill_by_script(folder, pid),
        Kill::Exit => assert_eq!(nginx.get("/exit").status, 502),
    }
    assert_eq!(slow.join().unwrap().unwrap().status, 502);
    nginx.wait_for(502);
    assert_ne!(nginx.wait_for(200).number("pid"), pid);
    let refused = nginx.failed_connects() - refused_before;
    assert!(refused > 0, "no connect failed while nothing listened");
    tracer.wait_for("the closed incident", Duration::from_secs(5), |f| {
        f["kind"] == "incident" && f["state"] == "closed" && f["service"]["name"] == service
    });
    for _ in 0..5 {
        assert_eq!(nginx.get("/").status, 200);
    }
    assert_eq!(nginx.failed_connects() - refused_before, refused);
    Outage {
        pid,
        findings: tracer.stop().findings,
        refused,
    }
}

/// Waits for the worker, watches, has a manager's client restart it, and waits until it listens
/// again and the tracer has reported that.
#[track_caller]
pub fn restart(nginx: &Nginx, service: &str, client: &mut Command) -> Outage {
    let pid = nginx.wait_for(200).number("pid");
    let refused_before = nginx.failed_connects();
    let mut tracer = Tracer::start::<&str>([]);
    let output = client.output().unwrap();
    assert!(output.status.success(), "{client:?}: {output:?}");
    tracer.wait_for("the restart", Duration::from_secs(15), |f| {
        f["kind"] == "listener_up" && f["service"]["name"] == service
    });
    assert_ne!(nginx.wait_for(200).number("pid"), pid);
    Outage {
        pid,
        findings: tracer.stop().findings,
        refused: nginx.failed_connects() - refused_before,
    }
}

/// Kills a process with SIGKILL from a script named [`KILLER`].
#[track_caller]
pub fn kill_by_script(folder: &Path, pid: u64) {
    let script = folder.join(KILLER);
    fs::write(&script, "#!/bin/sh\nkill -KILL \"$1\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let status = Command::new(script).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

impl Outage {
    /// The findings of this kind that fit.
    pub fn of(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Vec<&Value> {
        self.findings
            .iter()
            .filter(|finding| finding["kind"] == kind && fits(finding))
            .collect()
    }

    /// The only finding of this kind that fits.
    #[track_caller]
    pub fn only(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> &Value {
        match self.of(kind, fits)[..] {
            [one] => one,
            ref many => panic!(
                "{} findings of kind {kind}: {:#?}",
                many.len(),
                self.findings
            ),
        }
    }

    /// Checks all findings about the outage of `service`, which listens on `port`.
    #[track_caller]
    pub fn check(&self, kill: Kill, service: &str, manager: &str, port: u16) {
        let outage = Expected {
            outage: self,
            kill,
            service,
            address: format!("127.0.0.1:{port}"),
        };
        let running = self.findings[0]["services"].as_array().unwrap();
        let listed = running.iter().find(|it| it["name"] == service).unwrap();
        let listens = serde_json::json!([outage.address]);
        assert_eq!(listed["listens"], listens, "{listed}");

        let death = outage.check_death(manager);
        outage.check_listener();
        let closed = outage.check_incident(death);
        outage.check_failed_connects(death);
        outage.check_cuts(death, closed);
    }
}

/// An outage, and the findings that it must have.
struct Expected<'a> {
    outage: &'a Outage,
    kill: Kill,
    service: &'a str,
    address: String,
}

impl<'a> Expected<'a> {
    fn is_ours(&self, finding: &Value) -> bool {
        finding["service"]["name"] == self.service
    }

    fn cause(&self) -> &'static str {
        match self.kill {
            Kill::Oom => "oom_cgroup",
            Kill::Deploy => "killed",
            Kill::Exit => "error",
        }
    }

    /// Returns the only death.
    #[track_caller]
    fn check_death(&self, manager: &str) -> &'a Value {
        let pid = self.outage.pid;
        let death = self.outage.only("death", |f| self.is_ours(f));
        assert_eq!(death["process"]["pid"], pid, "{death}");
        assert_eq!(death["service"]["manager"], manager, "{death}");
        assert_eq!(death["cause"], self.cause(), "{death}");
        match self.kill {
            Kill::Oom => {
                assert_eq!(death["signal"], "SIGKILL", "{death}");
                assert!(death["memory"]["limit_bytes"].is_u64(), "{death}");
                let oom = self.outage.only("oom", |f| self.is_ours(f));
                assert_eq!(oom["process"]["pid"], pid);
            }
            Kill::Deploy => {
                assert_eq!(death["signal"], "SIGKILL", "{death}");
                assert_eq!(death["by"]["comm"], KILLER, "{death}");
            }
            Kill::Exit => {
                assert_eq!(death["exit_code"], 1, "{death}");
                assert!(death["signal"].is_null(), "{death}");
                assert!(death["by"].is_null(), "{death}");
            }
        }
        death
    }

    #[track_caller]
    fn check_listener(&self) {
        let down = self.outage.only("listener_down", |f| self.is_ours(f));
        assert_eq!(down["address"], self.address, "{down}");
        let up = self.outage.only("listener_up", |f| self.is_ours(f));
        assert_eq!(up["address"], self.address, "{up}");
        assert_ne!(up["process"]["pid"], self.outage.pid, "{up}");
        let down_ms = up["down_ms"].as_f64().unwrap();
        let warm_up_ms = WARM_UP.as_secs_f64() * 1000.0;
        assert!((warm_up_ms..15_000.0).contains(&down_ms), "{up}");
    }

    /// Returns the closed incident.
    #[track_caller]
    fn check_incident(&self, death: &Value) -> &'a Value {
        let [opened, closed] = ["open", "closed"].map(|state| {
            let fits = |f: &Value| self.is_ours(f) && f["state"] == state;
            self.outage.only("incident", fits)
        });
        for incident in [opened, closed] {
            assert_eq!(incident["cause"], self.cause(), "{incident}");
            assert_eq!(incident["id"], death["incident"], "{incident}");
        }
        assert_eq!(closed["deaths"], 1, "{closed}");
        assert_eq!(closed["crash_loop"], false, "{closed}");
        assert_eq!(closed["connects_failed"], self.outage.refused, "{closed}");
        closed
    }

    /// The findings count as many failed connects as nginx logged.
    #[track_caller]
    fn check_failed_connects(&self, death: &Value) {
        let at_worker = |f: &Value| f["upstream"]["address"] == *self.address;
        let mut count = 0;
        for failure in self.outage.of("connect_failed", at_worker) {
            assert_eq!(failure["proxy"]["name"], "nginx", "{failure}");
            assert_eq!(failure["proxy"]["manager"], "proxy", "{failure}");
            assert_eq!(failure["upstream"]["service"], self.service, "{failure}");
            assert_eq!(failure["error"], "refused", "{failure}");
            assert_eq!(failure["because"]["cause"], self.cause(), "{failure}");
            assert_eq!(failure["because"]["death"], self.outage.pid, "{failure}");
            assert_eq!(failure["because"]["incident"], death["incident"]);
            count += failure["count"].as_u64().unwrap();
        }
        assert_eq!(count, self.outage.refused);
    }

    /// The connections of the slow request and of the request that killed the worker were cut.
    #[track_caller]
    fn check_cuts(&self, death: &Value, closed: &Value) {
        let expected = if self.kill == Kill::Deploy { 1 } else { 2 };
        // In one finding, unless the dying process took long between closing them.
        let mut count = 0;
        for cut in self.outage.of("connection_cut", |f| self.is_ours(f)) {
            assert_eq!(cut["address"], self.address, "{cut}");
            assert_eq!(cut["pid"], self.outage.pid, "{cut}");
            assert_eq!(cut["peer"]["name"], "nginx", "{cut}");
            assert_eq!(cut["incident"], death["incident"], "{cut}");
            count += cut["count"].as_u64().unwrap();
        }
        assert_eq!(count, expected);
        assert_eq!(closed["connections_cut"], expected, "{closed}");
    }
}
