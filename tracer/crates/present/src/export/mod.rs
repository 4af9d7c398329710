//! Findings for other tools: JSON lines, one flat table as CSV or Parquet, a trace for
//! ui.perfetto.dev.
//!
//! Every format is written as the findings arrive; none holds all of them in memory.
//! `docs/report.md` describes columns and tracks.

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

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum To {
    /// One JSON object per line, as `tracer watch --json` writes them
    Jsonl,
    /// One table for spreadsheets, DuckDB, pandas
    Csv,
    /// The same table as Parquet (only in builds with the feature `parquet`)
    Parquet,
    /// A trace for ui.perfetto.dev
    Perfetto,
}

/// Why findings cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output failed.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// This build cannot write Parquet.
    #[error(
        "this build of tracer cannot write Parquet; rebuild it with `cargo build --release -p tracer \
         --features parquet`, or write CSV (--to csv) and convert it with DuckDB: \
         COPY (FROM 'findings.csv') TO 'findings.parquet'"
    )]
    NoParquet,
}

/// Writes findings in one of the formats.
pub struct Export<W: Write + Send> {
    sink: Sink<W>,
}

enum Sink<W: Write + Send> {
    Jsonl(W),
    Csv(csv::Csv<W>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Parquet<W>>),
    Perfetto(Box<perfetto::Perfetto<W>>),
}

impl<W: Write + Send> Export<W> {
    /// An export to `out`, which should be buffered.
    pub fn new(to: To, out: W) -> Result<Self, ExportError> {
        let sink = match to {
            To::Jsonl => Sink::Jsonl(out),
            To::Csv => Sink::Csv(csv::Csv::new(out)?),
            #[cfg(feature = "parquet")]
            To::Parquet => Sink::Parquet(Box::new(parquet::Parquet::new(out)?)),
            #[cfg(not(feature = "parquet"))]
            To::Parquet => return Err(ExportError::NoParquet),
            To::Perfetto => Sink::Perfetto(Box::new(perfetto::Perfetto::new(out))),
        };
        Ok(Self { sink })
    }

    /// Writes the next finding.
    pub fn finding(&mut self, finding: &Finding) -> Result<(), ExportError> {
        match &mut self.sink {
            Sink::Jsonl(out) => {
                serde_json::to_writer(&mut *out, finding).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
            Sink::Csv(csv) => csv.finding(finding)?,
            #[cfg(feature = "parquet")]
            Sink::Parquet(parquet) => parquet.finding(finding)?,
            Sink::Perfetto(perfetto) => perfetto.finding(finding)?,
        }
        Ok(())
    }

    /// Writes what is still buffered and returns the output.
    pub fn finish(self) -> Result<W, ExportError> {
        let mut out = match self.sink {
            Sink::Jsonl(out) => out,
            Sink::Csv(csv) => csv.finish(),
            #[cfg(feature = "parquet")]
            Sink::Parquet(parquet) => parquet.finish()?,
            Sink::Perfetto(perfetto) => perfetto.finish(),
        };
        out.flush()?;
        Ok(out)
    }
}
