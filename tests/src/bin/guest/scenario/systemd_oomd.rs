//! systemd-oomd kills a whole unit because of its memory pressure.

use std::fs;

use super::hog::hog;
use crate::findings::{TracerService, about};
use crate::systemd::{main_pid, systemctl, unit, wait_for_state};

const DAEMON: &str = "systemd-oomd.service";

pub fn run() {
    // The shortest duration that it accepts.
    let settings = "/run/systemd/oomd.conf.d";
    fs::create_dir_all(settings).unwrap();
    fs::write(
        format!("{settings}/vm.conf"),
        "[OOM]\nDefaultMemoryPressureDurationSec=1s\n",
    )
    .unwrap();
    // Without swap its memory stays, and each additional page causes more pressure.
    unit(
        "thrashing.service",
        &format!(
            "[Service]\nExecStart=/usr/bin/python3 -c \"{}\"\nType=exec\n\
             MemoryHigh=12M\nMemorySwapMax=0\n\
             ManagedOOMMemoryPressure=kill\nManagedOOMMemoryPressureLimit=1%%\n",
            hog(200)
        ),
    );
    systemctl(&["start", DAEMON]);
    // systemctl succeeds even if a condition of the unit is not met.
    wait_for_state(DAEMON, "active");
    let mut tracer = TracerService::start();
    systemctl(&["start", "thrashing.service"]);
    let pid = main_pid("thrashing.service");
    tracer.death_of(pid);
    let findings = tracer.stop();
    systemctl(&["stop", DAEMON]);
    let deaths = about(&findings, "death", "thrashing.service");
    let death = deaths.iter().find(|one| one["process"]["pid"] == pid);
    let death = death.unwrap_or_else(|| panic!("no death of {pid}"));
    assert_eq!(death["cause"], "oom_daemon", "{death}");
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    assert_eq!(death["by"]["comm"], "systemd-oomd", "{death}");
    assert!(about(&findings, "oom", "thrashing.service").is_empty());
}
