//! What lines of several formats are made of: request lines, addresses, error numbers.

use std::net::SocketAddr;

use super::text::{rsplit_once, split_once};
use crate::model::{
    Endpoint, Failure, LogEntry, Phase, ProcessKey, ProxyKind, Request, clean_target, method_name,
};

/// Longest name kept: of a host, of an upstream.
const MAX_NAME: usize = 256;
/// Longest method there is by far.
const MAX_METHOD: usize = 32;

/// An entry of which nothing is known yet. Its proxy is set by whoever knows whose log it is.
pub(super) fn entry(format: ProxyKind, failure: Failure, phase: Phase) -> LogEntry {
    LogEntry {
        proxy: ProcessKey::default(),
        format,
        pid: None,
        tid: None,
        connection: None,
        client: None,
        client_port: None,
        request: None,
        http1: None,
        upstream: None,
        upstream_name: None,
        status: None,
        failure,
        phase,
        elapsed: None,
    }
}

/// A request line such as `GET /path HTTP/1.1`, with what it tells of the protocol: whether it is
/// HTTP/1 or older. `whole`: the line was not cut.
pub(super) fn request(
    line: &str,
    whole: bool,
    show_query: bool,
) -> Option<(Request, Option<bool>)> {
    let (method, rest) = split_once(line, b" ")?;
    let (target, http1) = match rsplit_once(rest, b" HTTP/") {
        Some((target, version)) => (target, http1(version)),
        // HTTP/0.9 has no version.
        None => (rest, whole.then_some(true)),
    };
    let whole = whole || http1.is_some();
    request_of(method, target, whole, show_query).map(|request| (request, http1))
}

/// From its parts.
pub(super) fn request_of(
    method: &str,
    target: &str,
    whole: bool,
    show_query: bool,
) -> Option<Request> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if method.is_empty() || method.len() > MAX_METHOD || !method.bytes().all(plain) {
        return None;
    }
    Some(Request {
        method: method_name(method),
        target: clean_target(target, whole, show_query),
        host: None,
        forwarded_for: None,
    })
}

/// Whether a version (`1.1`, `2.0`) is one that the kernel's witnesses can follow.
pub(super) fn http1(version: &str) -> Option<bool> {
    match version.as_bytes().first()? {
        b'0' | b'1' => Some(true),
        b'2'..=b'9' => Some(false),
        _ => None,
    }
}

/// `127.0.0.1:3000`, `[::1]:3000`.
pub(super) fn tcp(text: &str) -> Option<Endpoint> {
    let address: SocketAddr = text.parse().ok()?;
    Some(Endpoint::tcp(address.ip(), address.port()))
}

/// A name, of bounded length; none when empty.
pub(super) fn name(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    let end = text.floor_char_boundary(MAX_NAME);
    (!text.is_empty()).then(|| text[..end].into())
}

/// What an error number of connect(), recv() and their like says.
pub(super) fn failure_of(errno: i32) -> Failure {
    match errno {
        libc::ECONNREFUSED => Failure::Refused,
        libc::ETIMEDOUT => Failure::Timeout,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => {
            Failure::Unreachable
        }
        libc::ECONNRESET | libc::ECONNABORTED => Failure::Reset,
        libc::EPIPE => Failure::Cut,
        libc::ENOENT => Failure::NoSocketFile,
        libc::EAGAIN => Failure::BacklogFull,
        libc::EACCES | libc::EPERM => Failure::PermissionDenied,
        _ => Failure::Unknown,
    }
}
