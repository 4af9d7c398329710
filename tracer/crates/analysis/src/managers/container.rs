//! Container engines: Docker, Podman, containerd and CRI-O. Containers are recognised by the id in
//! the cgroup path; the engine reports which name an id has, see `observe`.

use tracer_model::{Manager, Service};

use super::profile::{Advice, Children, Client, ManagerKind, Profile, SenderFacts, SenderName};
use super::shell_word::shell_word;
use super::{container_id, systemd};
use crate::candidate::{Candidate, named};

/// Digits of an id that is shown.
const SHORT: usize = 12;

/// Their profile.
pub(super) const PROFILE: Profile = Profile {
    by_own_evidence: Some(service),
    children: Children::OfCgroup,
    is_program,
    sender,
    clients: &[Client {
        programs: &[
            "docker",
            "docker-compose",
            "podman",
            "podman-compose",
            "nerdctl",
        ],
        starts: &["up", "run", "create", "scale", "deploy", "rolling-update"],
        stops: &["rm", "down"],
        looks: &["ps", "inspect", "images", "build", "pull", "push", "login"],
    }],
    advice: Advice {
        at_cgroup_limit: Some(|name| {
            format!("raise the memory limit of container {name}, or find what grows")
        }),
        read_log: Some(|name| format!("read its last lines: {}", last_lines(name))),
        ..Advice::NONE
    },
    ..Profile::new(ManagerKind::Of(Manager::Container))
};

fn is_program(program: &str) -> bool {
    matches!(
        program,
        "buildah"
            | "conmon"
            | "containerd"
            | "crun"
            | "docker"
            | "docker-init"
            | "dockerd"
            | "nerdctl"
            | "podman"
            | "runc"
    ) || program.starts_with("containerd-shim")
}

fn sender(facts: &SenderFacts<'_>) -> Option<SenderName> {
    let is = |prefix: &str| facts.comm.starts_with(prefix);
    if is("dockerd") {
        Some(SenderName::Only("Docker"))
    } else if is("podman") || is("conmon") {
        Some(SenderName::Only("Podman"))
    } else if is("containerd") || is("runc") || is("crun") {
        Some(SenderName::OneOf("the container engine"))
    } else {
        None
    }
}

fn last_lines(name: &str) -> String {
    match name.split_once('/') {
        Some((project, service)) => format!(
            "docker compose -p {} logs --tail 50 {}",
            shell_word(project),
            shell_word(service)
        ),
        None => format!("docker logs --tail 50 {}", shell_word(name)),
    }
}

/// The container that the process runs in: the innermost that an engine reported, else the
/// innermost. One that no engine reported and that is all that a unit runs is that unit: the name
/// stays when the id changes.
fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let path = candidate.facts.cgroup_path.as_deref()?;
    let known = container_id::all(path)
        .find_map(|(_, id)| (candidate.container)(id).map(|facts| (id, facts)));
    let (before, innermost) = container_id::all(path).next()?;
    let evidence = candidate.cgroup_evidence();
    let Some((id, facts)) = known else {
        if systemd::parse(before).is_some_and(|unit| unit.user.is_none() && !is_engine(unit.name)) {
            return None;
        }
        let id = innermost;
        return named(id.get(..SHORT)?, Manager::Container, &evidence);
    };
    let evidence = format!("{} container {}, {evidence}", facts.engine, facts.name);
    let name = match &facts.compose {
        Some((project, service)) if !service.is_empty() => format!("{project}/{service}"),
        _ => facts.name.to_string(),
    };
    named(&name, Manager::Container, evidence.trim())
        .or_else(|| named(id.get(..SHORT)?, Manager::Container, &evidence))
}

/// Whether a unit is an engine, whose containers are many services.
fn is_engine(unit: &str) -> bool {
    [
        "docker",
        "containerd",
        "podman",
        "crio",
        "kubelet",
        "k3s",
        "rke2",
        "buildkit",
    ]
    .iter()
    .any(|engine| unit.contains(engine))
}
