//! Time from an exit, by the kernel's clock, until another process has read the line about it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::Figure;
use crate::statistics::percentile;
use crate::watcher::Tracer;

const DEATHS: usize = 500;
const BETWEEN: Duration = Duration::from_millis(10);
/// The time that the last lines may take.
const LATE: Duration = Duration::from_secs(1);
/// Milliseconds.
pub type Delays = Arc<Mutex<Vec<f64>>>;

/// The command of the processes that die.
pub const VICTIM: &str = "exit 23";

pub fn measure(binary: &Path) -> Result<Vec<Figure>> {
    let mut figures = of("idle", &deaths(binary)?, 0.15, 2.0);
    let busy = Busy::start();
    figures.extend(of("all processors busy", &deaths(binary)?, 0.15, 2.0));
    drop(busy);
    Ok(figures)
}

/// Milliseconds.
fn deaths(binary: &Path) -> Result<Vec<f64>> {
    let (tracer, delays) = start(binary)?;
    for _ in 0..DEATHS {
        die()?;
        sleep(BETWEEN);
    }
    let until = Instant::now() + LATE;
    while delays.lock().is_ok_and(|seen| seen.len() < DEATHS) && Instant::now() < until {
        sleep(BETWEEN);
    }
    tracer.stop()?;
    let delays = delays.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    ensure!(
        delays.len() >= DEATHS,
        "{} of {DEATHS} deaths were reported",
        delays.len()
    );
    Ok(delays.clone())
}

/// Starts a tracer, and collects how many ms ago each victim died when the line about it came.
pub fn start(binary: &Path) -> Result<(Tracer, Delays)> {
    let delays = Delays::default();
    let seen = Arc::clone(&delays);
    let tracer = Tracer::start(binary, &["--all"], move |line| {
        if let Some(delay) = delay_of(line)
            && let Ok(mut seen) = seen.lock()
        {
            seen.push(delay);
        }
    })?;
    Ok((tracer, delays))
}

/// Runs a process that exits with status 23.
pub fn die() -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", VICTIM])
        .stdin(Stdio::null())
        .status()
        .context("starting a shell")?;
    ensure!(status.code() == Some(23), "{VICTIM} exited with {status}");
    Ok(())
}

/// If the line is about the death of one of these processes: how many ms ago it died.
fn delay_of(line: &str) -> Option<f64> {
    if !line.contains("\"kind\":\"death\"") || !line.contains("\"exit_code\":23") {
        return None;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let (_, at) = line.split_once("\"at\":\"")?;
    // 2026-11-23T03:42:27.694895016Z. It is the same day, so the time is enough.
    let time = at.get(11..29)?;
    let (clock, nanos) = time.split_once('.')?;
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    let at = Duration::new(seconds, nanos.parse().ok()?);
    let today = Duration::new(now.as_secs() % 86_400, now.subsec_nanos());
    Some(today.checked_sub(at)?.as_secs_f64() * 1e3)
}

/// p50, p99 and the longest.
pub fn of(when: &str, delays: &[f64], p50: f64, p99: f64) -> Vec<Figure> {
    let figure = |what: &str, hundredths| {
        Figure::new(
            format!("{when}, {what}"),
            percentile(delays, hundredths),
            "ms",
            3,
        )
    };
    vec![
        figure("p50", 50).at_most(p50),
        figure("p99", 99).at_most(p99),
        figure("longest", 100),
    ]
}

/// A busy loop for every processor.
struct Busy {
    stop: Arc<AtomicBool>,
}

impl Busy {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..processors {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self { stop }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
