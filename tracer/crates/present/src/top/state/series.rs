//! A number per second, for the last two minutes.

use std::collections::VecDeque;

use tracer_model::WallTime;

/// Seconds kept.
pub(crate) const SECONDS: usize = 120;

/// See the module. Seconds without a value are 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Oldest first; the last is of second `newest`.
    values: VecDeque<u64>,
    newest: i64,
}

impl Series {
    /// Adds to the value of the second that `at` is in.
    pub(super) fn add(&mut self, at: WallTime, value: u64) {
        if let Some(slot) = self.slot(at) {
            *slot = slot.saturating_add(value);
        }
    }

    /// Sets the value of the second that `at` is in.
    pub(super) fn set(&mut self, at: WallTime, value: u64) {
        if let Some(slot) = self.slot(at) {
            *slot = value;
        }
    }

    /// The sum of the last `seconds` before (and with) that of `now`.
    pub(super) fn recent(&self, now: WallTime, seconds: usize) -> u64 {
        let behind = usize::try_from(second(now).saturating_sub(self.newest)).unwrap_or(0);
        let sum = self.values.iter().rev();
        sum.take(seconds.saturating_sub(behind))
            .fold(0, |sum, value| sum.saturating_add(*value))
    }

    /// The last [`SECONDS`] up to `now` as `columns` values: of each, the highest in its time.
    pub(crate) fn columns(&self, now: WallTime, columns: usize) -> Vec<u64> {
        let mut out = vec![0; columns];
        if columns == 0 {
            return out;
        }
        let newest = second(now).max(self.newest);
        let behind = usize::try_from(newest.saturating_sub(self.newest)).unwrap_or(SECONDS);
        for (age, value) in (behind..SECONDS).zip(self.values.iter().rev()) {
            let from_right = age * columns / SECONDS;
            if let Some(slot) = out.iter_mut().rev().nth(from_right) {
                *slot = (*slot).max(*value);
            }
        }
        out
    }

    fn slot(&mut self, at: WallTime) -> Option<&mut u64> {
        let wanted = second(at);
        if self.values.is_empty() {
            self.newest = wanted;
            self.values.push_back(0);
        }
        let ahead = wanted.saturating_sub(self.newest);
        if ahead > 0 {
            let steps = usize::try_from(ahead).unwrap_or(SECONDS).min(SECONDS);
            self.values.extend(std::iter::repeat_n(0, steps));
            let surplus = self.values.len().saturating_sub(SECONDS);
            self.values.drain(..surplus);
            self.newest = wanted;
        }
        let age = usize::try_from(self.newest.saturating_sub(wanted)).ok()?;
        let index = self.values.len().checked_sub(1 + age)?;
        self.values.get_mut(index)
    }
}

fn second(at: WallTime) -> i64 {
    at.0.div_euclid(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> WallTime {
        WallTime(second * 1_000_000_000 + 7)
    }

    #[test]
    fn values_are_of_their_second_and_old_ones_go() {
        let mut series = Series::default();
        series.add(at(1_000), 2);
        series.add(at(1_000), 3);
        series.add(at(1_002), 1);
        series.add(at(999), 9);
        assert_eq!(series.recent(at(1_002), 1), 1);
        assert_eq!(series.recent(at(1_002), 3), 6);
        assert_eq!(series.recent(at(1_003), 3), 1);
        assert_eq!(series.columns(at(1_002), SECONDS)[SECONDS - 3..], [5, 0, 1]);
        assert_eq!(series.columns(at(1_002), 2), [0, 5]);
        series.add(at(i64::from(u32::MAX)), 4);
        assert_eq!(series.columns(at(i64::from(u32::MAX)), 2), [0, 4]);
        assert_eq!(series.values.len(), SECONDS);
    }

    #[test]
    fn no_time_is_too_far_away() {
        let mut series = Series::default();
        for at in [0, i64::MIN, i64::MAX, -1, 5] {
            series.add(WallTime(at), u64::MAX);
            series.set(WallTime(at), 1);
            assert_eq!(series.columns(WallTime(at), 7).len(), 7);
            let _ = series.recent(WallTime(-at.saturating_abs()), 3);
        }
    }
}
