//! Parses the first bytes of HTTP/1 requests. They come from clients and may be hostile: every
//! input is accepted, and work is bounded by the few hundred bytes that the kernel program keeps.

use std::net::{IpAddr, SocketAddr};

use tracer_model::{Request, clean_target, method_name};

/// The longest method that is accepted.
const METHOD_BYTES: usize = 24;
/// The longest host name, with port, that is accepted.
const HOST_BYTES: usize = 261;

/// What was found in the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The wanted request.
    Request(Request),
    /// There are requests, but the wanted one is beyond the bytes that were kept.
    Beyond,
    /// Not a request, but part of a body or another protocol.
    Other,
}

/// Finds request number `index` in `bytes`. `full`: more bytes may have followed, which were not kept.
pub(crate) fn parse(bytes: &[u8], full: bool, index: u32, show_query: bool) -> Head {
    let mut rest = bytes;
    for number in 0..=index {
        let Some(line) = request_line(rest, full) else {
            return match (number, full) {
                (1.., true) => Head::Beyond,
                _ => Head::Other,
            };
        };
        let headers = Headers::read(line.rest);
        if number == index {
            return Head::Request(Request {
                method: method_name(line.method),
                target: clean_target(
                    &String::from_utf8_lossy(line.target),
                    line.whole,
                    show_query,
                ),
                host: headers.host,
                forwarded_for: headers.forwarded_for,
            });
        }
        let Some(next) = headers.next else {
            return if full { Head::Beyond } else { Head::Other };
        };
        rest = next;
    }
    Head::Other
}

struct RequestLine<'a> {
    method: &'a str,
    target: &'a [u8],
    /// Whether the target is complete.
    whole: bool,
    /// The bytes after the line.
    rest: &'a [u8],
}

fn request_line(bytes: &[u8], full: bool) -> Option<RequestLine<'_>> {
    let (line, rest) = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&bytes[..end], Some(&bytes[end + 1..])),
        None if full => (bytes, None),
        None => return None,
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let space = line.iter().position(|&byte| byte == b' ')?;
    let method = &line[..space];
    let is_token = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    if method.is_empty() || method.len() > METHOD_BYTES || !method.iter().all(is_token) {
        return None;
    }
    let method = std::str::from_utf8(method).ok()?;
    let after = &line[space + 1..];
    let (target, whole) = match after.iter().rposition(|&byte| byte == b' ') {
        Some(end) if matches!(&after[end + 1..], b"HTTP/1.1" | b"HTTP/1.0") => {
            (&after[..end], true)
        }
        // Cut off within the target, or right after it.
        _ if rest.is_none() => {
            let end = after.iter().position(|&byte| byte == b' ');
            (&after[..end.unwrap_or(after.len())], end.is_some())
        }
        _ => return None,
    };
    if target.is_empty() {
        return None;
    }
    Some(RequestLine {
        method,
        target,
        whole,
        rest: rest.unwrap_or_default(),
    })
}

#[derive(Default)]
struct Headers<'a> {
    host: Option<Box<str>>,
    forwarded_for: Option<Box<str>>,
    /// The bytes after the request, when its end is known.
    next: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    fn read(mut bytes: &'a [u8]) -> Self {
        let mut headers = Self::default();
        let mut body_len = Some(0);
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let line = &bytes[..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            bytes = &bytes[end + 1..];
            if line.is_empty() {
                headers.next = body_len.and_then(|len| bytes.get(len..));
                return headers;
            }
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"host") {
                headers.host = headers.host.or_else(|| host(value));
            } else if name.eq_ignore_ascii_case(b"x-forwarded-for") {
                headers.forwarded_for = headers.forwarded_for.or_else(|| first_address(value));
            } else if name.eq_ignore_ascii_case(b"content-length") {
                body_len = std::str::from_utf8(value)
                    .ok()
                    .and_then(|value| value.parse().ok());
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                body_len = None;
            }
        }
        headers
    }
}

/// Accepts only a host name or an address, with or without a port.
fn host(value: &[u8]) -> Option<Box<str>> {
    let fits = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
    };
    let good = !value.is_empty() && value.len() <= HOST_BYTES && value.iter().all(fits);
    good.then(|| String::from_utf8_lossy(value).into_owned().into())
}

/// The first address of a list, without its port. None when it is not an address.
fn first_address(value: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(value).ok()?;
    let first = text.split(',').next()?.trim();
    let address: IpAddr = first
        .parse()
        .ok()
        .or_else(|| Some(first.parse::<SocketAddr>().ok()?.ip()))
        .or_else(|| first.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical().to_string().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(bytes: &[u8], index: u32) -> Request {
        match parse(bytes, false, index, false) {
            Head::Request(request) => request,
            other => panic!("{other:?} in {:?}", String::from_utf8_lossy(bytes)),
        }
    }

    #[test]
    fn a_request_is_read_with_its_host_and_forwarded_for_headers() {
        let bytes =
            b"POST /api/orders?id=7 HTTP/1.1\r\nhost: shop.example:8080\r\nCookie: secret\r\n\
                      X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(
            request(bytes, 0),
            Request {
                method: "POST".into(),
                target: "/api/orders".into(),
                host: Some("shop.example:8080".into()),
                forwarded_for: Some("203.0.113.9".into()),
            }
        );
    }

    #[test]
    fn pipelined_requests_are_separated_from_each_other_and_from_bodies() {
        let bytes =
            b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 4\r\n\r\n\
                      GET GET /c HTTP/1.0\r\n\r\n";
        for (index, target) in [(0, "/a"), (1, "/b"), (2, "/c")] {
            assert_eq!(&*request(bytes, index).target, target);
        }
        assert_eq!(parse(bytes, false, 3, false), Head::Other);
        assert_eq!(parse(bytes, true, 3, false), Head::Beyond);
    }

    #[test]
    fn a_target_that_was_cut_off_is_kept_as_far_as_it_goes() {
        let long = format!("GET /{} HTTP/1.1", "x".repeat(100));
        let cut = |len: usize| parse(&long.as_bytes()[..len], true, 0, false);
        assert!(matches!(cut(50), Head::Request(request) if request.target.ends_with("x…")));
        assert!(matches!(cut(109), Head::Request(request) if request.target.ends_with('x')));
        assert_eq!(parse(&long.as_bytes()[..50], false, 0, false), Head::Other);
    }

    #[test]
    fn bytes_that_are_not_a_request_are_recognised() {
        for bytes in [
            &b""[..],
            b"GET\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"get / HTTP/1.1\r\n\r\n",
            b"PING\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b"A lot of text in a body\r\n",
            b"\xff\xfe\n",
        ] {
            assert_eq!(parse(bytes, false, 0, false), Head::Other, "{bytes:?}");
        }
    }

    #[test]
    fn invalid_headers_are_left_out() {
        let bytes = b"GET / HTTP/1.1\r\nHost: <script>\r\nX-Forwarded-For: unknown\r\n\r\n";
        let request = request(bytes, 0);
        assert_eq!((request.host, request.forwarded_for), (None, None));
    }

    #[test]
    fn forwarded_addresses_may_have_ports_and_brackets() {
        for (value, want) in [
            ("203.0.113.9:1234", "203.0.113.9"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(first_address(value.as_bytes()).as_deref(), Some(want));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted(bytes: Vec<u8>, full: bool, index in 0u32..4, query: bool) {
            let _ = parse(&bytes, full, index, query);
        }

        #[test]
        fn a_request_cut_off_anywhere_is_accepted(end in 0usize..120, full: bool) {
            let bytes = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n\
                          GET /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
            for index in 0..3 {
                let _ = parse(&bytes[..end.min(bytes.len())], full, index, false);
            }
        }
    }
}
