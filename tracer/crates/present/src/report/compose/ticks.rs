//! Reduces any number of effects to a bounded list of ticks.

use tracer_model::WallTime;

use super::super::model::Tick;

/// From this many ticks on, neighbours are merged.
const MAX: usize = 600;
/// The first width of a merged tick, ns.
const FIRST_WIDTH: i64 = 1_000_000;

/// Keeps single ticks while there are few, and merges neighbours if there are many: a single failure
/// within hours keeps its place, a storm becomes bars.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    ticks: Vec<Tick>,
    /// Ticks closer together than this are merged, ns; 0 while there are few.
    width: i64,
}

impl Ticks {
    /// Adds `count` effects at `at`. Calls come in order of time, or nearly so.
    pub(super) fn push(&mut self, at: WallTime, count: u64, what: impl FnOnce() -> String) {
        if let Some(last) = self.ticks.last_mut()
            && self.width > 0
            && at.0.saturating_sub(last.at.0) < self.width
        {
            last.until = last.until.max(at);
            last.count = last.count.saturating_add(count);
            last.what = None;
            return;
        }
        if self.ticks.len() >= MAX {
            self.coarsen();
        }
        self.ticks.push(Tick {
            at,
            until: at,
            count,
            what: Some(what().into()),
        });
    }

    fn coarsen(&mut self) {
        while self.ticks.len() > MAX / 2 {
            self.width = (self.width.saturating_mul(2)).max(FIRST_WIDTH);
            let width = self.width;
            self.ticks.dedup_by(|next, kept| {
                let near = next.at.0.saturating_sub(kept.at.0) < width;
                if near {
                    kept.until = kept.until.max(next.until);
                    kept.count = kept.count.saturating_add(next.count);
                    kept.what = None;
                }
                near
            });
        }
    }

    /// Whether there are no ticks.
    pub(super) fn is_empty(&self) -> bool {
        self.ticks.is_empty()
    }

    /// The ticks, in order.
    pub(super) fn finish(self) -> Vec<Tick> {
        self.ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_ticks_stay_unchanged() {
        let mut ticks = Ticks::default();
        for at in 0..10 {
            ticks.push(WallTime(at), 1, || format!("{at}"));
        }
        let ticks = ticks.finish();
        assert_eq!(ticks.len(), 10);
        assert_eq!(ticks[3].what.as_deref(), Some("3"));
    }

    #[test]
    fn a_storm_is_merged_without_losing_counts() {
        let mut ticks = Ticks::default();
        let total = 100_000;
        for index in 0..total {
            ticks.push(WallTime(index * 100_000), 2, || "x".to_owned());
        }
        // A failure long after the storm keeps its own place.
        ticks.push(WallTime(86_400_000_000_000), 1, || "late".to_owned());
        let ticks = ticks.finish();
        assert!(ticks.len() <= MAX, "{}", ticks.len());
        let sum: u64 = ticks.iter().map(|tick| tick.count).sum();
        assert_eq!(sum, 200_001);
        assert_eq!(ticks.last().unwrap().what.as_deref(), Some("late"));
        assert!(ticks.windows(2).all(|pair| pair[0].until < pair[1].at));
    }
}
