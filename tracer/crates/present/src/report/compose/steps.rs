//! The steps of an incident. Similar effects that follow each other are merged into one step, and
//! the middle of a very long incident is left out.

use tracer_model::{
    Cause, ConnectError, ConnectFailure, Cut, FailedRequest, Failure, WallTime, printable, wording,
};

use super::super::formatting::{counted, ms_between};
use super::super::model::{Phase, Step, Timeline};
use super::bounded::text;

/// How many of the first steps are kept.
const HEAD: usize = 40;
/// How many of the last steps are kept.
const TAIL: usize = 20;
/// How many steps back a similar effect is looked for.
const REACH: usize = 8;

/// What a step says, before its count is known.
#[derive(Debug, PartialEq)]
enum Said {
    Once(String),
    Connects {
        proxy: String,
        to: String,
        error: ConnectError,
    },
    Cuts {
        peer: Option<String>,
        address: String,
    },
    Requests {
        proxy: String,
        status: Option<u16>,
        failure: Failure,
        /// The cause of the death that explains them.
        death: Option<Cause>,
    },
}

#[derive(Debug)]
struct Draft {
    at: WallTime,
    until: WallTime,
    phase: Phase,
    count: u64,
    said: Said,
}

/// The steps so far.
#[derive(Debug, Default)]
pub(super) struct Steps {
    drafts: Vec<Draft>,
    left_out: u64,
}

impl Steps {
    /// Adds a step of its own.
    pub(super) fn once(&mut self, at: WallTime, phase: Phase, what: String) {
        self.push(Draft {
            at,
            until: at,
            phase,
            count: 1,
            said: Said::Once(what),
        });
    }

    pub(super) fn connect_failed(&mut self, at: WallTime, failure: &ConnectFailure) {
        let said = Said::Connects {
            proxy: text(&failure.proxy.name),
            to: text(&failure.upstream.address.to_string()),
            error: failure.error,
        };
        self.effect(at, failure.count, said);
    }

    pub(super) fn cut(&mut self, at: WallTime, cut: &Cut) {
        let said = Said::Cuts {
            peer: cut.peer.as_ref().map(|peer| text(&peer.name)),
            address: text(&cut.address.to_string()),
        };
        self.effect(at, cut.count, said);
    }

    pub(super) fn request(&mut self, at: WallTime, request: &FailedRequest) {
        let said = Said::Requests {
            proxy: text(&request.proxy.name),
            status: request.status,
            failure: request.failure,
            death: request.because.as_ref().and_then(|because| because.cause),
        };
        self.effect(at, request.count, said);
    }

    /// Adds to a recent similar effect, if there is one.
    fn effect(&mut self, at: WallTime, count: u64, said: Said) {
        let similar = self
            .drafts
            .iter_mut()
            .rev()
            .take(REACH)
            .take_while(|draft| draft.phase == Phase::Effect)
            .find(|draft| draft.said == said);
        if let Some(draft) = similar {
            draft.until = draft.until.max(at);
            draft.count = draft.count.saturating_add(count);
            return;
        }
        self.push(Draft {
            at,
            until: at,
            phase: Phase::Effect,
            count,
            said,
        });
    }

    fn push(&mut self, draft: Draft) {
        if self.drafts.len() == HEAD + TAIL {
            self.drafts.remove(HEAD);
            self.left_out += 1;
        }
        self.drafts.push(draft);
    }

    pub(super) fn finish(mut self) -> Timeline {
        if self.left_out == 0 {
            // The OOM killer's choice comes before the death that opens the incident.
            self.drafts.sort_by_key(|draft| draft.at);
        }
        let zero = self.drafts.first().map_or(WallTime(0), |first| first.at);
        let mut first: Vec<Step> = self
            .drafts
            .into_iter()
            .map(|draft| Step {
                at: draft.at,
                until: (draft.until > draft.at).then_some(draft.until),
                after_ms: ms_between(zero, draft.at),
                phase: draft.phase,
                count: draft.count,
                what: sentence(&draft.said, draft.count),
            })
            .collect();
        let last = if self.left_out > 0 && first.len() > HEAD {
            first.split_off(HEAD)
        } else {
            Vec::new()
        };
        Timeline {
            first,
            left_out: self.left_out,
            last,
        }
    }
}

fn sentence(said: &Said, count: u64) -> String {
    match said {
        Said::Once(what) => what.clone(),
        Said::Connects { proxy, to, error } => {
            let connects = counted(count, "connect", "connects");
            format!(
                "{connects} from {} to {}: {}",
                printable(proxy),
                printable(to),
                wording::connect_error(*error)
            )
        }
        Said::Cuts { peer, address } => {
            let connections = counted(count, "connection", "connections");
            let address = printable(address);
            match peer {
                Some(peer) => format!("{connections} from {} to {address} cut", printable(peer)),
                None => format!("{connections} to {address} cut"),
            }
        }
        Said::Requests {
            proxy,
            status,
            failure,
            death,
        } => {
            let requests = counted(count, "request", "requests");
            let how = wording::failure_or_unknown(*failure, *status, *death);
            let proxy = printable(proxy);
            match status {
                Some(status) => format!("{requests} answered {status} by {proxy}: {how}"),
                None => format!("{requests} to {proxy} without a response: {how}"),
            }
        }
    }
}
