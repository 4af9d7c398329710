//! s6: services that `s6-supervise` supervises, each in a directory such as `/run/service/api`, and
//! with it s6-rc and s6-overlay. As with runit, the parent names them.

use tracer_model::{Manager, Service};

use super::profile::{Advice, Client, ManagerKind, Profile, SenderName};
use super::service_directory::supervised;
use super::shell_word::shell_word;
use crate::candidate::{Candidate, named};

/// Its profile.
pub(super) const PROFILE: Profile = Profile {
    by_own_evidence: Some(service),
    is_program: |program| matches!(program, "s6-supervise" | "s6-svscan"),
    sender: |facts| (facts.comm == "s6-supervise").then_some(SenderName::Only("s6")),
    // The SIGKILL of timeout-kill comes after a SIGTERM.
    kill_means: Some("someone ran s6-svc -k"),
    clients: &[Client {
        programs: &["s6-svc", "s6-rc"],
        starts: &["-u", "-U", "-o", "-r", "-t"],
        stops: &["-d", "-D"],
        looks: &["listall", "diff"],
    }],
    advice: Advice {
        read_log: Some(|name| {
            let directory = name.trim_end_matches("/log");
            format!(
                "read its last lines where its logger writes them: look for s6-log in \
                 {directory}/log/run"
            )
        }),
        restart: Some(|name| {
            format!(
                "s6 starts it again at once: s6-svstat {}",
                shell_word(&format!("/run/service/{name}"))
            )
        }),
        ..Advice::NONE
    },
    ..Profile::new(ManagerKind::Of(Manager::S6))
};

/// The service whose `run` or `finish` script this is, or what that became.
fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let (name, directory) = supervised(candidate, "s6-supervise")?;
    named(
        &name,
        Manager::S6,
        &format!("child of s6-supervise {directory}"),
    )
}
