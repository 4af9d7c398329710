//! `cargo xtask build`: the release binary, as `cargo build --release` makes it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::run;

pub(crate) fn run() -> Result<ExitCode> {
    let status = run::status(&mut command()?)?;
    if status.success() {
        println!("built {}", binary()?.display());
    }
    Ok(run::exit_code(status))
}

/// The command that builds [`binary`].
pub(crate) fn command() -> Result<Command> {
    let mut command = run::cargo()?;
    command.args(["build", "--release", "--package", "tracer"]);
    Ok(command)
}

/// The path of the release binary.
pub(crate) fn binary() -> Result<PathBuf> {
    Ok(run::target_folder()?.join("release/tracer"))
}
