//! What an event costs the tracer, by the number of services.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::Figure;
use super::itself::{SETTLED, processor_time};
use crate::load::services::Services;
use crate::statistics::median;
use crate::watcher::Tracer;

const ROUNDS: usize = 5;
/// The start and the exit of a process.
const EVENTS_EACH: f64 = 2.0;

/// Processor time of the tracer for each event, without the time that it takes while idle.
pub fn measure(binary: &Path, time: Duration) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for count in [10, 1_000, 10_000] {
        let mut services = Services::start(count)?;
        let tracer = Tracer::start(binary, &[], |_| {})?;
        sleep(SETTLED);
        let mut each = Vec::new();
        let mut processes = 0;
        for _ in 0..ROUNDS {
            let before = processor_time(tracer.pid())?;
            sleep(time);
            let idle = processor_time(tracer.pid())?;
            let driven = services.drive(time)?;
            let after = processor_time(tracer.pid())?;
            let used = after
                .saturating_sub(idle)
                .saturating_sub(idle.saturating_sub(before));
            processes += driven.count;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let events = driven.count as f64 * EVENTS_EACH;
            each.push(used.as_secs_f64() * 1e6 / events);
        }
        let counted = tracer.stop()?.total("exits");
        figures.push(Figure::new(
            format!("{count} services"),
            median(&each),
            "µs",
            2,
        ));
        let missed = processes.saturating_sub(counted);
        figures.push(Figure::count("… exits not counted", missed).zero());
    }
    Ok(figures)
}
