//! Looks for short texts in lines. `str::find` first prepares for needles that are made to be slow,
//! which takes longer than looking through a line: these go from one place of the needle's first
//! byte to the next. A line is short, so that no line is slow.

use memchr::memchr_iter;

/// Where `needle` is in `text`, the first time.
#[inline]
pub(super) fn find(text: &str, needle: &str) -> Option<usize> {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    memchr_iter(*needle.first()?, text).find(|&at| text[at..].starts_with(needle))
}

/// What is before the first `needle`, and what is after it.
#[inline]
pub(super) fn split_once<'a>(text: &'a str, needle: &str) -> Option<(&'a str, &'a str)> {
    let at = find(text, needle)?;
    Some((&text[..at], &text[at + needle.len()..]))
}

/// What is before the last `needle`, and what is after it.
#[inline]
pub(super) fn rsplit_once<'a>(text: &'a str, needle: &str) -> Option<(&'a str, &'a str)> {
    let (bytes, first) = (text.as_bytes(), *needle.as_bytes().first()?);
    let mut places = memchr_iter(first, bytes).rev();
    let at = places.find(|&at| bytes[at..].starts_with(needle.as_bytes()))?;
    Some((&text[..at], &text[at + needle.len()..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_standard_library_finds_the_same(
            text in "[ab, é]{0,40}",
            needle in "[ab, é]{1,4}",
        ) {
            prop_assert_eq!(find(&text, &needle), text.find(&needle));
            prop_assert_eq!(split_once(&text, &needle), text.split_once(&needle));
            prop_assert_eq!(rsplit_once(&text, &needle), text.rsplit_once(&needle));
        }
    }
}
