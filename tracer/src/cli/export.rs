//! `tracer export`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tracer_present::export::{Export, To};

use super::outcome::Outcome;
use super::output::Output;
use super::selection::{Read, Selection};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// The output format
    #[arg(long, value_name = "FORMAT")]
    to: To,

    /// Write to FILE, readable by its owner only [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    let binary = matches!(args.to, To::Parquet | To::Perfetto);
    if binary && args.output.is_none() && std::io::stdout().is_terminal() {
        bail!("this format is binary and can't be printed on a terminal: add `-o FILE`");
    }
    let mut export = Export::new(args.to, Output::open(args.output.as_deref())?)?;
    args.selection.read(|read| {
        // `read` prints what is missing on standard error; the formats have no place for it.
        if let Read::Finding(finding) = read {
            export.finding(finding)?;
        }
        Ok(())
    })?;
    let out = export
        .finish()?
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .context("cannot write the export")?;
    out.commit()?;
    Ok(Outcome::Success)
}
