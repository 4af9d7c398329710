//! Exits and refused connects as fast as two threads can cause them, with reported deaths among
//! them; then the same with a tracer that is paused for a while.

use std::path::Path;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rustix::process::Signal;

use super::latency::{die, of, start};
use super::{Figure, itself};
use crate::load::{Driven, connects, exits};
use crate::watcher::Totals;

const BETWEEN_DEATHS: Duration = Duration::from_millis(100);
const STOPPED: Duration = Duration::from_secs(5);

/// A storm, and what the tracer reported.
struct Storm {
    exits: Driven,
    connects: Driven,
    deaths: u64,
    delays: Vec<f64>,
    totals: Totals,
    processor: Duration,
    resident: u64,
}

pub fn measure(binary: &Path, time: Duration) -> Result<Vec<Figure>> {
    let storm = rage(binary, time, None)?;
    let mut figures = vec![
        Figure::new("exits", storm.exits.per_second(), "per s", 0),
        Figure::new("refused connects", storm.connects.per_second(), "per s", 0),
        Figure::count(
            "refused connects not counted",
            missed(&storm, "connects_failed"),
        )
        .zero(),
        Figure::count(
            "deaths not reported",
            storm.deaths.saturating_sub(storm.delays.len() as u64),
        )
        .zero(),
        Figure::count("events lost, as counted", storm.totals.total("lost")).zero(),
    ];
    let mut delays = of("a death inside the storm", &storm.delays, f64::NAN, 5.0);
    delays.remove(0);
    figures.extend(delays);
    figures.push(Figure::new(
        "the tracer's processor time",
        100.0 * storm.processor.as_secs_f64() / storm.exits.time.as_secs_f64(),
        "% of one",
        0,
    ));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    figures.push(Figure::new(
        "its resident memory at the end",
        storm.resident as f64 / f64::from(1 << 20),
        "MiB",
        1,
    ));
    let stopped = rage(binary, STOPPED + Duration::from_secs(3), Some(STOPPED))?;
    figures.push(
        Figure::count(
            "tracer paused for 5 s: refused connects not counted",
            missed(&stopped, "connects_failed"),
        )
        .zero(),
    );
    let exits = missed(&stopped, "exits");
    let lost = stopped.totals.total("lost");
    figures.push(Figure::count("… exits not seen", exits));
    figures.push(Figure::count("… events lost, as counted", lost));
    figures.push(
        Figure::count(
            "… exits not seen and not counted as lost",
            exits.saturating_sub(lost),
        )
        .zero(),
    );
    Ok(figures)
}

fn missed(storm: &Storm, what: &str) -> u64 {
    let driven = match what {
        "exits" => storm.exits.count + storm.deaths,
        _ => storm.connects.count,
    };
    driven.saturating_sub(storm.totals.total(what))
}

fn rage(binary: &Path, time: Duration, stopped: Option<Duration>) -> Result<Storm> {
    let (tracer, delays) = start(binary)?;
    let before = itself::processor_time(tracer.pid())?;
    let exits = thread::spawn(move || exits::drive(time));
    let connects = thread::spawn(move || connects::drive(time));
    let began = Instant::now();
    if let Some(stopped) = stopped {
        tracer.signal(Signal::STOP)?;
        sleep(stopped);
        tracer.signal(Signal::CONT)?;
    }
    let mut deaths = 0;
    while began.elapsed() < time {
        die()?;
        deaths += 1;
        sleep(BETWEEN_DEATHS);
    }
    let exits = exits.join().map_err(|_| anyhow!("making exits"))??;
    let connects = connects.join().map_err(|_| anyhow!("connecting"))??;
    let processor = itself::processor_time(tracer.pid())?.saturating_sub(before);
    let resident = itself::status_bytes(tracer.pid(), "VmRSS:")?;
    let totals = tracer.stop()?;
    let delays = delays.lock().map_err(|_| anyhow!("poisoned"))?.clone();
    Ok(Storm {
        exits,
        connects,
        deaths,
        delays,
        totals,
        processor,
        resident,
    })
}
