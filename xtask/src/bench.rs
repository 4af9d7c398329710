//! `cargo xtask bench`: builds the tracer and the programs that measure it, then runs them.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{build, run, setup};

/// What is handed on.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure and how; `--help` among them tells. `--write` measures all and writes
    /// docs/benchmarks.md
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
        "tracer-tests",
        "--bin",
        "bench",
    ]);
    run::run(&mut driver)?;
    let mut bench = Command::new(run::target_folder()?.join("release/bench"));
    bench
        .arg("--tracer")
        .arg(build::binary()?)
        .arg("--page")
        .arg(run::root()?.join("docs/benchmarks.md"))
        .args(&args.args);
    let status = run::status(&mut bench)?;
    Ok(run::exit_code(status))
}
