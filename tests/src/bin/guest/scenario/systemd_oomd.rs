//! systemd-oomd kills a whole unit because it waits for memory too much.

use std::fs;

use crate::findings::{TracerService, about};
use crate::systemd::{main_pid, systemctl, unit};

const DAEMON: &str = "systemd-oomd.service";
/// What the unit reads again and again.
const FILE: &str = "/var/tmp/large";
const FILE_BYTES: usize = 64 << 20;

pub fn run() {
    fs::write(FILE, vec![1; FILE_BYTES]).unwrap();
    // The shortest that it takes.
    let settings = "/run/systemd/oomd.conf.d";
    fs::create_dir_all(settings).unwrap();
    fs::write(
        format!("{settings}/vm.conf"),
        "[OOM]\nDefaultMemoryPressureDurationSec=1s\n",
    )
    .unwrap();
    // What it reads never fits, and is thrown out before it is read again.
    unit(
        "thrashing.service",
        &format!(
            "[Service]\nExecStart=/bin/sh -c 'while cat {FILE} >/dev/null; do :; done'\n\
             Type=exec\nMemoryHigh=8M\nMemorySwapMax=0\n\
             ManagedOOMMemoryPressure=kill\nManagedOOMMemoryPressureLimit=1%%\n"
        ),
    );
    systemctl(&["start", DAEMON]);
    let mut tracer = TracerService::start();
    systemctl(&["start", "thrashing.service"]);
    let pid = main_pid("thrashing.service");
    tracer.death_of(pid);
    let findings = tracer.stop();
    systemctl(&["stop", DAEMON]);
    fs::remove_file(FILE).unwrap();
    let deaths = about(&findings, "death", "thrashing.service");
    let death = deaths.iter().find(|one| one["process"]["pid"] == pid);
    let death = death.unwrap_or_else(|| panic!("no death of {pid}"));
    assert_eq!(death["cause"], "oom_daemon", "{death}");
    assert_eq!(death["signal"], "SIGKILL", "{death}");
    assert_eq!(death["by"]["comm"], "systemd-oomd", "{death}");
    assert!(about(&findings, "oom", "thrashing.service").is_empty());
}
