//! The first process of a machine or a container when it isn't systemd: System V's init, `OpenRC`,
//! tini. It names no services; those have another manager or only a program's name.

use super::profile::{Client, ManagerKind, Profile, SenderName};

/// Its profile.
pub(super) const PROFILE: Profile = Profile {
    is_program: |program| {
        matches!(
            program,
            "dumb-init"
                | "init"
                | "launchd"
                | "openrc"
                | "pid1"
                | "rc"
                | "start-stop-daemon"
                | "tini"
        )
    },
    sender: |facts| (facts.pid == 1 && facts.comm != "systemd").then_some(SenderName::Only("init")),
    clients: &[Client {
        programs: &["service", "invoke-rc.d", "rc-service"],
        starts: &[],
        stops: &[],
        looks: &[],
    }],
    ..Profile::new(ManagerKind::Init)
};
