//! Counts failed connects. The kernel keeps running totals and sends few records; the tally derives
//! how many failures are new, from those records and from what is left in the kernel's counters when
//! a storm ends. It decides which counter to read when; reading is up to [`super::rings`].

use std::collections::BTreeMap;
use std::time::Duration;

use tracer_model::{Pid, Timestamp};

use super::counter_key::CounterKey;

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    /// The kernel's counter, as last known.
    kernel: u64,
    /// The newest known failure.
    last: Timestamp,
    /// When to read the kernel's counter.
    check: Option<Timestamp>,
    /// Whether its process has exited: the counter is freed at `check`.
    exited: bool,
}

/// A counter to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) key: CounterKey,
    /// Free it after reading.
    pub(super) free: bool,
}

/// The kernel sends a record at most every 10 ms per counter: this long after the last record, the
/// remainder is read from the counter.
const SETTLES_AFTER: Duration = Duration::from_millis(25);
/// The kernel closes a process's sockets shortly after its exit.
const EXITED_AFTER: Duration = Duration::from_secs(1);
/// Counters that are unused for this long may be freed when there are many.
const IDLE_AFTER: Duration = Duration::from_secs(10);
/// With more counters than this, idle ones are freed. The kernel has room for 4096, and 1024 of
/// unix sockets.
const MANY: usize = 768;
/// Most counters that are kept.
const MAX: usize = 8192;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tally {
    totals: BTreeMap<CounterKey, Total>,
    /// The earliest `check`.
    next: Option<Timestamp>,
}

impl Tally {
    /// Updates a total to the kernel's, as a record or the counter has it; 0 stands for one failure
    /// that the kernel did not count. Returns how many failures are new, if any.
    pub(super) fn update(&mut self, key: &CounterKey, kernel: u64, at: Timestamp) -> Option<u64> {
        if !self.totals.contains_key(key) {
            if self.totals.len() >= MAX {
                // No room to remember what was counted before.
                return Some(kernel.max(1));
            }
            self.totals.insert(key.clone(), Total::default());
        }
        let total = self.totals.get_mut(key)?;
        let grown = match kernel {
            0 => 1,
            _ => kernel.saturating_sub(total.kernel),
        };
        total.kernel = total.kernel.max(kernel);
        if grown == 0 {
            return None;
        }
        total.last = total.last.max(at);
        if !total.exited {
            let check = total.last.after(SETTLES_AFTER);
            total.check = Some(check);
            self.next = Some(self.next.map_or(check, |next| next.min(check)));
        }
        Some(grown)
    }

    /// A process has exited: its counters are freed soon.
    pub(super) fn process_exited(&mut self, pid: Pid, at: Timestamp) {
        let check = at.after(EXITED_AFTER);
        let first = CounterKey::first_of(pid);
        for (_, total) in self
            .totals
            .range_mut(first..)
            .take_while(|(key, _)| key.pid() == pid)
        {
            total.exited = true;
            total.check = Some(check);
            self.next = Some(self.next.map_or(check, |next| next.min(check)));
        }
    }

    /// When the next counter is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next
    }

    /// The counters that are due, each once.
    pub(super) fn drain_due(&mut self, now: Timestamp) -> Vec<Due> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let many = self.totals.len() > MANY;
        let mut due = Vec::new();
        for (key, total) in &mut self.totals {
            let idle = many && now.since(total.last) > IDLE_AFTER;
            if idle || total.check.is_some_and(|check| check <= now) {
                total.check = None;
                let free = total.exited || idle;
                due.push(Due {
                    key: key.clone(),
                    free,
                });
            }
        }
        self.next = self.totals.values().filter_map(|total| total.check).min();
        due
    }

    /// The kernel's counter was freed: counting starts again at 0.
    pub(super) fn freed(&mut self, key: &CounterKey) {
        self.totals.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::ConnectFailureKey;

    use super::*;

    fn key(pid: Pid, port: u16) -> CounterKey {
        CounterKey::Tcp(ConnectFailureKey {
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
    fn failures_are_new_when_the_kernels_total_has_grown() {
        let mut tally = Tally::default();
        assert_eq!(tally.update(&key(1, 80), 1, at(0)), Some(1));
        assert_eq!(tally.update(&key(1, 80), 500, at(10)), Some(499));
        assert_eq!(
            tally.update(&key(1, 80), 500, at(10)),
            None,
            "two processors"
        );
        assert_eq!(tally.update(&key(1, 80), 499, at(10)), None, "out of order");
        assert_eq!(tally.update(&key(1, 81), 1, at(10)), Some(1));
    }

    #[test]
    fn a_failure_that_the_kernel_did_not_count_is_one_more() {
        let mut tally = Tally::default();
        assert_eq!(tally.update(&key(1, 80), 0, at(0)), Some(1));
        assert_eq!(tally.update(&key(1, 80), 0, at(1)), Some(1));
        assert_eq!(tally.update(&key(1, 80), 1, at(2)), Some(1));
        assert_eq!(tally.update(&key(1, 80), 4, at(3)), Some(3));
    }

    #[test]
    fn a_counter_is_read_once_after_each_record() {
        let mut tally = Tally::default();
        tally.update(&key(1, 80), 1, at(0));
        assert_eq!(tally.drain_due(at(24)), []);
        assert_eq!(tally.next_due(), Some(at(25)));
        let due = Due {
            key: key(1, 80),
            free: false,
        };
        assert_eq!(tally.drain_due(at(25)), std::slice::from_ref(&due));
        assert_eq!(tally.next_due(), None);
        assert_eq!(
            tally.update(&key(1, 80), 7, at(9)),
            Some(6),
            "the remainder"
        );
        assert_eq!(tally.drain_due(at(40)), [due], "and once more, in case");
        assert_eq!(tally.update(&key(1, 80), 7, at(9)), None);
        assert_eq!(tally.next_due(), None);
    }

    #[test]
    fn the_counters_of_an_exited_process_are_freed_and_no_others() {
        let mut tally = Tally::default();
        for (pid, port) in [(1, 80), (2, 80), (2, 81), (3, 80)] {
            tally.update(&key(pid, port), 1, at(0));
        }
        assert_eq!(tally.drain_due(at(100)).len(), 4);
        tally.process_exited(2, at(100));
        assert_eq!(tally.drain_due(at(1_000)), []);
        let due = tally.drain_due(at(1_100));
        assert_eq!(due.len(), 2);
        for due in due {
            assert!(due.free);
            assert_eq!(due.key.pid(), 2);
            tally.freed(&due.key);
        }
        assert_eq!(tally.totals.len(), 2);
    }

    #[test]
    fn idle_counters_are_freed_when_there_are_many() {
        let mut tally = Tally::default();
        for pid in 0..1_000 {
            tally.update(&key(pid, 80), 1, at(0));
        }
        tally.update(&key(5_000, 80), 1, at(20_000));
        let due = tally.drain_due(at(20_030));
        assert_eq!(due.iter().filter(|due| due.free).count(), 1_000);
        assert_eq!(due.len(), 1_001);
    }

    #[test]
    fn memory_is_bounded_and_every_failure_is_counted() {
        let mut tally = Tally::default();
        let counted = (0..2 * 8192)
            .filter_map(|pid| tally.update(&key(pid, 80), 1, at(0)))
            .sum::<u64>();
        assert_eq!(counted, 2 * 8192);
        assert_eq!(tally.totals.len(), 8192);
    }
}
