//! Containers of Docker, Podman, containerd and CRI-O, by the id in the cgroup path. Which name an
//! id has, the engine told; see `observe`.

use super::{Candidate, named};
use crate::model::{Manager, Service};

/// Digits of an id that is shown.
const SHORT: usize = 12;

/// The container that the process runs in, by its innermost id.
pub(super) fn service(candidate: &Candidate<'_>) -> Option<Service> {
    let id = id(candidate.facts.cgroup_path.as_deref()?)?;
    let evidence = candidate.cgroup_evidence();
    let Some(facts) = (candidate.container)(id) else {
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

/// The id of the innermost container: `docker/<id>`, `docker-<id>.scope`, `libpod-<id>.scope`,
/// `crio-<id>.scope`, `…:cri-containerd:<id>` and their like. Container monitors have an id in
/// their cgroup's name too, but aren't inside.
pub(super) fn id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|segment| {
        let segment = segment.strip_suffix(".scope").unwrap_or(segment);
        let at = segment.rfind(['-', ':']).map_or(0, |at| at + 1);
        let (engine, id) = segment.split_at(at);
        let is_id = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        (is_id && !engine.contains("conmon")).then_some(id)
    })
}
