//! A report as one JSON object.

use std::io::{self, Write};

use super::model::Report;

/// Indented: it is one object, and people look at it.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
