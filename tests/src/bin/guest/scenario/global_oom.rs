//! The whole machine runs out of memory. The tracer survives, and reports the victim and the
//! trigger of the OOM kill.

use std::fs;

use crate::findings::{TracerService, about, only};
use crate::systemd::{main_pid, systemctl, unit, wait_for_state};

pub fn run() {
    let fixture = std::env::current_exe().unwrap().with_file_name("fixture");
    unit(
        "glutton.service",
        &format!(
            // Its code is locked in memory. Otherwise the kernel drops the code, the glutton has to
            // reread it for each page, and an emulated guest stands still for minutes.
            "[Service]\nExecStart={} leak-locked\nType=exec\n",
            fixture.display()
        ),
    );
    let mut tracer = TracerService::start();
    let score = format!("/proc/{}/oom_score_adj", main_pid("tracer.service"));
    assert_eq!(fs::read_to_string(score).unwrap().trim(), "-900");
    systemctl(&["start", "glutton.service"]);
    let pid = main_pid("glutton.service");
    let mark = tracer.wait_for("the OOM victim", |one| {
        one["kind"] == "oom" && one["process"]["pid"] == pid
    });
    tracer.death_of(pid);
    wait_for_state("glutton.service", "failed");
    // Also asserts that the service ran until now.
    let findings = tracer.stop();
    let death = only(&findings, "death", "glutton.service");
    for finding in [&mark, death] {
        assert_eq!(finding["cause"], "oom_global", "{finding}");
        assert_eq!(finding["process"]["pid"], pid, "{finding}");
        assert!(finding["memory"]["limit_cgroup"].is_null(), "{finding}");
        // Usually the glutton itself. Any other trigger has a name too.
        let trigger = &finding["trigger"];
        assert!(trigger["pid"].as_u64().is_some(), "{finding}");
        assert!(!trigger["comm"].as_str().unwrap().is_empty(), "{finding}");
    }
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    assert_eq!(about(&findings, "death", "tracer.service").len(), 0);
}
