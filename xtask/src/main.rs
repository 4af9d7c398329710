//! `cargo xtask <verb>`: set-up, build, demo, test, virtual machines and lint of this workspace.
//!
//! One file per verb. Every verb says what it is about to run or install before it does, can be
//! repeated at will, and asks for root (through sudo) only for the one command that needs it. What
//! it installs lives outside the checkout.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod build;
mod debian;
mod demo;
mod lint;
mod release;
mod run;
mod setup;
mod test;
mod vm;

/// Set-up, build, demo, test, virtual machines and lint of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what the build needs, and with flags what the tests and the lints need
    Setup(setup::Args),
    /// Build target/release/tracer
    Build,
    /// Set up, build, and watch a scripted real incident (as root)
    Demo(demo::Args),
    /// Set up and run all tests: the pure ones, then those on the real kernel (as root)
    Test(test::Args),
    /// Run the tracer on real kernels in virtual machines
    Vm(vm::Args),
    /// Measure what the tracer costs (as root)
    Bench(bench::Args),
    /// Check formatting, clippy (host and kernel programs), fuzz targets, licences, advisories, house
    /// rules
    Lint(lint::Args),
    /// Check a release's tag and print its section of CHANGELOG.md
    ReleaseNotes(release::Args),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Setup(args) => setup::run(args),
        Verb::Build => build::run(),
        Verb::Demo(args) => demo::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Vm(args) => vm::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Lint(args) => lint::run(args),
        Verb::ReleaseNotes(args) => release::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
