//! `tracer schema`.

use std::io::{self, Write as _};

use super::outcome::Outcome;

pub(super) fn run() -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &tracer_present::schema::schema())?;
    writeln!(out)?;
    Ok(Outcome::Success)
}
