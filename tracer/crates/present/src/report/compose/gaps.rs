//! Blind spots and losses: a report must not look more complete than it is.

use std::collections::BTreeMap;

use tracer_model::{End, LostEvents, Ring, Start, WallTime, printable};

use super::super::formatting::counted;
use super::super::model::{DeathAt, Gap, Unseen};
use super::bounded::text;

/// How many losses are kept apart.
const MAX_LOSSES: usize = 256;
/// How many gaps are listed.
const MAX_LISTED: usize = 64;

#[derive(Debug)]
struct Loss {
    since: WallTime,
    until: WallTime,
    ring: Ring,
    count: u64,
}

/// The gaps so far.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    listed: Vec<Unseen>,
    losses: Vec<Loss>,
    /// All lost events, by what was lost.
    lost: BTreeMap<&'static str, u64>,
    log_lines_unread: u64,
    /// Whether the newest session has an end.
    ended: bool,
    /// Sessions without an end, not counting the newest.
    cut_short: u64,
    running: bool,
}

impl Gaps {
    pub(super) fn damaged(&mut self, what: String) {
        self.push(Gap::Input, what);
    }

    pub(super) fn started(&mut self, start: &Start) {
        self.cut_short += u64::from(self.running && !self.ended);
        self.running = true;
        self.ended = false;
        for blind in &start.blind {
            let what = format!("Cannot be observed here: {blind}.");
            self.push(Gap::Blind, text(&what));
        }
        for hook in start.hooks.iter().filter(|hook| !hook.ok) {
            let why = hook.why.as_deref().unwrap_or("reason unknown");
            let what = format!("Hook {} was not armed: {why}", hook.name);
            self.push(Gap::Hook, text(&what));
        }
    }

    pub(super) fn ended(&mut self, end: &End) {
        self.ended = true;
        self.log_lines_unread += end.log_lines_unread;
    }

    pub(super) fn has_end(&self) -> bool {
        self.ended
    }

    pub(super) fn lost(&mut self, lost: &LostEvents, at: WallTime) {
        *self.lost.entry(contents(lost.ring)).or_default() += lost.count;
        let stretch = Loss {
            since: lost.since,
            until: at,
            ring: lost.ring,
            count: lost.count,
        };
        if self.losses.len() < MAX_LOSSES {
            self.losses.push(stretch);
        } else if let Some(last) = self.losses.last_mut() {
            last.until = at;
            last.count = last.count.saturating_add(lost.count);
        }
    }

    /// The OOM killer chose a process whose death was not observed.
    pub(super) fn unconfirmed(&mut self, chosen: &DeathAt) {
        let process = &chosen.death.process;
        let what = format!(
            "The OOM killer chose {}[{}] of {}, but its death was not observed.",
            printable(&process.comm),
            process.pid,
            printable(&chosen.death.service.name)
        );
        self.push(Gap::Lost, text(&what));
    }

    /// The events lost between two instants.
    pub(super) fn within(&self, from: WallTime, to: WallTime) -> Vec<Unseen> {
        let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
        for loss in &self.losses {
            if loss.since <= to && loss.until >= from {
                *sums.entry(contents(loss.ring)).or_default() += loss.count;
            }
        }
        sums.into_iter().map(unseen).collect()
    }

    pub(super) fn finish(mut self, cut_short: bool) -> Vec<Unseen> {
        let lost = std::mem::take(&mut self.lost);
        self.listed.truncate(MAX_LISTED);
        self.listed.extend(lost.into_iter().map(unseen));
        if self.log_lines_unread > 0 {
            let lines = counted(self.log_lines_unread, "proxy log line", "proxy log lines");
            self.listed.push(Unseen {
                gap: Gap::Logs,
                what: format!("{lines} could not be read."),
            });
        }
        let cut = self.cut_short + u64::from(cut_short);
        if cut > 0 {
            let what = match cut {
                1 => "A session has no end: the tracer was killed or is still running.".to_owned(),
                more => {
                    format!("{more} sessions have no end: the tracer was killed.")
                }
            };
            self.listed.push(Unseen {
                gap: Gap::Input,
                what,
            });
        }
        self.listed
    }

    fn push(&mut self, gap: Gap, what: String) {
        let unseen = Unseen { gap, what };
        if self.listed.len() < MAX_LISTED && !self.listed.contains(&unseen) {
            self.listed.push(unseen);
        }
    }
}

fn contents(ring: Ring) -> &'static str {
    match ring {
        Ring::Deaths => "deaths, listeners",
        Ring::Traffic => "connections, new processes",
        Ring::Connecting => "pending connects",
        Ring::Requests => "failed requests",
        Ring::KernelLog => "kernel log lines",
        Ring::ProxyLog => "proxy log lines",
        Ring::Capture => "observations to record",
    }
}

fn unseen((contents, count): (&'static str, u64)) -> Unseen {
    let events = counted(count, "event was", "events were");
    Unseen {
        gap: Gap::Lost,
        what: format!("{events} lost ({contents}) because the tracer could not keep up."),
    }
}
