//! Makes text from outside safe to show: it cannot move the cursor, forge a line or reorder the
//! text around it.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes control characters (C0, DEL, C1), line and paragraph separators, bidi marks and other
/// invisible format characters as `\n`, `\x1b`, `\u{202e}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if !is_unsafe(c) {
            out.push(c);
            continue;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a String cannot fail.
            c if u32::from(c) < 0x100 => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad // soft hyphen
            | 0x61c // Arabic letter mark
            | 0x180e // Mongolian vowel separator
            | 0x200b..=0x200f // zero width, directional marks
            | 0x2028..=0x202e // separators, embeddings, overrides
            | 0x2060..=0x206f // invisible operators, isolates
            | 0xfeff // byte order mark
            | 0xfff9..=0xfffb // interlinear annotation
            | 0xe0000..=0xe007f) // tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(printable("node größer 日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn deceptive_characters_are_escaped() {
        assert_eq!(printable("a\x1b[2Jb\r\n"), "a\\x1b[2Jb\\r\\n");
        assert_eq!(printable("\u{9b}1m\u{7f}"), "\\x9b1m\\x7f");
        assert_eq!(printable("x\u{202e}y\u{2066}"), "x\\u{202e}y\\u{2066}");
        assert_eq!(printable("\u{2028}\u{feff}"), "\\u{2028}\\u{feff}");
    }
}
