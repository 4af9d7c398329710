//! A capture survives a power failure: `write` records an incident and lets the host cut the power,
//! `read` replays the file after the next boot.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tracer_tests::binary;

use super::systemd::stack;
use crate::findings::TracerService;
use crate::host;
use crate::systemd::{main_pid, systemctl, unit};

/// On the disk that survives the power failure.
const FILE: &str = "/run/vm/data/capture";
const PID: &str = "/run/vm/data/pid";
/// Time itself is tested: a recording is on the disk after a second. The machine is slow.
const WRITTEN: Duration = Duration::from_secs(10);

pub fn write() {
    stack();
    let pid = main_pid("api.service");
    fs::write(PID, pid.to_string()).unwrap();
    rustix::fs::sync();
    unit(
        "recorder.service",
        &format!(
            "[Service]\nExecStart={} record -o {FILE}\nStandardOutput=tty\nStandardError=tty\n\
             TTYPath=/dev/console\n",
            binary().display()
        ),
    );
    systemctl(&["start", "recorder.service"]);
    let mut tracer = TracerService::start();
    let _ = tracer_tests::stack::http::get(80, "/leak");
    tracer.death_of(pid);
    tracer.wait_for("the closed incident", |finding| {
        finding["kind"] == "incident" && finding["state"] == "closed"
    });
    std::thread::sleep(WRITTEN);
    host::send("cut");
    // The host cuts the power meanwhile.
    std::thread::sleep(Duration::from_mins(2));
    panic!("the power was not cut");
}

pub fn read() {
    let pid: u32 = fs::read_to_string(PID).unwrap().parse().unwrap();
    let output = Command::new(binary())
        .args(["replay", "--json", FILE])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let findings: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let deaths = findings
        .iter()
        .filter(|one| one["kind"] == "death" && one["service"]["name"] == "api.service");
    let deaths: Vec<_> = deaths.collect();
    let [death] = deaths[..] else {
        panic!("{} deaths of api.service:\n{said}", deaths.len());
    };
    assert_eq!(death["process"]["pid"], pid, "{death}");
    assert_eq!(death["cause"], "oom_cgroup", "{death}");
    let closed = findings
        .iter()
        .any(|one| one["kind"] == "incident" && one["state"] == "closed");
    assert!(closed, "no closed incident in the capture:\n{said}");
}
