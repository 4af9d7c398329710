//! The whole machine runs out of memory. The kernel's choice is told, with whoever asked for the
//! last page, and the tracer is still there to tell it.

use std::fs;

use crate::findings::{TracerService, about, only};
use crate::systemd::{main_pid, systemctl, unit, wait_for_state};

pub fn run() {
    let fixture = std::env::current_exe().unwrap().with_file_name("fixture");
    unit(
        "glutton.service",
        &format!(
            // Locked: a glutton whose code is taken from it with everybody else's has to read it
            // again for each page it takes, and an emulated guest then stands still for minutes.
            "[Service]\nExecStart={} leak-locked\nType=exec\n",
            fixture.display()
        ),
    );
    let mut tracer = TracerService::start();
    let score = format!("/proc/{}/oom_score_adj", main_pid("tracer.service"));
    assert_eq!(fs::read_to_string(score).unwrap().trim(), "-900");
    systemctl(&["start", "glutton.service"]);
    let pid = main_pid("glutton.service");
    let mark = tracer.wait_for("the OOM killer's choice", |one| {
        one["kind"] == "oom" && one["process"]["pid"] == pid
    });
    tracer.death_of(pid);
    wait_for_state("glutton.service", "failed");
    // Also asserts that the service never went.
    let findings = tracer.stop();
    let death = only(&findings, "death", "glutton.service");
    for finding in [&mark, death] {
        assert_eq!(finding["cause"], "oom_global", "{finding}");
        assert_eq!(finding["process"]["pid"], pid, "{finding}");
        assert!(finding["memory"]["limit_cgroup"].is_null(), "{finding}");
        // Mostly the glutton itself; whoever else it was has a name.
        let trigger = &finding["trigger"];
        assert!(trigger["pid"].as_u64().is_some(), "{finding}");
        assert!(!trigger["comm"].as_str().unwrap().is_empty(), "{finding}");
    }
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    assert_eq!(about(&findings, "death", "tracer.service").len(), 0);
}
