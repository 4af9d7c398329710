//! runit: services that `runsv` supervises, each in a directory such as `/etc/service/web`.
//!
//! Their processes carry nothing that names them: neither a variable in the environment nor a
//! cgroup. What does is their parent, `runsv web`.

use tracer_model::{Manager, Service};

use super::profile::{Advice, Client, ManagerKind, Profile, SenderName};
use super::service_directory::supervised;
use super::shell_word::shell_word;
use crate::candidate::{Candidate, named};

/// Its profile.
pub(super) const PROFILE: Profile = Profile {
    by_own_evidence: Some(service),
    is_program: |program| matches!(program, "runit" | "runsv" | "runsvdir"),
    sender: |facts| (facts.comm == "runsv").then_some(SenderName::Only("runit")),
    // Before any other SIGKILL of its own there is a SIGTERM.
    kill_means: Some("someone ran sv kill"),
    clients: &[Client {
        programs: &["sv"],
        starts: &["up", "once", "force-restart"],
        stops: &["down", "exit", "force-stop", "force-shutdown"],
        looks: &["check"],
    }],
    advice: Advice {
        read_log: Some(|name| {
            let directory = name.trim_end_matches("/log");
            format!(
                "read its last lines where {directory}/log/run writes them, often \
                 /var/log/{directory}/current"
            )
        }),
        restart: Some(|name| {
            format!(
                "runit starts it again at once: sv status {}",
                shell_word(name)
            )
        }),
        ..Advice::NONE
    },
    ..Profile::new(ManagerKind::Of(Manager::Runit))
};

/// The service whose `run`, `finish` or `control` script this is, or what that became.
fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let (mut name, directory) = supervised(candidate, "runsv")?;
    if is_logger(candidate) {
        name.push_str("/log");
    }
    named(
        &name,
        Manager::Runit,
        &format!("child of runsv {directory}"),
    )
}

/// Whether the process is the service's logger: one `runsv` supervises both. The logger runs in the
/// directory `log` of the service's, or is runit's own.
fn is_logger(candidate: &Candidate<'_>) -> bool {
    let parent = candidate.parent.map(|parent| parent.facts);
    let directory = parent.and_then(|parent| parent.cwd.as_deref());
    let inside = candidate
        .facts
        .cwd
        .as_deref()
        .zip(directory)
        .and_then(|(cwd, directory)| cwd.strip_prefix(directory));
    inside == Some("/log") || candidate.program() == "svlogd"
}
