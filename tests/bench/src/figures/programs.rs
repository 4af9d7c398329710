//! The time of one run of each kernel program, by the kernel's clock.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;

use super::Figure;
use crate::load::nginx::Nginx;
use crate::load::{connects, exits, http};
use crate::watcher::Tracer;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Measuring is part of the result: about 20 ns.
pub fn measure(binary: &Path, time: Duration) -> Result<Vec<Figure>> {
    let before: BTreeSet<u32> = loaded_programs().flatten().map(|one| one.id()).collect();
    let refused = Nginx::start(true)?;
    let tracer = Tracer::start(binary, &[], |_| {})?;
    let was = fs::read_to_string(SWITCH).context(SWITCH)?;
    fs::write(SWITCH, "1").context(SWITCH)?;
    let driven = exits::drive(time)
        .and_then(|_| connects::drive(time))
        .and_then(|_| http::drive(refused.port(), 502, time));
    fs::write(SWITCH, was).context(SWITCH)?;
    driven?;
    let mut figures = Vec::new();
    for program in loaded_programs().flatten() {
        let (runs, time) = (program.run_count(), program.run_time());
        if before.contains(&program.id()) || runs == 0 {
            continue;
        }
        let nanos = time.as_secs_f64() * 1e9;
        let name = program.name_as_str().unwrap_or("unnamed").to_owned();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        figures.push(Figure::new(
            format!("{name}, {runs} runs"),
            nanos / runs as f64,
            "ns",
            0,
        ));
    }
    tracer.stop()?;
    figures.sort_by(|one, other| one.what.cmp(&other.what));
    Ok(figures)
}
