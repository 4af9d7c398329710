//! Ids of containers in cgroup paths.

/// The id of the innermost container: `docker/<id>`, `docker-<id>.scope`, `libpod-<id>.scope`,
/// `crio-<id>.scope`, `…:cri-containerd:<id>` and their like. Container monitors have an id in
/// their cgroup's name too, but aren't inside.
pub(crate) fn innermost(path: &str) -> Option<&str> {
    all(path).next().map(|(_, id)| id)
}

/// The ids in a path, innermost first, each with the path that it is in.
pub(super) fn all(path: &str) -> impl Iterator<Item = (&str, &str)> {
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
