//! The incident that explains a failed request.

use tracer_model::{Endpoint, Failure, NetNs, Timestamp};

use super::case::Case;
use super::upstream::Clue;
use crate::history::{Explained, History};
use crate::world::{World, key_of};

/// The incident that explains a failure; None if none does.
pub(super) fn reason(
    world: &World,
    history: &History,
    case: &Case<'_>,
    clue: &Clue,
) -> Option<Explained> {
    let (from, at) = (case.from(), clue.failed.unwrap_or(case.at));
    let upstream = clue.upstream.as_ref().map(|(address, _)| address);
    let absent = |from, at| absence(world, history, case.netns, upstream?, from, at);
    match clue.failure {
        Failure::Answered
        | Failure::Timeout
        | Failure::PermissionDenied
        | Failure::BacklogFull
        | Failure::ProxyClosed
        | Failure::ClientGone
        | Failure::Unknown => None,
        Failure::ProxyDied => case
            .worker
            .and_then(|worker| history.death_of(worker.key, at))
            .or_else(|| history.death_in(case.proxy, from, at)),
        Failure::Cut | Failure::Reset => {
            let listening = upstream
                .and_then(|address| world.upstream(case.netns, address))
                .map(|(_, listening)| listening);
            let service = listening.map(|one| key_of(world.listener_service(one)));
            // A worker may serve its parent's socket under a name of its own: PHP-FPM's pools.
            let serves = |dead| {
                let parent = world.processes.get(dead).map(|process| process.parent);
                parent.is_some() && parent == listening.and_then(|one| one.owner)
            };
            clue.killed
                .and_then(|killed| history.death_of(killed, at))
                .or_else(|| history.death_in(service.as_ref()?, from, at))
                .or_else(|| history.death_among(serves, from, at))
                .or_else(|| absent(at, at))
        }
        // While something listens, connects are not refused: this one was refused before that.
        Failure::Refused | Failure::NoSocketFile => absent(clue.failed.unwrap_or(from), at),
        Failure::Unreachable | Failure::NoLiveUpstreams => absent(at, at),
    }
}

/// Why nothing listened at an address at some instant of a span.
pub(super) fn absence(
    world: &World,
    history: &History,
    netns: NetNs,
    address: &Endpoint,
    from: Timestamp,
    at: Timestamp,
) -> Option<Explained> {
    let serving = world.upstream(netns, address);
    serving
        .and_then(|(place, _)| history.absence(place, from, at))
        .or_else(|| {
            let mut others = address.candidates().map(|other| (netns, other));
            others.find_map(|place| history.absence(&place, from, at))
        })
}
