//! Findings as JSON lines, flushed one by one.

use std::io::{self, Write};

use tracer_model::Finding;

/// See the module.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Json<W> {
    /// To `out`.
    pub fn new(out: W) -> Self {
        let line = Vec::with_capacity(1024);
        Self { out, line }
    }

    /// Writes one line with one write, so that lines of several writers never mix.
    pub fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, finding)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.out.flush()
    }
}
