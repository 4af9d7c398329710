//! Failed connects, counted. The kernel keeps running totals and sends few records; this makes of
//! those (and of what is left in the kernel's counters when a storm ends) how many are new.
//! It decides which counter is to be looked at when; looking is up to [`super::rings`].

use std::collections::BTreeMap;
use std::time::Duration;

use tracer_common::record::{ConnectFailureKey, UnixConnectFailureKey};
use zerocopy::IntoBytes;

use tracer_model::{Pid, Timestamp};

/// What failed connects are counted by.
#[derive(Clone, Debug)]
pub(super) enum Counted {
    Tcp(ConnectFailureKey),
    Unix(Box<UnixConnectFailureKey>),
}

impl Counted {
    fn pid(&self) -> Pid {
        match self {
            Self::Tcp(key) => key.pid,
            Self::Unix(key) => key.pid,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Tcp(key) => key.as_bytes(),
            Self::Unix(key) => key.as_bytes(),
        }
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Counted {}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// By pid first, so that those of one process are neighbours.
impl Ord for Counted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.pid(), self.bytes()).cmp(&(other.pid(), other.bytes()))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    /// The kernel's counter when it was last told.
    kernel: u64,
    /// The newest failure that is known of.
    last: Timestamp,
    /// When to look at the kernel's counter.
    check: Option<Timestamp>,
    /// Whether its process is dead: the counter is freed at `check`.
    ended: bool,
}

/// A counter to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) by: Counted,
    /// Free it after looking.
    pub(super) free: bool,
}

/// The kernel sends a record at most every 10 ms per counter: what is still untold this much after
/// the last one has to be fetched.
const SETTLES_AFTER: Duration = Duration::from_millis(25);
/// A dead process's sockets are closed shortly after its exit.
const ENDED_AFTER: Duration = Duration::from_secs(1);
/// Counters unused for so long may be freed when there are many.
const IDLE_AFTER: Duration = Duration::from_secs(10);
/// Counters from which on idle ones are freed; the kernel has room for 4096 and, of unix sockets,
/// 1024.
const MANY: usize = 768;
/// No more than this are kept.
const MAX: usize = 8192;

/// All totals.
#[derive(Debug, Default)]
pub(super) struct Tally {
    totals: BTreeMap<Counted, Total>,
    /// The earliest `check`.
    next: Option<Timestamp>,
}

impl Tally {
    /// A record, or a look at a counter, told `kernel` failures (0: one that was not counted);
    /// gives how many of them are new, when any are.
    pub(super) fn told(&mut self, by: &Counted, kernel: u64, at: Timestamp) -> Option<u64> {
        if !self.totals.contains_key(by) {
            if self.totals.len() >= MAX {
                // No room: each stands for itself.
                return Some(kernel.max(1));
            }
            self.totals.insert(by.clone(), Total::default());
        }
        let total = self.totals.get_mut(by)?;
        let grown = match kernel {
            0 => 1,
            _ => kernel.saturating_sub(total.kernel),
        };
        total.kernel = total.kernel.max(kernel);
        if grown == 0 {
            return None;
        }
        total.last = total.last.max(at);
        if !total.ended {
            let check = total.last.after(SETTLES_AFTER);
            total.check = Some(check);
            self.next = Some(self.next.map_or(check, |next| next.min(check)));
        }
        Some(grown)
    }

    /// A process is dead: its counters are freed soon.
    pub(super) fn process_ended(&mut self, pid: Pid, at: Timestamp) {
        let check = at.after(ENDED_AFTER);
        let first = Counted::Tcp(ConnectFailureKey {
            remote: [0; 16],
            pid,
            netns: 0,
            remote_port: 0,
            family: 0,
            error: 0,
        });
        for (_, total) in self
            .totals
            .range_mut(first..)
            .take_while(|(by, _)| by.pid() == pid)
        {
            total.ended = true;
            total.check = Some(check);
            self.next = Some(self.next.map_or(check, |next| next.min(check)));
        }
    }

    /// When the next counter is to be looked at.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next
    }

    /// The counters to look at now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<Due> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let many = self.totals.len() > MANY;
        let mut due = Vec::new();
        for (by, total) in &mut self.totals {
            let idle = many && now.since(total.last) > IDLE_AFTER;
            if idle || total.check.is_some_and(|check| check <= now) {
                total.check = None;
                let free = total.ended || idle;
                due.push(Due {
                    by: by.clone(),
                    free,
                });
            }
        }
        self.next = self.totals.values().filter_map(|total| total.check).min();
        due
    }

    /// The kernel's counter is freed: what is counted by it begins anew.
    pub(super) fn freed(&mut self, by: &Counted) {
        self.totals.remove(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(pid: Pid, port: u16) -> Counted {
        Counted::Tcp(ConnectFailureKey {
            remote: [127; 16],
            pid,
            netns: 1,
            remote_port: port,
            family: 2,
            error: 111,
        })
    }

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp(ms * MS)
    }

    #[test]
    fn what_the_kernels_total_has_grown_by_is_new() {
        let mut tally = Tally::default();
        assert_eq!(tally.told(&by(1, 80), 1, at(0)), Some(1));
        assert_eq!(tally.told(&by(1, 80), 500, at(10)), Some(499));
        assert_eq!(tally.told(&by(1, 80), 500, at(10)), None, "two processors");
        assert_eq!(tally.told(&by(1, 80), 499, at(10)), None, "out of order");
        assert_eq!(tally.told(&by(1, 81), 1, at(10)), Some(1));
    }

    #[test]
    fn a_failure_that_was_not_counted_is_one_more() {
        let mut tally = Tally::default();
        assert_eq!(tally.told(&by(1, 80), 0, at(0)), Some(1));
        assert_eq!(tally.told(&by(1, 80), 0, at(1)), Some(1));
        assert_eq!(tally.told(&by(1, 80), 1, at(2)), Some(1));
        assert_eq!(tally.told(&by(1, 80), 4, at(3)), Some(3));
    }

    #[test]
    fn a_counter_is_looked_at_once_after_each_record() {
        let mut tally = Tally::default();
        tally.told(&by(1, 80), 1, at(0));
        assert_eq!(tally.take_due(at(24)), []);
        assert_eq!(tally.next_due(), Some(at(25)));
        let due = Due {
            by: by(1, 80),
            free: false,
        };
        assert_eq!(tally.take_due(at(25)), std::slice::from_ref(&due));
        assert_eq!(tally.next_due(), None);
        assert_eq!(tally.told(&by(1, 80), 7, at(9)), Some(6), "the remainder");
        assert_eq!(tally.take_due(at(40)), [due], "and once more, in case");
        assert_eq!(tally.told(&by(1, 80), 7, at(9)), None);
        assert_eq!(tally.next_due(), None);
    }

    #[test]
    fn a_dead_process_frees_its_counters_and_no_other() {
        let mut tally = Tally::default();
        for (pid, port) in [(1, 80), (2, 80), (2, 81), (3, 80)] {
            tally.told(&by(pid, port), 1, at(0));
        }
        assert_eq!(tally.take_due(at(100)).len(), 4);
        tally.process_ended(2, at(100));
        assert_eq!(tally.take_due(at(1_000)), []);
        let due = tally.take_due(at(1_100));
        assert_eq!(due.len(), 2);
        for due in due {
            assert!(due.free);
            assert_eq!(due.by.pid(), 2);
            tally.freed(&due.by);
        }
        assert_eq!(tally.totals.len(), 2);
    }

    #[test]
    fn idle_counters_are_freed_when_there_are_many() {
        let mut tally = Tally::default();
        for pid in 0..1_000 {
            tally.told(&by(pid, 80), 1, at(0));
        }
        tally.told(&by(5_000, 80), 1, at(20_000));
        let due = tally.take_due(at(20_030));
        assert_eq!(due.iter().filter(|due| due.free).count(), 1_000);
        assert_eq!(due.len(), 1_001);
    }

    #[test]
    fn memory_is_bounded_and_nothing_goes_uncounted() {
        let mut tally = Tally::default();
        let passed_on = (0..2 * 8192)
            .filter_map(|pid| tally.told(&by(pid, 80), 1, at(0)))
            .sum::<u64>();
        assert_eq!(passed_on, 2 * 8192);
        assert_eq!(tally.totals.len(), 8192);
    }
}
