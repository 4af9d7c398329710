//! Work that is watched. Each load returns how much it did, and in which time.

pub mod connects;
pub mod exits;
pub mod http;
pub mod nginx;
pub mod processes;
pub mod services;

use std::time::{Duration, Instant};

/// The work that a load did.
#[derive(Clone, Copy)]
pub struct Driven {
    /// Exits, connects, or responses.
    pub count: u64,
    pub time: Duration,
}

impl Driven {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }

    pub fn micros_each(&self) -> f64 {
        1e6 / self.per_second()
    }
}

/// Repeats something for `time`.
fn repeat<E>(time: Duration, mut once: impl FnMut() -> Result<(), E>) -> Result<Driven, E> {
    /// Reading the clock is part of the measurement.
    const BETWEEN_LOOKS: u64 = 32;
    let began = Instant::now();
    let mut count = 0;
    loop {
        for _ in 0..BETWEEN_LOOKS {
            once()?;
        }
        count += BETWEEN_LOOKS;
        let elapsed = began.elapsed();
        if elapsed >= time {
            return Ok(Driven {
                count,
                time: elapsed,
            });
        }
    }
}
