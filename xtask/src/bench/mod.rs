//! `cargo xtask bench`: what the tracer costs the work that it watches.
//!
//! Machines are noisy, and rented ones more so: a load is run without and with the tracer in turn,
//! many times in one go, and what counts is the median of the ratios. Traffic stays on loopback.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{build, run, setup};

mod http;
mod machine;
mod nginx;
mod table;
mod tracer;

use nginx::Nginx;
use table::Row;
use tracer::Tracer;

/// What is to be run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Loads to run; all by default
    #[arg(value_name = "LOAD")]
    loads: Vec<Load>,

    /// How often each load is run without and with the tracer
    #[arg(long, default_value_t = 9)]
    rounds: usize,

    /// Seconds that one run lasts
    #[arg(long, default_value_t = 2)]
    seconds: u64,

    /// Write the table to docs/benchmarks.md
    #[arg(long)]
    write: bool,
}

/// A load.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Load {
    /// nginx answers by itself, with 200
    Healthy,
    /// nginx answers 502, because nobody listens at its upstream
    Refused,
}

const LOADS: [Load; 2] = [Load::Healthy, Load::Refused];

impl Load {
    fn what(self) -> &'static str {
        match self {
            Self::Healthy => "nginx, healthy requests/s",
            Self::Refused => "nginx, requests/s answered 502",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::Healthy => 200,
            Self::Refused => 502,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !run::is_root() {
        let mut again = run::as_root(
            env::current_exe().context("finding this program")?,
            &["CARGO", "CARGO_MANIFEST_DIR", "CARGO_HOME", "RUSTUP_HOME"],
        )?;
        let status = run::status(again.args(env::args_os().skip(1)))?;
        return Ok(run::exit_code(status));
    }
    setup::build()?;
    run::run(&mut build::command()?)?;
    let loads = if args.loads.is_empty() {
        LOADS.to_vec()
    } else {
        args.loads.clone()
    };
    let mut rows = Vec::new();
    for load in loads {
        rows.push(measure(load, args)?);
    }
    let table = table::render(&rows, &machine::described(), args.rounds, args.seconds);
    println!("{table}");
    if args.write {
        let file = run::root()?.join("docs/benchmarks.md");
        std::fs::write(&file, table).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(load: Load, args: &Args) -> Result<Row> {
    let nginx = Nginx::start(load == Load::Refused)?;
    let time = Duration::from_secs(args.seconds);
    let drive = || http::drive(nginx.port(), load.status(), time);
    // The first run warms up.
    drive()?;
    let mut runs = Vec::new();
    for round in 1..=args.rounds {
        let without = drive()?;
        let tracer = Tracer::start()?;
        let with = drive()?;
        let told = tracer.stop()?;
        let expected = if load == Load::Refused {
            with.requests
        } else {
            0
        };
        println!(
            "{}, round {round} of {}: {:.0} without, {:.0} with the tracer; {told} of {expected} failed requests told",
            load.what(),
            args.rounds,
            without.per_second(),
            with.per_second(),
        );
        runs.push(table::Run {
            without: without.per_second(),
            with: with.per_second(),
            missed: expected.abs_diff(told),
        });
    }
    Ok(Row {
        what: load.what(),
        runs,
    })
}
