//! The command line: one file per subcommand with its arguments and wiring, and the exit codes.

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
mod requests;
mod runtime;
mod schema;
mod selection;
mod services;
mod stop;
mod top;
mod watch;
mod window;

pub use outcome::Outcome;

/// Shows which service lost a process, why, and which proxied requests failed because of it.
#[derive(Debug, Parser)]
#[command(name = "tracer", version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 success, 1 failure or negative answer, \
    2 wrong command line, 3 a --fail-on finding happened.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this machine and print at once which service lost a process, why, and what failed
    Watch(watch::Args),
    /// Watch on a live screen: services, incidents and their stories, events
    Top(top::Args),
    /// Run a deployment's command, watch what it does to the services, and judge the result
    Deploy(deploy::Args),
    /// Add a deployment mark to the output and captures of the running tracers
    Mark(control::MarkArgs),
    /// Show running tracers and their totals
    Status(control::StatusArgs),
    /// Record everything observed to a file, for `tracer replay`: a flight recorder
    Record(record::Args),
    /// Print the findings of a capture, exactly as `tracer watch` would have printed them
    Replay(replay::Args),
    /// Write a postmortem from a capture: text, Markdown, an HTML page or JSON
    Report(report::Args),
    /// Export a capture's findings to other tools: DuckDB, pandas, spreadsheets, ui.perfetto.dev
    Export(export::Args),
    /// List running services: listeners, memory and limit, proxies and their upstreams
    Services(services::Args),
    /// Check what works on this machine, what doesn't, why, and what to do about it
    Doctor(doctor::Args),
    /// Cause a real incident on loopback (a worker behind a proxy is OOM-killed) and watch it
    Demo(demo::Args),
    /// Print the JSON Schema of the findings
    Schema,
    /// The demo's worker; `tracer demo` starts it
    #[command(hide = true)]
    DemoWorker(PassThrough),
    /// The demo's built-in proxy; `tracer demo` starts it
    #[command(hide = true)]
    DemoProxy(PassThrough),
    /// The process that `tracer doctor` examines; `tracer doctor` starts it
    #[command(hide = true)]
    SelfCheckChild(PassThrough),
}

/// Arguments that another module parses.
#[derive(Debug, clap::Args)]
struct PassThrough {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Parses the command line, runs the command, prints its error.
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

/// Whether the reader of our output has gone away, which is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref().map(io::Error::kind);
        // serde_json does not list the I/O error as a source of its own.
        io.or_else(|| {
            cause
                .downcast_ref()
                .and_then(serde_json::Error::io_error_kind)
        })
    };
    error
        .chain()
        .any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
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
    fn a_reader_that_has_gone_away_is_recognised_when_json_is_written() {
        struct Closed(io::ErrorKind);
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, want) in [
            (io::ErrorKind::BrokenPipe, true),
            (io::ErrorKind::StorageFull, false),
        ] {
            let plain = anyhow::Error::from(io::Error::from(kind)).context("cannot write");
            assert_eq!(is_broken_pipe(&plain), want, "{kind}");
            let json = serde_json::to_writer(Closed(kind), &[1]).unwrap_err();
            assert_eq!(is_broken_pipe(&json.into()), want, "{kind}");
        }
    }

    #[test]
    fn an_unknown_fail_on_kind_is_rejected_with_the_list_of_known_ones() {
        let error = Cli::try_parse_from(["tracer", "watch", "--fail-on", "deaht"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("deaht") && text.contains("death"), "{text}");
        assert_eq!(error.exit_code(), 2);
    }
}
