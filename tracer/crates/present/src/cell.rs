//! Text from outside, made fit for one cell of a line: escaped, and cut to a width in columns.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use tracer_model::printable;

/// Widest name shown.
pub const NAME_COLUMNS: usize = 40;

/// Widest sentence shown.
pub const SENTENCE_COLUMNS: usize = 240;

/// More bytes than a column takes. Text beyond that is cut before it is escaped.
const BYTES_PER_COLUMN: usize = 8;

/// `text` escaped and cut to `columns`; if it was cut, the last column is `…`.
pub fn cell(text: &str, columns: usize) -> Cow<'_, str> {
    let mut end = text.len().min(columns * BYTES_PER_COLUMN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let shown = printable(&text[..end]);
    if end == text.len() && shown.width() <= columns {
        return shown;
    }
    let mut cut = String::new();
    let mut width = 0;
    for c in shown.chars() {
        width += c.width().unwrap_or(0);
        if width >= columns {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    Cow::Owned(cut)
}

/// A name.
pub fn name(text: &str) -> Cow<'_, str> {
    cell(text, NAME_COLUMNS)
}

/// Appends `text` in `style`, then spaces up to `columns`.
pub fn push(line: &mut String, text: &str, style: Option<Style>, columns: usize) {
    match style {
        // Writing to a String can't fail.
        Some(style) => drop(write!(line, "{style}{text}{style:#}")),
        None => line.push_str(text),
    }
    line.extend(std::iter::repeat_n(
        ' ',
        columns.saturating_sub(text.width()),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped_and_never_wider_than_asked() {
        let long = "x".repeat(10_000);
        let wide = "界".repeat(50);
        let marks = format!("a{}", "\u{301}".repeat(10_000));
        for text in [
            "plain",
            "\x1b[2J\x1b]0;owned\x07",
            "two\nlines\r",
            "\u{202e}gpj.exe",
            &long,
            &wide,
            &marks,
        ] {
            let shown = name(text);
            assert!(shown.width() <= NAME_COLUMNS, "{shown}");
            assert!(shown.len() <= NAME_COLUMNS * BYTES_PER_COLUMN + 3);
            assert!(!shown.contains(char::is_control), "{shown:?}");
            assert!(!shown.contains('\u{202e}'), "{shown:?}");
        }
        assert_eq!(name("plain"), "plain");
        assert_eq!(cell("abcdef", 4), "abc…");
        assert_eq!(cell("界界界", 5), "界界…");
    }
}
