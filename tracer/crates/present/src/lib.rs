//! Shows findings, and everything else that commands print. One file per form. None of them decides
//! anything, and none lets text from outside reach a terminal unescaped.

pub mod cell;
pub mod deploy;
pub mod doctor;
pub mod export;
pub mod json;
pub mod report;
pub mod schema;
pub mod services;
#[cfg(test)]
mod tests;
pub mod text;
pub mod top;

use std::io::{self, Write};

/// The zone in which times are shown. Looking up that of the machine is the caller's work.
pub use jiff::tz::TimeZone;
use tracer_model::Finding;

/// Where findings go. Errors, such as a closed pipe, are for the caller to judge.
#[derive(Debug)]
pub enum Sink<W> {
    /// Lines for people.
    Text(text::Text<W>),
    /// One JSON object per line.
    Json(json::Json<W>),
}

impl<W: Write> Sink<W> {
    /// Lines for people, with times of `zone`.
    pub fn text(out: W, colour: bool, zone: TimeZone) -> Self {
        Self::Text(text::Text::new(out, colour, zone))
    }

    /// One JSON object per line.
    pub fn json(out: W) -> Self {
        Self::Json(json::Json::new(out))
    }

    /// Writes one finding at once.
    pub fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        match self {
            Self::Text(sink) => sink.finding(finding),
            Self::Json(sink) => sink.finding(finding),
        }
    }
}
