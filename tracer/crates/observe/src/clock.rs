//! The clocks. Nothing else in the crate reads one.

use rustix::time::{ClockId, clock_gettime};

use tracer_model::{ClockAnchor, Timestamp, WallTime};

/// CLOCK_BOOTTIME, the clock of the kernel's hooks.
pub fn now() -> Timestamp {
    Timestamp(u64::try_from(read(ClockId::Boottime)).unwrap_or(0))
}

/// CLOCK_REALTIME_COARSE, the clock of file timestamps.
pub fn file_time() -> WallTime {
    WallTime(read(ClockId::RealtimeCoarse))
}

/// Both clocks at the same instant: the quickest of a few readings.
pub fn anchor() -> ClockAnchor {
    let reading = || {
        let before = now();
        let wall = WallTime(read(ClockId::Realtime));
        let after = now();
        let middle = before.after((after - before) / 2);
        (after - before, ClockAnchor { boot: middle, wall })
    };
    let mut best = reading();
    for _ in 0..4 {
        let other = reading();
        if other.0 < best.0 {
            best = other;
        }
    }
    best.1
}

/// A new anchor if the wall clock was stepped by more than a millisecond since `anchor_then`.
pub fn stepped(anchor_then: &ClockAnchor) -> Option<ClockAnchor> {
    const TOLERATED_NS: u64 = 1_000_000;
    let fresh = anchor();
    let expected = anchor_then.wall(fresh.boot);
    (fresh.wall.0.abs_diff(expected.0) > TOLERATED_NS).then_some(fresh)
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_holds_until_the_clock_is_stepped() {
        let fresh = anchor();
        assert_eq!(stepped(&fresh), None);
        let off = ClockAnchor {
            wall: WallTime(fresh.wall.0 - 5_000_000),
            ..fresh
        };
        let mended = stepped(&off).unwrap();
        assert!(mended.wall.0.abs_diff(fresh.wall(mended.boot).0) < 1_000_000);
    }
}
