//! Looks for short texts in lines. `str::find` first prepares for needles that are made to be slow,
//! which takes longer than looking through a line: these go from one place of the needle's first
//! byte to the next. A line is short, so that no line is slow.

use memchr::memchr_iter;

/// Where `needle`, which is ASCII, is in `text`, the first time.
pub(super) fn find<const LEN: usize>(text: &str, needle: &[u8; LEN]) -> Option<usize> {
    let text = text.as_bytes();
    memchr_iter(*needle.first()?, text).find(|&at| text[at..].first_chunk() == Some(needle))
}

/// As [`find`], the last time.
pub(super) fn rfind<const LEN: usize>(text: &str, needle: &[u8; LEN]) -> Option<usize> {
    let text = text.as_bytes();
    let mut places = memchr_iter(*needle.first()?, text).rev();
    places.find(|&at| text[at..].first_chunk() == Some(needle))
}

/// What is before the first `needle`, and what is after it.
pub(super) fn split_once<'a, const LEN: usize>(
    text: &'a str,
    needle: &[u8; LEN],
) -> Option<(&'a str, &'a str)> {
    let at = find(text, needle)?;
    Some((&text[..at], &text[at + LEN..]))
}

/// What is before the last `needle`, and what is after it.
pub(super) fn rsplit_once<'a, const LEN: usize>(
    text: &'a str,
    needle: &[u8; LEN],
) -> Option<(&'a str, &'a str)> {
    let at = rfind(text, needle)?;
    Some((&text[..at], &text[at + LEN..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_standard_library_finds_the_same(text in "[a, é]{0,20}") {
            prop_assert_eq!(find(&text, b","), text.find(','));
            prop_assert_eq!(rfind(&text, b"a, "), text.rfind("a, "));
            prop_assert_eq!(split_once(&text, b", "), text.split_once(", "));
            prop_assert_eq!(split_once(&text, b"aa"), text.split_once("aa"));
            prop_assert_eq!(rsplit_once(&text, b", a"), text.rsplit_once(", a"));
            prop_assert_eq!(rsplit_once(&text, b"aa"), text.rsplit_once("aa"));
        }
    }
}
