//! `tracer deploy` around `systemctl restart`: a good release, one that exits on its start, one
//! that leaks under load, one that never listens.

use std::fs;
use std::path::Path;
use std::process::Command;

use tracer_tests::stack::deployment::{Deployed, Load};

use super::systemd::{WORKER, stack, wait_for_answer};
use crate::systemd::{main_pid, systemctl};

const SCRIPT: &str = "cp /run/release.py /run/worker.py && systemctl restart api.service";

pub fn run() {
    stack();
    good();
    leaks();
    dies();
    deaf();
    systemctl(&["stop", "nginx.service", "api.service"]);
}

/// Deploys this program as api.service.
fn deploy(release: &str, grace: &str) -> Deployed {
    fs::write("/run/release.py", release).unwrap();
    let folder = Path::new("/run");
    Deployed::by("api.service", grace, folder, &[], &["sh", "-c", SCRIPT])
}

fn good() {
    let before = main_pid("api.service");
    let deployed = deploy(WORKER, "20s");
    assert_eq!(deployed.status.code(), Some(0), "{deployed:#?}");
    let service = deployed.service();
    assert_eq!(service["asked_for"], 1, "{deployed:#?}");
    assert_eq!(service["unexpected"], 0, "{deployed:#?}");
    assert_eq!(service["ended"][0]["pid"], before, "{deployed:#?}");
    assert_eq!(service["new"][0], main_pid("api.service"), "{deployed:#?}");
    let listener = &service["listeners"][0];
    assert_eq!(listener["address"], "127.0.0.1:3000", "{deployed:#?}");
    assert_eq!(listener["state"], "back", "{deployed:#?}");
    assert_eq!(service["memory"]["limit_bytes"], 64 << 20, "{deployed:#?}");
}

/// The release leaks two seconds after each start: that is the load.
fn leaks() {
    let leak = "server.listen(64)
import threading, time
def leak():
    time.sleep(2)
    hoard = bytearray(256 << 20)
    for page in range(0, 256 << 20, 4096):
        hoard[page] = 1
threading.Thread(target=leak).start()";
    let release = WORKER.replace("server.listen(64)", leak);
    assert_ne!(release, WORKER);
    let load = Load::on(80);
    let deployed = deploy(&release, "30s");
    drop(load);
    assert_eq!(deployed.status.code(), Some(3), "{deployed:#?}");
    let service = deployed.service();
    let ended = service["ended"].as_array().unwrap();
    assert_eq!(ended[0]["asked_for"], true, "{deployed:#?}");
    let oom = ended.iter().find(|it| it["cause"] == "oom_cgroup");
    let oom = oom.unwrap_or_else(|| panic!("no OOM kill: {deployed:#?}"));
    assert_eq!(oom["asked_for"], false, "{deployed:#?}");
    let failures = deployed.failures();
    assert!(failures.contains(&"death"), "{deployed:#?}");
    assert!(failures.contains(&"request_failed"), "{deployed:#?}");
}

fn dies() {
    recover();
    let deployed = deploy("raise SystemExit(7)\n", "40s");
    assert_eq!(deployed.status.code(), Some(3), "{deployed:#?}");
    let service = deployed.service();
    assert_eq!(service["crash_loop"], true, "{deployed:#?}");
    assert_eq!(service["asked_for"], 1, "{deployed:#?}");
    let state = &service["listeners"][0]["state"];
    assert_eq!(state, "not_back", "{deployed:#?}");
}

fn deaf() {
    recover();
    let deployed = deploy("import time\ntime.sleep(999)\n", "10s");
    assert_eq!(deployed.status.code(), Some(3), "{deployed:#?}");
    let service = deployed.service();
    assert_eq!(service["unexpected"], 0, "{deployed:#?}");
    let state = &service["listeners"][0]["state"];
    assert_eq!(state, "not_back", "{deployed:#?}");
    assert_eq!(deployed.failures(), ["listener_down"], "{deployed:#?}");
}

/// Starts the good release, even if systemd has counted too many starts.
fn recover() {
    fs::write("/run/worker.py", WORKER).unwrap();
    systemctl(&["stop", "api.service"]);
    // This fails if the unit has not failed: systemd has forgotten it then.
    let _ = Command::new("systemctl")
        .args(["reset-failed", "api.service"])
        .status();
    systemctl(&["start", "api.service"]);
    wait_for_answer(200);
}
