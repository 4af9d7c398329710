//! The command line: arguments (validated, nothing else), one file per subcommand, exit codes.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

mod color;
mod config;
mod control;
mod demo;
mod deploy;
mod doctor;
mod export;
mod filter;
mod outcome;
mod output;
mod record;
mod recording;
mod replay;
mod report;
mod runtime;
mod schema;
mod selection;
mod services;
mod stop;
mod top;
mod watch;
mod window;

pub use outcome::Outcome;

/// Which service lost a process, why, and which proxied requests failed because of it.
#[derive(Debug, Parser)]
#[command(name = "tracer", version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 it could not be done or the answer is no, \
    2 the command line is wrong, 3 a --fail-on finding happened.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this machine and say at once which service lost a process, why, and what failed
    Watch(watch::Args),
    /// Watch on a screen: services, incidents and their stories, events
    Top(top::Args),
    /// Run a deployment's command, watch what it does to the services, and judge it
    Deploy(deploy::Args),
    /// Put a mark into what the running tracers watch and record
    Mark(control::MarkArgs),
    /// Tell what the running tracers are and have seen
    Status(control::StatusArgs),
    /// Record what happens to a file, for `tracer replay`: a flight recorder
    Record(record::Args),
    /// Print the findings of a capture, as they were printed or would have been
    Replay(replay::Args),
    /// Tell what a capture holds as a postmortem: text, Markdown, a page, JSON
    Report(report::Args),
    /// Write a capture's findings for other tools: DuckDB, pandas, spreadsheets, ui.perfetto.dev
    Export(export::Args),
    /// List the services that run: listeners, memory against limit, proxies and their upstreams
    Services(services::Args),
    /// Tell what will work on this machine, what won't, why, and what to do about it
    Doctor(doctor::Args),
    /// Cause a real incident on loopback (a worker behind a proxy is OOM-killed) and watch it
    Demo(demo::Args),
    /// Print the JSON Schema of the findings
    Schema,
    /// The demo's worker, started by the demo itself
    #[command(hide = true)]
    DemoWorker(PassThrough),
    /// The demo's built-in proxy, started by the demo itself
    #[command(hide = true)]
    DemoProxy(PassThrough),
    /// The process that the doctor looks at, started by the doctor itself
    #[command(hide = true)]
    SelfCheckChild(PassThrough),
}

/// Arguments that another module parses.
#[derive(Debug, clap::Args)]
struct PassThrough {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Parses the command line, runs the command, reports its error.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(outcome) => outcome.into(),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tracer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.command {
        Command::Watch(args) => watch::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Deploy(args) => deploy::run(&args),
        Command::Mark(args) => control::mark(&args),
        Command::Status(args) => control::status(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Services(args) => services::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Schema => schema::run(),
        Command::DemoWorker(PassThrough { args }) => {
            crate::demo::worker::run(&args).context("demo worker")?;
            Ok(Outcome::Success)
        }
        Command::DemoProxy(PassThrough { args }) => {
            crate::demo::proxy::run(&args).context("demo proxy")?;
            Ok(Outcome::Success)
        }
        Command::SelfCheckChild(PassThrough { args }) => {
            crate::self_check::child::run(&args).context("self-check child")?;
            Ok(Outcome::Success)
        }
    }
}

/// Whoever read our output has gone: that is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
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
    fn an_unknown_fail_on_kind_is_refused_with_the_known_ones() {
        let error = Cli::try_parse_from(["tracer", "watch", "--fail-on", "deaht"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("deaht") && text.contains("death"), "{text}");
        assert_eq!(error.exit_code(), 2);
    }
}
