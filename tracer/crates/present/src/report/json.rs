//! A report as one JSON object.

use std::io::{self, Write};

use super::model::Report;

/// Writes it to `out`, indented, because people read it too.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
