//! What was not seen: a report must not look more complete than it is.

use std::collections::BTreeMap;

use tracer_model::{End, LostEvents, Ring, Start, WallTime, printable};

use super::super::model::{DeathAt, Gap, Unseen};
use super::super::words::counted;

/// How many losses are kept one by one.
const MAX_LOSSES: usize = 256;
/// How many gaps are told.
const MAX_TOLD: usize = 64;

#[derive(Debug)]
struct Loss {
    since: WallTime,
    until: WallTime,
    ring: Ring,
    count: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    told: Vec<Unseen>,
    losses: Vec<Loss>,
    /// Sums of all losses by ring.
    lost: BTreeMap<&'static str, u64>,
    log_lines_unread: u64,
    /// Whether the newest run's end was seen.
    ended: bool,
    /// Runs whose end was not seen, without the newest.
    cut_short: u64,
    running: bool,
}

impl Gaps {
    pub(super) fn damaged(&mut self, what: String) {
        self.tell(Gap::Input, what);
    }

    pub(super) fn started(&mut self, start: &Start) {
        self.cut_short += u64::from(self.running && !self.ended);
        self.running = true;
        self.ended = false;
        for blind in &start.blind {
            let what = format!("Nothing here could show {blind}.");
            self.tell(Gap::Blind, super::text(&what));
        }
        for hook in start.hooks.iter().filter(|hook| !hook.ok) {
            let why = hook.why.as_deref().unwrap_or("no reason is known");
            let what = format!("The hook {} was not armed: {why}", hook.name);
            self.tell(Gap::Hook, super::text(&what));
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
        *self.lost.entry(carries(lost.ring)).or_default() += lost.count;
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

    /// The OOM killer chose a process whose death was never told.
    pub(super) fn unconfirmed(&mut self, chosen: &DeathAt) {
        let process = &chosen.death.process;
        let what = format!(
            "The OOM killer chose {}[{}] of {}; its death was not seen.",
            printable(&process.comm),
            process.pid,
            printable(&chosen.death.service.name)
        );
        self.tell(Gap::Lost, super::text(&what));
    }

    /// What was lost between two instants.
    pub(super) fn within(&self, from: WallTime, to: WallTime) -> Vec<Unseen> {
        let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
        for loss in &self.losses {
            if loss.since <= to && loss.until >= from {
                *sums.entry(carries(loss.ring)).or_default() += loss.count;
            }
        }
        sums.into_iter().map(unseen).collect()
    }

    pub(super) fn finish(mut self, cut_short: bool) -> Vec<Unseen> {
        let lost = std::mem::take(&mut self.lost);
        self.told.truncate(MAX_TOLD);
        self.told.extend(lost.into_iter().map(unseen));
        if self.log_lines_unread > 0 {
            let lines = counted(self.log_lines_unread, "line", "lines");
            self.told.push(Unseen {
                gap: Gap::Logs,
                what: format!("{lines} of proxies' logs could not be read."),
            });
        }
        let cut = self.cut_short + u64::from(cut_short);
        if cut > 0 {
            let what = match cut {
                1 => "The findings stop without the tracer's end: it was killed, or it still runs."
                    .to_owned(),
                more => {
                    format!("{more} runs of the tracer stop without an end: it was killed.")
                }
            };
            self.told.push(Unseen {
                gap: Gap::Input,
                what,
            });
        }
        self.told
    }

    fn tell(&mut self, gap: Gap, what: String) {
        let unseen = Unseen { gap, what };
        if self.told.len() < MAX_TOLD && !self.told.contains(&unseen) {
            self.told.push(unseen);
        }
    }
}

fn carries(ring: Ring) -> &'static str {
    match ring {
        Ring::Deaths => "deaths, listeners",
        Ring::Traffic => "connections, new processes",
        Ring::Connecting => "connects under way",
        Ring::Requests => "failed requests",
        Ring::KernelLog => "lines of the kernel log",
        Ring::ProxyLog => "lines of a proxy's log",
        Ring::Capture => "observations that could not be recorded",
    }
}

fn unseen((carries, count): (&'static str, u64)) -> Unseen {
    let events = counted(count, "event was", "events were");
    Unseen {
        gap: Gap::Lost,
        what: format!("{events} lost ({carries}): the tracer could not keep up."),
    }
}
