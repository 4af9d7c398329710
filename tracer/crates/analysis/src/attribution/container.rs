//! Containers of Docker, Podman, containerd and CRI-O, by the id in the cgroup path. Which name an
//! id has, the engine told; see `observe`.

use tracer_model::{Manager, Service};

use super::{Candidate, named, systemd};

/// Digits of an id that is shown.
const SHORT: usize = 12;

/// The container that the process runs in: the innermost that an engine told of, else the
/// innermost. One that no engine told of and that is all that a unit runs is that unit: the name
/// stays when the id changes.
pub(super) fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let path = candidate.facts.cgroup_path.as_deref()?;
    let known = ids(path).find_map(|(_, id)| (candidate.container)(id).map(|facts| (id, facts)));
    let (before, innermost) = ids(path).next()?;
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

/// The id of the innermost container: `docker/<id>`, `docker-<id>.scope`, `libpod-<id>.scope`,
/// `crio-<id>.scope`, `…:cri-containerd:<id>` and their like. Container monitors have an id in
/// their cgroup's name too, but aren't inside.
pub(super) fn id(path: &str) -> Option<&str> {
    ids(path).next().map(|(_, id)| id)
}

/// The ids in a path, innermost first, each with the path that it is in.
fn ids(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let (before, segment) = rest?.rsplit_once('/').unwrap_or(("", rest?));
        rest = (!before.is_empty()).then_some(before);
        Some((before, segment))
    })
    .filter_map(|(before, segment)| {
        let segment = segment.strip_suffix(".scope").unwrap_or(segment);
        let at = segment.rfind(['-', ':']).map_or(0, |at| at + 1);
        let (engine, id) = segment.split_at(at);
        let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        (is_id && !engine.contains("conmon")).then_some((before, id))
    })
}
