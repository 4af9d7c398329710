//! Cleans request targets before they are kept and shown (no query, tokens masked, bounded), and
//! makes the templates that count requests.

/// Replaces a value that looks like a token.
const MASK: &str = "{token}";
/// Longest target kept, bytes.
const MAX_BYTES: usize = 1024;
/// Shortest text that can be a token because of its characters.
const MIN_TOKEN: usize = 20;
/// Ends a truncated target.
const ELLIPSIS: char = '…';

/// The target of a request as it may be kept: the path, and the query if `show_query`. `whole`:
/// `raw` is not truncated.
pub fn clean_target(raw: &str, whole: bool, show_query: bool) -> Box<str> {
    let (path, query) = match memchr::memchr(b'?', raw.as_bytes()) {
        Some(at) => (&raw[..at], Some(&raw[at + 1..])),
        None => (raw, None),
    };
    // Where the query has begun, the path is complete.
    let whole = whole || (query.is_some() && !show_query);
    let path = without_authority(path);
    let query = query.filter(|_| show_query);
    // Most paths are kept unchanged.
    let mut segments = path.as_bytes().split(|&byte| byte == b'/');
    let plain = query.is_none() && !segments.any(may_be_token);
    if plain && whole && path.len() <= MAX_BYTES {
        return path.into();
    }
    let mut clean = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            clean.push('/');
        }
        clean.push_str(if is_token(segment) { MASK } else { segment });
    }
    if let Some(query) = query {
        let mut separator = '?';
        for pair in query.split('&') {
            clean.push(separator);
            separator = '&';
            match pair.split_once('=') {
                Some((key, value)) if is_token(value) => {
                    clean.push_str(key);
                    clean.push('=');
                    clean.push_str(MASK);
                }
                _ => clean.push_str(pair),
            }
        }
    }
    let long = clean.len() > MAX_BYTES;
    if long {
        clean.truncate(clean.floor_char_boundary(MAX_BYTES));
    }
    if long || !whole {
        clean.push(ELLIPSIS);
    }
    clean.into()
}

/// The path of a cleaned target with its ids replaced: `/api/orders/{n}`.
pub fn template(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    path.split('/')
        .map(|segment| {
            if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
                "{n}"
            } else if is_uuid(segment) {
                "{uuid}"
            } else if is_hex(segment, 8) && segment.bytes().any(|byte| byte.is_ascii_digit()) {
                "{hex}"
            } else {
                segment
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// The path of `http://host/path`, which clients send to a forward proxy.
fn without_authority(path: &str) -> &str {
    for scheme in ["http://", "https://"] {
        if let Some(rest) = path.strip_prefix(scheme) {
            return rest.find('/').map_or("/", |at| &rest[at..]);
        }
    }
    path
}

/// A quick check: whether [`is_token`] may be true.
fn may_be_token(text: &[u8]) -> bool {
    text.len() >= MIN_TOKEN || text.starts_with(b"eyJ")
}

/// Whether `text` looks like a session id, a JWT, an API key or a digest.
fn is_token(text: &str) -> bool {
    if is_uuid(text) {
        return false;
    }
    if text.starts_with("eyJ") && text.matches('.').count() == 2 {
        return true;
    }
    if is_hex(text, 32) {
        return true;
    }
    let body = text.trim_end_matches(['=', '~']);
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'%');
    body.len() >= MIN_TOKEN
        && body.bytes().all(plain)
        && body.bytes().any(|byte| byte.is_ascii_digit())
        && body.bytes().any(|byte| byte.is_ascii_lowercase())
        && body.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_hex(text: &str, at_least: usize) -> bool {
    text.len() >= at_least && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_are_dropped_and_tokens_masked() {
        for (raw, want) in [
            ("/api/orders?id=7", "/api/orders"),
            ("/", "/"),
            ("*", "*"),
            ("http://shop.example/api?x", "/api"),
            ("http://shop.example", "/"),
            ("/reset/eyJhbGciOi.eyJzdWIi.SflKxw", "/reset/{token}"),
            ("/s/0123456789abcdef0123456789abcdef/x", "/s/{token}/x"),
            ("/k/sk_live_4eC39HqLyjWDarjtT1zdp7dc", "/k/{token}"),
            (
                "/o/123e4567-e89b-12d3-a456-426614174000",
                "/o/123e4567-e89b-12d3-a456-426614174000",
            ),
            (
                "/blog/how-to-restart-a-worker-in-2026",
                "/blog/how-to-restart-a-worker-in-2026",
            ),
            ("/assets/app.3f2a9c1b.js", "/assets/app.3f2a9c1b.js"),
        ] {
            assert_eq!(&*clean_target(raw, true, false), want, "{raw}");
        }
    }

    #[test]
    fn tokens_in_a_shown_query_are_masked() {
        assert_eq!(
            &*clean_target("/a?b=1&key=0123456789abcdef0123456789abcdef&c", true, true),
            "/a?b=1&key={token}&c"
        );
    }

    #[test]
    fn a_truncated_target_ends_with_an_ellipsis() {
        assert_eq!(&*clean_target("/api/ord", false, false), "/api/ord…");
        assert_eq!(&*clean_target("/api?ord", false, false), "/api");
        assert_eq!(&*clean_target("/api?ord", false, true), "/api?ord…");
        let long = format!("/{}", "a b/".repeat(1000));
        let clean = clean_target(&long, true, false);
        assert!(clean.len() <= MAX_BYTES + ELLIPSIS.len_utf8() && clean.ends_with(ELLIPSIS));
    }

    #[test]
    fn templates_replace_ids() {
        for (target, want) in [
            ("/api/orders/17", "/api/orders/{n}"),
            ("/u/123e4567-e89b-12d3-a456-426614174000/x", "/u/{uuid}/x"),
            ("/c/5f2a9c1b", "/c/{hex}"),
            ("/c/deadbeef", "/c/deadbeef"),
            ("/", "/"),
            ("/a?b=1", "/a"),
        ] {
            assert_eq!(template(target), want);
        }
    }

    proptest! {
        #[test]
        fn cleaning_accepts_any_target(raw in any::<String>(), whole: bool, query: bool) {
            let clean = clean_target(&raw, whole, query);
            prop_assert!(clean.len() <= MAX_BYTES + ELLIPSIS.len_utf8());
            let _ = template(&clean);
        }

        #[test]
        fn the_quick_check_misses_no_token(text in "(eyJ)?[a-fA-F0-9._=-]{0,40}") {
            prop_assert!(may_be_token(text.as_bytes()) || !is_token(&text));
        }
    }
}
