//! What the tracer costs the work that it watches, beside other tools, and what it costs by
//! itself. Traffic stays on loopback; loads are bounded in time.

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

    /// How often each load is run with each watcher
    #[arg(long, default_value_t = 15)]
    rounds: usize,

    /// Seconds that one run of a load lasts
    #[arg(long, default_value_t = 1)]
    seconds: u64,

    /// Seconds that the tracer is watched while nothing happens
    #[arg(long, default_value_t = 60)]
    idle: u64,

    /// Seconds of processes and connects coming and going, for its memory
    #[arg(long, default_value_t = 60)]
    churn: u64,

    /// Seconds that a storm lasts
    #[arg(long, default_value_t = 30)]
    storm: u64,

    /// Write the page
    #[arg(long, conflicts_with = "what")]
    write: bool,

    #[arg(long, hide = true)]
    tracer: PathBuf,

    #[arg(long, hide = true)]
    page: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Processes that begin and end
    Exits,
    /// Refused connects
    Connects,
    /// nginx answers by itself, with 200
    Healthy,
    /// nginx answers 502, because nobody listens at its upstream
    Refused,
    /// Start, memory, processor, binary
    Itself,
    /// Processor time per event, by how many services there are
    Events,
    /// From the event to the line about it
    Latency,
    /// Exits and refused connects at once, as many as possible
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
            title: "How fast it tells",
            about: "From the kernel's time of an exit until another process has read the line about it: 500 processes that \
                    end, one every 10 ms.",
            figures: latency::measure(tracer)?,
        },
        What::Events => Section {
            title: "What an event costs it",
            about: "Processor time of the tracer for each event, less what it takes while nothing happens. The services make \
                    processes that end at once, each in its turn; of each process two events are sent. Median of five.",
            figures: events::measure(tracer, seconds(args.seconds))?,
        },
        What::Storm => Section {
            title: "In a storm",
            about: "One thread makes processes, one connects to where nobody listens, both as fast as they can; every \
                    100 ms a process ends whose death is told. The tracer competes with both for the processors.",
            figures: storm::measure(tracer, seconds(args.storm))?,
        },
        What::Programs => Section {
            title: "The kernel programs",
            about: "The kernel's own measurement (`kernel.bpf_stats_enabled`) while all loads run; taking the time is part of \
                    it.",
            figures: programs::measure(tracer, seconds(args.seconds))?,
        },
        _ => Section {
            title: "What it needs for itself",
            about: "`tracer watch --json`, everything on.",
            figures: itself::measure(tracer, seconds(args.idle), seconds(args.churn))?,
        },
    })
}
