//! The postmortem: findings in, a report out, in one of four forms.
//!
//! `build` makes a [`model::Report`] of a stream of findings; it is pure and its memory is
//! bounded. One file per form writes it: none of them decides anything, and each escapes all text
//! from outside in its own way.

pub mod build;
mod html;
mod json;
mod markdown;
pub mod model;
mod text;
mod words;

#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, Write};

use jiff::tz::TimeZone;

pub use build::Builder;
pub use model::Report;

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Format {
    /// For a terminal
    Text,
    /// Markdown, for a ticket or a wiki
    Md,
    /// One self-contained page with a picture of the timeline
    Html,
    /// One JSON object
    Json,
}

/// How a report is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its form.
    pub format: Format,
    /// Whether text is coloured.
    pub colour: bool,
    /// In which zone times are told. JSON is always in UTC.
    pub zone: TimeZone,
}

/// Writes `report`. Errors are those of `out`.
pub fn write(report: &Report, options: &Options, out: &mut impl Write) -> io::Result<()> {
    let zone = options.zone.clone();
    match options.format {
        Format::Text => text::write(report, zone, options.colour, out),
        Format::Md => markdown::write(report, zone, out),
        Format::Html => html::write(report, zone, out),
        Format::Json => json::write(report, out),
    }
}
