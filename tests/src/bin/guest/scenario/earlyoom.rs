//! earlyoom kills a process because memory is short: it is neither the kernel's OOM killer nor an
//! operator's `kill`.

use super::hog::hog;
use crate::findings::{TracerService, about, only};
use crate::systemd::{main_pid, systemctl, unit};

pub fn run() {
    unit(
        "hungry.service",
        &format!(
            "[Service]\nExecStart=/usr/bin/python3 -c \"{}\"\nType=exec\n",
            hog(280)
        ),
    );
    let mut tracer = TracerService::start();
    // It kills while less than this part of the memory is available, regardless of swap.
    unit(
        "earlyoom.service.d/early.conf",
        "[Service]\nEnvironment=\nEnvironmentFile=\nExecStart=\n\
         ExecStart=/usr/bin/earlyoom -r 0 -m 50,40 -s 100,100\n",
    );
    systemctl(&["start", "earlyoom.service"]);
    systemctl(&["start", "hungry.service"]);
    let pid = main_pid("hungry.service");
    tracer.death_of(pid);
    systemctl(&["stop", "earlyoom.service"]);
    let findings = tracer.stop();
    let death = only(&findings, "death", "hungry.service");
    assert_eq!(death["process"]["pid"], pid, "{death}");
    assert_eq!(death["cause"], "oom_daemon", "{death}");
    assert_eq!(death["by"]["comm"], "earlyoom", "{death}");
    assert!(about(&findings, "oom", "hungry.service").is_empty());
}
