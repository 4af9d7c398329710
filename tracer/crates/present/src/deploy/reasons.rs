//! What makes a deployment a failure, by the kinds of findings that `--fail-on` names.

use std::collections::BTreeMap;

use tracer_model::wording::{counted, requests_failed};
use tracer_model::{Cause, Kind};

use super::model::{ListenerState, Reason, ServiceStory, Verdict};

/// Kinds of findings that fail a deployment by their number alone.
const COUNTED: [(Kind, &str); 6] = [
    (Kind::Oom, "oom"),
    (Kind::ConnectFailed, "connect_failed"),
    (Kind::ConnectionCut, "connection_cut"),
    (Kind::ListenerUp, "listener_up"),
    (Kind::Incident, "incident"),
    (Kind::Lost, "lost"),
];

/// The reasons of these kinds, services first. `seen` has the numbers of findings by kind.
pub(super) fn reasons(
    verdict: &Verdict,
    kinds: &[Kind],
    seen: &BTreeMap<Kind, u64>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let wants = |kind| kinds.contains(&kind);
    for story in &verdict.services {
        if wants(Kind::Death) {
            reasons.extend(deaths(story));
        }
        if wants(Kind::ListenerDown) {
            reasons.extend(listeners(story));
        }
    }
    if wants(Kind::RequestFailed) && verdict.requests_failed > 0 {
        reasons.push(Reason {
            kind: "request_failed",
            what: requests_failed(verdict.requests_failed),
        });
    }
    for (kind, name) in COUNTED {
        let count = seen.get(&kind).copied().unwrap_or(0);
        if wants(kind) && count > 0 {
            let findings = counted(count, "finding", "findings");
            reasons.push(Reason {
                kind: name,
                what: format!("{findings} of kind {name}"),
            });
        }
    }
    reasons
}

/// The deaths of a service that the deployment did not ask for, in one sentence.
fn deaths(story: &ServiceStory) -> Option<Reason> {
    let name = &story.service.name;
    let what = if story.crash_loop {
        format!("{name} is in a crash loop")
    } else if story.unexpected > 0 {
        let first = story
            .deaths
            .iter()
            .find(|it| !it.asked_for && it.cause != Cause::Clean);
        let why = first.map_or_else(String::new, |it| format!(": {}", it.why));
        match story.unexpected {
            1 => format!("{name} died unexpectedly{why}"),
            many => format!("{name} died unexpectedly {many} times{why}"),
        }
    } else {
        return None;
    };
    Some(Reason {
        kind: "death",
        what,
    })
}

/// A sentence for each listener that is still down.
fn listeners(story: &ServiceStory) -> impl Iterator<Item = Reason> {
    story
        .listeners
        .iter()
        .filter(|listener| listener.state == ListenerState::NotBack)
        .map(|listener| Reason {
            kind: "listener_down",
            what: format!(
                "{} no longer listens on {}",
                story.service.name, listener.address
            ),
        })
}
