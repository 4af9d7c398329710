//! How long tests wait for a condition, on machines of any speed.

use std::time::{Duration, Instant};

/// Time between two looks.
const PULSE: Duration = Duration::from_millis(10);

/// The time to wait for something that should take `limit` at most: `TRACER_TEST_PATIENCE` times as
/// long where that is set. Emulated machines are slow.
pub fn patient(limit: Duration) -> Duration {
    limit * slowness()
}

/// How many times slower than usual this machine is, by `TRACER_TEST_PATIENCE`; at least 1.
pub fn slowness() -> u32 {
    let times = std::env::var("TRACER_TEST_PATIENCE").ok();
    times
        .and_then(|times| times.parse().ok())
        .map_or(1, |times: u32| times.max(1))
}

/// Calls `look` until it returns something. Fails the test after `limit`.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = patient(limit);
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        std::thread::sleep(PULSE);
    }
}
