//! One outage of a node worker behind nginx, as client and tracer see it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::http::get_meanwhile;
use super::{Nginx, wait_until};
use crate::Tracer;

/// Name of the script that kills.
pub const KILLER: &str = "deploy.sh";

/// How the worker comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// Its cgroup's limit.
    Oom,
    /// SIGKILL by the script of an administrator.
    Deploy,
    /// Itself, with status 1.
    Exit,
}

/// An outage, start to end.
pub struct Outage {
    /// Pid of the worker that died.
    pub pid: u64,
    /// The findings, `start` to `end`.
    pub findings: Vec<Value>,
    /// How many connects failed while nothing listened, by nginx's own log.
    pub refused: u64,
}

/// Waits for the worker, watches, ends it with a request in flight, sees 502, waits until it is
/// back, and for the tracer to say so.
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
    assert!(refused > 0, "no request came while nothing listened");
    tracer.wait_for("the end of the incident", Duration::from_secs(5), |f| {
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

/// SIGKILL by a script, [`KILLER`], whose name tells who it was.
#[track_caller]
pub fn kill_by_script(folder: &Path, pid: u64) {
    let script = folder.join(KILLER);
    fs::write(&script, "#!/bin/sh\nkill -KILL \"$1\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let status = Command::new(script).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

impl Outage {
    /// The findings of a kind that fit.
    pub fn of(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Vec<&Value> {
        self.findings
            .iter()
            .filter(|finding| finding["kind"] == kind && fits(finding))
            .collect()
    }

    /// The finding of a kind that fits, of which there is just one.
    #[track_caller]
    pub fn only(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> &Value {
        match self.of(kind, fits)[..] {
            [one] => one,
            ref many => panic!("{} of {kind}: {:#?}", many.len(), self.findings),
        }
    }

    /// Checks all that was found about the outage of `service`, which listens on `port`.
    #[track_caller]
    pub fn check(&self, kill: Kill, service: &str, manager: &str, port: u16) {
        let address = format!("127.0.0.1:{port}");
        let cause = match kill {
            Kill::Oom => "oom_cgroup",
            Kill::Deploy => "killed",
            Kill::Exit => "error",
        };
        let is_ours = |f: &Value| f["service"]["name"] == service;

        let running = self.findings[0]["services"].as_array().unwrap();
        let listed = running.iter().find(|it| it["name"] == service).unwrap();
        assert_eq!(listed["listens"], serde_json::json!([address]), "{listed}");

        let death = self.only("death", is_ours);
        assert_eq!(death["process"]["pid"], self.pid, "{death}");
        assert_eq!(death["service"]["manager"], manager, "{death}");
        assert_eq!(death["cause"], cause, "{death}");
        match kill {
            Kill::Oom => {
                assert_eq!(death["signal"], "SIGKILL", "{death}");
                assert!(death["memory"]["limit_bytes"].is_u64(), "{death}");
                assert_eq!(self.only("oom", is_ours)["process"]["pid"], self.pid);
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

        let down = self.only("listener_down", is_ours);
        assert_eq!(down["address"], address, "{down}");
        let up = self.only("listener_up", is_ours);
        assert_eq!(up["address"], address, "{up}");
        assert_ne!(up["process"]["pid"], self.pid, "{up}");
        let down_ms = up["down_ms"].as_f64().unwrap();
        let warm_up_ms = super::WARM_UP.as_secs_f64() * 1000.0;
        assert!((warm_up_ms..15_000.0).contains(&down_ms), "{up}");

        let opened = self.only("incident", |f| is_ours(f) && f["state"] == "open");
        let closed = self.only("incident", |f| is_ours(f) && f["state"] == "closed");
        for incident in [opened, closed] {
            assert_eq!(incident["cause"], cause, "{incident}");
            assert_eq!(incident["id"], death["incident"], "{incident}");
        }
        assert_eq!(closed["deaths"], 1, "{closed}");
        assert_eq!(closed["crash_loop"], false, "{closed}");
        assert_eq!(closed["connects_failed"], self.refused, "{closed}");

        // As many as nginx itself complains of: none is missed, none invented.
        let failures = self.of("connect_failed", |f| f["upstream"]["address"] == *address);
        let mut count = 0;
        for failure in failures {
            assert_eq!(failure["proxy"]["name"], "nginx", "{failure}");
            assert_eq!(failure["proxy"]["manager"], "proxy", "{failure}");
            assert_eq!(failure["upstream"]["service"], service, "{failure}");
            assert_eq!(failure["error"], "refused", "{failure}");
            assert_eq!(failure["because"]["cause"], cause, "{failure}");
            assert_eq!(failure["because"]["death"], self.pid, "{failure}");
            assert_eq!(failure["because"]["incident"], death["incident"]);
            count += failure["count"].as_u64().unwrap();
        }
        assert_eq!(count, self.refused);

        // The slow request, and the one that ended the worker.
        let expected = if kill == Kill::Deploy { 1 } else { 2 };
        // Told together, unless closing them takes the dying process longer than that.
        let mut count = 0;
        for cut in self.of("connection_cut", is_ours) {
            assert_eq!(cut["address"], address, "{cut}");
            assert_eq!(cut["pid"], self.pid, "{cut}");
            assert_eq!(cut["peer"]["name"], "nginx", "{cut}");
            assert_eq!(cut["incident"], death["incident"], "{cut}");
            count += cut["count"].as_u64().unwrap();
        }
        assert_eq!(count, expected);
        assert_eq!(closed["connections_cut"], expected, "{closed}");
    }
}
