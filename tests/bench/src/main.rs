//! Benchmarks of the tracer on a machine: what it costs the work that it watches, compared with
//! other tools, and what it costs by itself. `cargo xtask bench` runs them and writes
//! `docs/benchmarks.md`.
//!
//! A benchmark belongs here if it needs the kernel: the tracer's binary and its hooks, root, and a
//! machine without other work. Traffic stays on loopback, and loads are bounded in time. A
//! benchmark of a function (decoding, analysis, log lines, replay) belongs in `tests/bench/benches/`
//! and runs with `cargo bench -p tracer-bench`.

mod compare;
mod figures;
mod load;
mod machine;
mod statistics;
mod table;
mod tracefs;
mod watcher;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;

use compare::Load;
use figures::{events, itself, latency, programs, storm};
use table::Section;
use tracefs::Tracefs;

/// Measures the tracer. Runs as root, on a machine where nothing else happens.
#[derive(clap::Parser)]
#[command(name = "cargo xtask bench")]
struct Args {
    /// What to measure; all by default
    #[arg(value_name = "WHAT")]
    what: Vec<What>,

    /// Runs of each load with each watcher
    #[arg(long, default_value_t = 15)]
    rounds: usize,

    /// Seconds that one run of a load lasts
    #[arg(long, default_value_t = 1)]
    seconds: u64,

    /// Seconds of idling, for its processor time
    #[arg(long, default_value_t = 60)]
    idle: u64,

    /// Seconds of short processes and refused connects, for its memory
    #[arg(long, default_value_t = 60)]
    churn: u64,

    /// Seconds that a storm lasts
    #[arg(long, default_value_t = 30)]
    storm: u64,

    /// Write docs/benchmarks.md
    #[arg(long, conflicts_with = "what")]
    write: bool,

    #[arg(long, hide = true)]
    tracer: PathBuf,

    #[arg(long, hide = true)]
    page: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Short processes
    Exits,
    /// Refused connects
    Connects,
    /// nginx responds with 200 by itself
    Healthy,
    /// nginx responds with 502, because nothing listens at its upstream
    Refused,
    /// Start time, memory, processor time, size of the binary
    Itself,
    /// Processor time per event, by the number of services
    Events,
    /// Time from an event to the line about it
    Latency,
    /// As many exits and refused connects as possible
    Storm,
    /// Nanoseconds per run of each kernel program
    Programs,
}

const LOADS: [(What, &Load); 5] = [
    (What::Exits, &compare::EXITS),
    (What::Exits, &compare::EXITS_ON_ONE_PROCESSOR),
    (What::Connects, &compare::CONNECTS),
    (What::Healthy, &compare::HEALTHY),
    (What::Refused, &compare::REFUSED),
];

fn main() -> Result<()> {
    if load::services::served()? {
        return Ok(());
    }
    let args = Args::parse();
    ensure!(rustix::process::geteuid().is_root(), "measuring needs root");
    let wanted = |what| args.what.is_empty() || args.what.contains(&what);
    let time = Duration::from_secs(args.seconds);
    let tracefs = Tracefs::mounted()?;
    let mut variants = vec![compare::WHOLE];
    if machine::sees_connects_by_system_calls(&args.tracer)? {
        variants.push(compare::NO_SYSTEM_CALLS);
    }
    let mut compared = Vec::new();
    for (what, load) in LOADS {
        if wanted(what) {
            let one = compare::compare(load, &args.tracer, &variants, args.rounds, time)?;
            compared.push(one);
        }
    }
    drop(tracefs);
    let costs = if compared.is_empty() {
        String::new()
    } else {
        table::costs(&compared, args.rounds, args.seconds)
    };
    println!("{costs}");
    let mut sections = Vec::new();
    for what in [
        What::Itself,
        What::Events,
        What::Latency,
        What::Storm,
        What::Programs,
    ] {
        if wanted(what) {
            let section = section(what, &args)?;
            println!("{}", table::figures(&section));
            sections.push(section);
        }
    }
    if args.write {
        let page = table::page(&costs, &sections, &machine::described(&args.tracer)?);
        fs::write(&args.page, page).with_context(|| format!("writing {}", args.page.display()))?;
    }
    Ok(())
}

fn section(what: What, args: &Args) -> Result<Section> {
    let seconds = Duration::from_secs;
    let tracer = &args.tracer;
    Ok(match what {
        What::Latency => Section {
            title: "How fast it reports",
            about: "Time from an exit, by the kernel's clock, until another process has read the line about it. 500 processes \
                    exit, one every 10 ms.",
            figures: latency::measure(tracer)?,
        },
        What::Events => Section {
            title: "What an event costs",
            about: "Processor time of the tracer for each event, without the time that it takes while idle. The services take \
                    turns in starting processes that exit at once; each process is two events. Median of five.",
            figures: events::measure(tracer, seconds(args.seconds))?,
        },
        What::Storm => Section {
            title: "In a storm",
            about: "One thread starts processes, another makes connects that are refused, both as fast as they can; every \
                    100 ms a process dies that is reported. The tracer competes with both for the processors.",
            figures: storm::measure(tracer, seconds(args.storm))?,
        },
        What::Programs => Section {
            title: "The kernel programs",
            about: "Measured by the kernel (`kernel.bpf_stats_enabled`) while all loads run. Measuring is part of the \
                    result.",
            figures: programs::measure(tracer, seconds(args.seconds))?,
        },
        _ => Section {
            title: "What it needs by itself",
            about: "`tracer watch --json` with everything on.",
            figures: itself::measure(tracer, seconds(args.idle), seconds(args.churn))?,
        },
    })
}
