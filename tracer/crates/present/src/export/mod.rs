//! Findings for other tools: lines of JSON, one flat table as CSV or Parquet, a trace for
//! ui.perfetto.dev.
//!
//! Every form is written while the findings come in; none needs memory for all of them. Columns
//! and tracks are described in `docs/report.md`.

mod csv;
#[cfg(feature = "parquet")]
mod parquet;
mod perfetto;
mod row;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use tracer_model::Finding;

pub use row::{COLUMNS, Column, Type};

/// The forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum To {
    /// One JSON object per line, as `tracer watch --json` writes them
    Jsonl,
    /// One table, for spreadsheets, DuckDB, pandas
    Csv,
    /// The same table in columns (only in builds with the feature `parquet`)
    Parquet,
    /// A trace for ui.perfetto.dev
    Perfetto,
}

/// Why it can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Of the output.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// This build lacks a form.
    #[error(
        "this build of tracer has no Parquet; build it with `cargo build --release -p tracer \
         --features parquet`, or write CSV (--to csv) and let DuckDB convert it: \
         COPY (FROM 'findings.csv') TO 'findings.parquet'"
    )]
    NoParquet,
}

/// Writes findings in one of the forms.
pub struct Export<W: Write + Send> {
    form: Form<W>,
}

enum Form<W: Write + Send> {
    Jsonl(W),
    Csv(csv::Csv<W>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Parquet<W>>),
    Perfetto(Box<perfetto::Perfetto<W>>),
}

impl<W: Write + Send> Export<W> {
    /// To `out`, which should be buffered.
    pub fn new(to: To, out: W) -> Result<Self, ExportError> {
        let form = match to {
            To::Jsonl => Form::Jsonl(out),
            To::Csv => Form::Csv(csv::Csv::new(out)?),
            #[cfg(feature = "parquet")]
            To::Parquet => Form::Parquet(Box::new(parquet::Parquet::new(out)?)),
            #[cfg(not(feature = "parquet"))]
            To::Parquet => return Err(ExportError::NoParquet),
            To::Perfetto => Form::Perfetto(Box::new(perfetto::Perfetto::new(out))),
        };
        Ok(Self { form })
    }

    /// Takes the next finding.
    pub fn finding(&mut self, finding: &Finding) -> Result<(), ExportError> {
        match &mut self.form {
            Form::Jsonl(out) => {
                serde_json::to_writer(&mut *out, finding).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
            Form::Csv(csv) => csv.finding(finding)?,
            #[cfg(feature = "parquet")]
            Form::Parquet(parquet) => parquet.finding(finding)?,
            Form::Perfetto(perfetto) => perfetto.finding(finding)?,
        }
        Ok(())
    }

    /// Writes what is still to be written, and gives the output back.
    pub fn finish(self) -> Result<W, ExportError> {
        let mut out = match self.form {
            Form::Jsonl(out) => out,
            Form::Csv(csv) => csv.finish(),
            #[cfg(feature = "parquet")]
            Form::Parquet(parquet) => parquet.finish()?,
            Form::Perfetto(perfetto) => perfetto.finish(),
        };
        out.flush()?;
        Ok(out)
    }
}
