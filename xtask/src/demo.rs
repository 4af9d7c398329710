//! `cargo xtask demo`: sets up, builds, and runs `tracer demo`.

use std::process::ExitCode;

use anyhow::Result;

use crate::{build, run, setup};

/// Set up, build, and run `tracer demo`: a real incident on loopback (as root)
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for `tracer demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    setup::build()?;
    run::run(&mut build::command()?)?;
    let mut demo = run::as_root(build::binary()?, &["NO_COLOR"])?;
    let status = run::status(demo.arg("demo").args(&args.args))?;
    Ok(run::exit_code(status))
}
