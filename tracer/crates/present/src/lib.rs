//! Shows findings, and what else the commands print. One file per form; none of them decides
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

use tracer_model::Finding;

/// Where findings go. Errors, a closed pipe among them, are the caller's to judge.
#[derive(Debug)]
pub enum Sink<W> {
    /// Lines for people.
    Text(text::Text<W>),
    /// One JSON object per line.
    Json(json::Json<W>),
}

impl<W: Write> Sink<W> {
    /// Lines for people, in local time.
    pub fn text(out: W, colour: bool) -> Self {
        Self::Text(text::Text::new(out, colour))
    }

    /// One JSON object per line.
    pub fn json(out: W) -> Self {
        Self::Json(json::Json::new(out))
    }

    /// Shows one finding at once.
    pub fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        match self {
            Self::Text(sink) => sink.finding(finding),
            Self::Json(sink) => sink.finding(finding),
        }
    }
}
