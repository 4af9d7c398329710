//! Text from outside in a page. maud escapes markup; this module handles everything else that could
//! deceive: control characters, characters that reorder text, endless names.

use std::borrow::Cow;

use maud::{Markup, Render, html};

use tracer_model::printable;

/// Longest text shown, in characters.
const LONGEST: usize = 400;

/// Text from outside, isolated so that right-to-left text cannot reorder the text around it.
pub(super) struct Outside<'a>(pub(super) &'a str);

impl Render for Outside<'_> {
    fn render(&self) -> Markup {
        html! { bdi { (shown(self.0)) } }
    }
}

/// Text from outside for an attribute or a picture.
pub(super) fn shown(outside: &str) -> Cow<'_, str> {
    let shown = printable(outside);
    match shown.char_indices().nth(LONGEST) {
        None => shown,
        Some((end, _)) => Cow::Owned(format!("{}…", &shown[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup_or_endless() {
        let rendered = |text: &str| Outside(text).render().into_string();
        assert_eq!(
            rendered("<script>alert(\"1\")</script>"),
            "<bdi>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;</bdi>"
        );
        assert_eq!(rendered("a\u{202e}b\x1b"), "<bdi>a\\u{202e}b\\x1b</bdi>");
        let long = rendered(&"界".repeat(10_000));
        assert_eq!(long.chars().filter(|c| *c == '界').count(), LONGEST);
    }
}
