//! The table as CSV (RFC 4180): a header, one line per finding, empty cells for unknown values.
//!
//! Spreadsheets evaluate cells that begin with `=`, `+`, `-` or `@` as formulas, so such text gets a
//! leading `'`. Control characters are escaped as elsewhere, so that every row is one line.

use std::io::{self, Write};

use tracer_model::{Finding, printable};

use super::row::{COLUMNS, Row, Value};

/// A CSV table in the making.
pub(super) struct Csv<W> {
    out: W,
    line: String,
}

impl<W: Write> Csv<W> {
    /// Writes the header.
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        writeln!(out, "{}", names.join(","))?;
        Ok(Self {
            out,
            line: String::with_capacity(1024),
        })
    }

    pub(super) fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        self.line.clear();
        for (index, cell) in Row::of(finding).into_cells().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            match cell {
                None => {}
                Some(Value::Text(text)) => quote(&text, &mut self.line),
                Some(Value::Int(number)) => self.line.push_str(&number.to_string()),
                Some(Value::Float(number)) => self.line.push_str(&number.to_string()),
                Some(Value::Bool(yes)) => self.line.push_str(if yes { "true" } else { "false" }),
                Some(Value::Time(at)) => self.line.push_str(&at.to_string()),
            }
        }
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }

    pub(super) fn finish(self) -> W {
        self.out
    }
}

/// Appends a text cell.
fn quote(text: &str, line: &mut String) {
    let text = printable(text);
    let formula = text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '|', '%']);
    let plain = !formula
        && !text.is_empty()
        && !text.contains([',', '"', '\'', ';'])
        && text.trim() == text;
    if plain {
        line.push_str(&text);
        return;
    }
    line.push('"');
    if formula {
        line.push('\'');
    }
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        let mut line = String::new();
        quote(text, &mut line);
        line
    }

    #[test]
    fn text_stays_in_its_cell_and_is_never_a_formula() {
        for (text, want) in [
            ("node", "node"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "\"'=1+1\""),
            (" @SUM(A1)", "\"' @SUM(A1)\""),
            ("-bash", "\"'-bash\""),
            ("+49", "\"'+49\""),
            ("\t=1", "\\t=1"),
            ("two\nlines\r", "two\\nlines\\r"),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(text), want, "{text:?}");
        }
    }
}
