//! `tracer report`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;
use tracer_present::report::{self, Composer, Format, Options};

use super::color::ColorChoice;
use super::outcome::Outcome;
use super::output::Output;
use super::selection::{Read, Selection};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// The output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Write to FILE, readable by its owner only [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some(output) = &args.output
        && args.selection.reads(output)
    {
        bail!(
            "{} is one of the captures; choose another output file",
            output.display()
        );
    }
    let to_terminal = args.output.is_none() && std::io::stdout().is_terminal();
    if args.format == Format::Html && to_terminal {
        bail!("an HTML page can't be shown on a terminal: add `-o report.html`");
    }
    let mut builder = Composer::new();
    args.selection.read(|read| {
        match read {
            Read::Boot(id) => builder.boot_id(id),
            Read::Finding(finding) => builder.finding(finding),
            Read::Missing(what) => builder.damaged(what),
        }
        Ok(())
    })?;
    let options = Options {
        format: args.format,
        colour: match (&args.output, args.color) {
            (Some(_), ColorChoice::Auto) => false,
            (_, choice) => choice.enabled(),
        },
        zone: TimeZone::system(),
    };
    let mut out = Output::open(args.output.as_deref())?;
    report::write(&builder.finish(), &options, &mut out).context("cannot write the report")?;
    let out = out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .context("cannot write the report")?;
    out.commit()?;
    Ok(Outcome::Success)
}
