//! `cargo xtask <verb>`: set-up, build, demo, test, virtual machines, benchmarks and lint of this
//! workspace.
//!
//! One file per verb. Each verb prints what it runs or installs before it does so, can be repeated
//! safely, and uses root (through sudo) only for the commands that need it. Everything it installs
//! is outside the checkout.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod build;
mod debian;
mod demo;
mod lint;
mod packages;
mod release;
mod run;
mod setup;
mod test;
mod vm;

/// Set up, build, demonstrate, test, measure and lint this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// The help of a verb without a comment here is that of its arguments.
#[derive(Subcommand)]
enum Verb {
    /// Install what building needs; with flags, also what tests, virtual machines and lints need
    Setup(setup::Args),
    /// Build target/release/tracer
    Build,
    Demo(demo::Args),
    /// Set up and run all tests: unit tests, virtual machines, then integration tests (as root)
    Test(test::Args),
    Vm(vm::Args),
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

    #[test]
    fn the_help_of_the_benchmark_program_can_be_reached() {
        let arguments = ["xtask", "bench", "--", "--help"];
        assert!(Cli::try_parse_from(arguments).is_ok());
        let arguments = ["xtask", "bench", "--write"];
        assert!(Cli::try_parse_from(arguments).is_ok());
    }
}
