//! Decides how soon the reader looks again, and until when the kernel programs need not wake it, by how
//! fast records come.

use std::time::Duration;

use tracer_model::Timestamp;

/// Records that do not wake the reader are sent within 4 ms after one that does, so the reader looks
/// again this long after it found records.
pub(super) const LINGER: Duration = Duration::from_millis(5);
/// How often the reader looks, at the counters too, while nothing happens.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// A record is in its ring buffer at most this long after its time.
const LATE: Duration = Duration::from_millis(1);
/// This many records at once are a storm, in which the reader asks not to be woken before its next
/// look. Otherwise an early look pays: a short-lived program can still be found in /proc, and a
/// death finds the reader awake.
const STORM: usize = 32;
/// This many records within [`OVER`] are a flow. The reader then looks every few milliseconds anyway,
/// and each wake-up would interrupt other work.
const FLOW: usize = 50;
const OVER: Duration = Duration::from_millis(100);
/// How long a flow need not wake the reader: longer than until its next look, which may be late.
const UNWOKEN: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Timestamp,
    records: usize,
    flows: bool,
    /// Whether the last look found records.
    busy: bool,
    looked: Timestamp,
    /// Records sent until then may be sent without a wake-up.
    unwoken: Timestamp,
}

impl Pace {
    /// Notes how many records a look at `now` found. Returns until when the kernel programs need not
    /// wake the reader; None: nothing changes.
    pub(super) fn look(&mut self, records: usize, now: Timestamp) -> Option<Timestamp> {
        self.busy = records > 0;
        self.looked = now;
        let unwoken = if self.flows(records, now) {
            now.after(UNWOKEN)
        } else if records >= STORM {
            now.after(LINGER.saturating_sub(LATE))
        } else {
            return None;
        };
        self.unwoken = unwoken;
        Some(unwoken)
    }

    /// How soon after the last look the next one is due.
    pub(super) fn next(&self) -> Duration {
        if self.busy || self.looked <= self.unwoken.after(LATE) {
            LINGER
        } else {
            IDLE_EVERY
        }
    }

    /// Whether records flow, as of the last complete [`OVER`].
    fn flows(&mut self, records: usize, now: Timestamp) -> bool {
        self.records = self.records.saturating_add(records);
        let over = now.since(self.since);
        if over >= OVER {
            // A longer time means that the reader slept in between.
            self.flows = self.records >= FLOW && over < 2 * OVER;
            (self.since, self.records) = (now, 0);
        }
        self.flows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 5 ms for this long, and finds this many records each time. Returns whether they flow
    /// at the end.
    fn look(pace: &mut Pace, now: &mut Timestamp, time: Duration, records: usize) -> bool {
        let until = now.after(time);
        while *now < until {
            *now = now.after(LINGER);
            pace.look(records, *now);
        }
        pace.flows
    }

    #[test]
    fn a_steady_rate_is_a_flow_and_a_burst_is_not() {
        let second = Duration::from_secs(1);
        let (mut pace, mut now) = (Pace::default(), Timestamp(1 << 40));
        assert!(!look(&mut pace, &mut now, second, 2));
        assert!(look(&mut pace, &mut now, second, 3));
        assert!(!look(&mut pace, &mut now, second, 0));
        // After a silence without looks.
        now = now.after(10 * second);
        pace.look(10_000, now);
        assert!(!pace.flows);
    }

    #[test]
    fn the_beginning_and_the_end_of_a_flow_are_noticed_soon() {
        let (mut pace, mut now) = (Pace::default(), Timestamp(1 << 40));
        assert!(!look(&mut pace, &mut now, OVER, 0));
        assert!(look(&mut pace, &mut now, 2 * OVER, 6));
        assert!(!look(&mut pace, &mut now, 2 * OVER, 0));
    }

    #[test]
    fn a_flow_needs_no_wake_up_even_if_the_next_look_is_late() {
        let (mut pace, mut now) = (Pace::default(), Timestamp(1 << 40));
        look(&mut pace, &mut now, 2 * OVER, 6);
        let late = pace.next() + 4 * LATE;
        assert!(pace.look(6, now) >= Some(now.after(late)));
    }

    /// The reader sleeps only after a look that finds the last record sent without a wake-up.
    #[test]
    fn records_sent_without_a_wake_up_are_found() {
        for found in [1, 6, STORM] {
            for looks in [1, 7, 40, 47] {
                let (mut pace, mut now) = (Pace::default(), Timestamp(1 << 40));
                look(&mut pace, &mut now, looks * LINGER, found);
                let quiet = now;
                while pace.next() == LINGER {
                    look(&mut pace, &mut now, LINGER, 0);
                }
                assert!(
                    now > pace.unwoken.after(LATE),
                    "{found} found {looks} times"
                );
                assert!(now.since(quiet) < 2 * OVER, "{found} found {looks} times");
            }
        }
    }
}
