//! `cargo xtask bench`: builds the tracer and the program that measures it, then runs that program.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{build, run, setup};

/// The page that `--write` writes.
const PAGE: &str = "docs/benchmarks.md";

/// Measure the cost of the tracer on this machine (as root)
///
/// Builds the release binary and the benchmark program (`tests/bench/src/`), then runs the
/// program as root. It puts this machine under load (exiting processes, refused connects, nginx) and
/// measures how much slower the load runs while the tracer watches, compared with other tools. It
/// also measures the tracer's own start time, memory, processor time and latency. All traffic stays
/// on loopback. With --write, it measures everything and writes docs/benchmarks.md.
///
/// What single functions cost (decoding, analysis, log lines, replay) is measured by
/// `cargo bench`, without root; see docs/development.md.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for the benchmark program; `cargo xtask bench -- --help` lists them
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<String>,
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
    let mut driver = run::cargo()?;
    driver.args([
        "build",
        "--release",
        "--package",
        "tracer-bench",
        "--bin",
        "bench",
    ]);
    run::run(&mut driver)?;
    let mut bench = Command::new(run::target_folder()?.join("release/bench"));
    bench
        .arg("--tracer")
        .arg(build::binary()?)
        .arg("--page")
        .arg(run::root()?.join(PAGE))
        .args(&args.args);
    let status = run::status(&mut bench)?;
    Ok(run::exit_code(status))
}
