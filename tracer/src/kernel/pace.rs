//! How fast records come: whether the kernel still has to wake the reader for each few of them.

use std::time::Duration;

use crate::model::Timestamp;

/// So many records within [`OVER`] are a flow: each wake-up interrupts who is at work, and the reader is
/// there every few milliseconds as it is.
const FLOW: usize = 50;
const OVER: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Timestamp,
    records: usize,
    flows: bool,
}

impl Pace {
    /// Takes in that so many records have come by now. Whether they flow, by the last whole [`OVER`].
    pub(super) fn flows(&mut self, records: usize, now: Timestamp) -> bool {
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

    /// Looks every 5 ms for so long, and finds as many records each time.
    fn look(pace: &mut Pace, now: &mut Timestamp, time: Duration, records: usize) -> bool {
        let mut flows = false;
        let until = now.after(time);
        while *now < until {
            *now = now.after(Duration::from_millis(5));
            flows = pace.flows(records, *now);
        }
        flows
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
        assert!(!pace.flows(10_000, now));
    }

    #[test]
    fn its_begin_and_end_are_known_soon() {
        let (mut pace, mut now) = (Pace::default(), Timestamp(1 << 40));
        assert!(!look(&mut pace, &mut now, OVER, 0));
        assert!(look(&mut pace, &mut now, 2 * OVER, 6));
        assert!(!look(&mut pace, &mut now, 2 * OVER, 0));
    }
}
