//! How fast records come: how soon the reader looks again, and whether the kernel has to wake it for
//! what is sent until then.

use std::time::Duration;

use tracer_model::Timestamp;

/// Records that are sent without waking the reader follow one that does within 4 ms: look
/// again this long after having read any.
pub(super) const LINGER: Duration = Duration::from_millis(5);
/// How often the counters are looked at while nothing happens.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// A record is in the ring at most this long after its time.
const LATE: Duration = Duration::from_millis(1);
/// So many records at once are a storm, in which the reader asks not to be woken before it looks
/// by itself. Otherwise being there early pays: a program that was just executed still has a
/// command line, and a death finds the reader awake.
const STORM: usize = 32;
/// So many records within [`OVER`] are a flow: each wake-up interrupts who is at work, and the reader is
/// there every few milliseconds as it is.
const FLOW: usize = 50;
const OVER: Duration = Duration::from_millis(100);
/// How long a flow need not wake the reader: beyond the next look, which may be late.
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
    /// What is sent until then may be sent without a wake-up.
    unwoken: Timestamp,
}

impl Pace {
    /// Takes in that a look at `now` found so many records. Gives until when the reader needs no waking,
    /// if the kernel is to be told.
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

    /// Whether records flow, by the last whole [`OVER`].
    fn flows(&mut self, records: usize, now: Timestamp) -> bool {
        self.records = self.records.saturating_add(records);
        let over = now.since(self.since);
        if over >= OVER {
            // Who slept in between was not kept busy.
            self.flows = self.records >= FLOW && over < 2 * OVER;
            (self.since, self.records) = (now, 0);
        }
        self.flows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 5 ms for so long, and finds as many records each time; whether they flow at the end.
    fn look(pace: &mut Pace, now: &mut Timestamp, time: Duration, records: usize) -> bool {
        let until = now.after(time);
        while *now < until {
            *now = now.after(LINGER);
            pace.look(records, *now);
        }
        pace.flows
    }

    #[test]
    fn what_comes_all_the_time_flows_and_a_burst_does_not() {
        let second = Duration::from_secs(1);
        let (mut pace, mut now) = (Pace::default(), Timestamp(1 << 40));
        assert!(!look(&mut pace, &mut now, second, 2));
        assert!(look(&mut pace, &mut now, second, 3));
        assert!(!look(&mut pace, &mut now, second, 0));
        // After a silence in which nobody looked.
        now = now.after(10 * second);
        pace.look(10_000, now);
        assert!(!pace.flows);
    }

    #[test]
    fn its_begin_and_end_are_known_soon() {
        let (mut pace, mut now) = (Pace::default(), Timestamp(1 << 40));
        assert!(!look(&mut pace, &mut now, OVER, 0));
        assert!(look(&mut pace, &mut now, 2 * OVER, 6));
        assert!(!look(&mut pace, &mut now, 2 * OVER, 0));
    }

    #[test]
    fn a_flow_needs_no_wake_up_though_the_next_look_is_late() {
        let (mut pace, mut now) = (Pace::default(), Timestamp(1 << 40));
        look(&mut pace, &mut now, 2 * OVER, 6);
        let late = pace.next() + 4 * LATE;
        assert!(pace.look(6, now) >= Some(now.after(late)));
    }

    /// The reader sleeps only when it has looked after the last record that wakes nobody was in the ring.
    #[test]
    fn whatever_wakes_nobody_is_looked_for() {
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
