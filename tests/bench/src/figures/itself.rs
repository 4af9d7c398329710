//! What the tracer needs by itself: start time, processor time, memory, disk.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Figure;
use crate::load::processes::Idle;
use crate::load::{connects, exits};
use crate::statistics::median;
use crate::watcher::Tracer;

const STARTS: usize = 20;
/// Time itself: after this the tracer has finished its start.
pub const SETTLED: Duration = Duration::from_secs(3);
/// The duration of a load between two looks at its memory.
const CHURN: Duration = Duration::from_secs(5);

pub fn measure(binary: &Path, idle: Duration, churn: Duration) -> Result<Vec<Figure>> {
    let mut figures = vec![starts(binary, 0)?.at_most(60.0)];
    for (processes, most) in [(1_000, None), (10_000, None)] {
        let _idle = Idle::start(processes)?;
        let figure = starts(binary, processes)?;
        figures.push(match most {
            Some(most) => figure.at_most(most),
            None => figure,
        });
        figures.push(resident(binary, processes)?);
    }
    figures.push(idle_processor(binary, idle)?);
    figures.extend(churned(binary, churn)?);
    let file = fs::metadata(binary).with_context(|| format!("{}", binary.display()))?;
    figures.push(Figure::new("binary", mib(file.len()), "MiB", 1));
    Ok(figures)
}

/// Time from its start to its first line: the hooks are armed, and the running services are known.
fn starts(binary: &Path, processes: usize) -> Result<Figure> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let tracer = Tracer::start(binary, &[], |_| {})?;
        times.push(tracer.armed_after.as_secs_f64() * 1e3);
        tracer.stop()?;
    }
    let more = match processes {
        0 => String::new(),
        more => format!(", {more} more processes"),
    };
    Ok(Figure::new(
        format!("start until armed{more}"),
        median(&times),
        "ms",
        1,
    ))
}

fn resident(binary: &Path, processes: usize) -> Result<Figure> {
    let tracer = Tracer::start(binary, &[], |_| {})?;
    sleep(SETTLED);
    let bytes = status_bytes(tracer.pid(), "VmRSS:")?;
    tracer.stop()?;
    let figure = Figure::new(
        format!("resident memory, {processes} more processes"),
        mib(bytes),
        "MiB",
        1,
    );
    Ok(match processes {
        1_000 => figure.at_most(10.0),
        _ => figure,
    })
}

fn idle_processor(binary: &Path, time: Duration) -> Result<Figure> {
    let tracer = Tracer::start(binary, &[], |_| {})?;
    sleep(SETTLED);
    let before = processor_time(tracer.pid())?;
    sleep(time);
    let used = processor_time(tracer.pid())?.saturating_sub(before);
    tracer.stop()?;
    Ok(Figure::new(
        format!("processor while nothing happens, {} s", time.as_secs()),
        100.0 * used.as_secs_f64() / time.as_secs_f64(),
        "%",
        3,
    )
    .at_most(0.1))
}

/// Memory at the beginning, in the middle and at the end of many short processes and connects.
fn churned(binary: &Path, time: Duration) -> Result<Vec<Figure>> {
    let tracer = Tracer::start(binary, &[], |_| {})?;
    let began = Instant::now();
    let (mut processes, mut refused) = (0, 0);
    let mut looks: Vec<(Duration, Memory)> = Vec::new();
    while began.elapsed() < time || looks.is_empty() {
        processes += exits::drive(CHURN)?.count;
        refused += connects::drive(CHURN)?.count;
        looks.push((began.elapsed(), Memory::of(tracer.pid())?));
    }
    let whole = began.elapsed();
    let peak = status_bytes(tracer.pid(), "VmHWM:")?;
    tracer.stop()?;
    let half = looks.partition_point(|(after, _)| *after < whole / 2);
    let mut figures: Vec<Figure> = [0, half, looks.len() - 1]
        .into_iter()
        .filter_map(|look| looks.get(look))
        .flat_map(|(after, memory)| {
            let when = format!("after {} of churn", in_words(*after));
            [
                Figure::new(
                    format!("resident memory {when}"),
                    mib(memory.resident),
                    "MiB",
                    1,
                ),
                Figure::new("… of which its own", mib(memory.own), "MiB", 1),
            ]
        })
        .collect();
    figures.extend([
        Figure::new("its peak, including the start", mib(peak), "MiB", 1),
        Figure::count("processes meanwhile", processes),
        Figure::count("refused connects meanwhile", refused),
    ]);
    Ok(figures)
}

/// The memory of a process.
struct Memory {
    resident: u64,
    /// Anonymous memory: neither its program nor its rings.
    own: u64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        Ok(Self {
            resident: status_bytes(pid, "VmRSS:")?,
            own: status_bytes(pid, "RssAnon:")?,
        })
    }
}

fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

/// A value of /proc/<pid>/status, converted from KiB to bytes.
pub fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .with_context(|| format!("{path} has no {name}"))?;
    let kib: u64 = kib.trim().parse().with_context(|| path.clone())?;
    Ok(kib << 10)
}

/// The processor time of a process, in user space and in the kernel.
pub fn processor_time(pid: u32) -> Result<Duration> {
    // The scheduler's count in nanoseconds: ticks are too coarse for an idle minute.
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let nanos = text.split(' ').next().context("schedstat is empty")?;
        sum += nanos.parse::<u64>().context("schedstat")?;
    }
    Ok(Duration::from_nanos(sum))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
