//! The postmortem: findings in, a report out, in one of four formats.
//!
//! `compose` makes a [`model::Report`] from a stream of findings; it is pure and its memory is
//! bounded. One file per format writes the report. These files draw no conclusions, and each escapes
//! all text from outside as its format requires.

mod clock;
pub mod compose;
mod formatting;
mod html;
mod json;
mod markdown;
pub mod model;
mod text;

#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, Write};

use jiff::tz::TimeZone;

pub use compose::Composer;
pub use model::Report;

/// The formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Format {
    /// For a terminal
    Text,
    /// Markdown, for a ticket or a wiki
    Md,
    /// One self-contained page with a graphical timeline
    Html,
    /// One JSON object
    Json,
}

/// How a report is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its format.
    pub format: Format,
    /// Whether to colour text.
    pub colour: bool,
    /// The time zone of times. JSON always uses UTC.
    pub zone: TimeZone,
}

/// Writes `report` to `out`. Errors come from `out`.
pub fn write(report: &Report, options: &Options, out: &mut impl Write) -> io::Result<()> {
    let zone = options.zone.clone();
    match options.format {
        Format::Text => text::write(report, zone, options.colour, out),
        Format::Md => markdown::write(report, zone, out),
        Format::Html => html::write(report, zone, out),
        Format::Json => json::write(report, out),
    }
}
