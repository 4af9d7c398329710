//! What lines of several formats are made of: request lines, addresses, error numbers.

use std::net::SocketAddr;

use tracer_model::{
    Endpoint, Failure, LogEntry, Phase, ProcessKey, ProxyKind, Request, clean_target, method_name,
};

use crate::text::{rsplit_once, split_once};

/// Longest name kept: of a host, of an upstream.
const MAX_NAME: usize = 256;
/// The error numbers that Linux has on all machines that tracer is built for; what proxies log.
mod errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const ENOENT: i32 = 2;
    pub(super) const EAGAIN: i32 = 11;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EPIPE: i32 = 32;
    pub(super) const ENETDOWN: i32 = 100;
    pub(super) const ENETUNREACH: i32 = 101;
    pub(super) const ECONNABORTED: i32 = 103;
    pub(super) const ECONNRESET: i32 = 104;
    pub(super) const ETIMEDOUT: i32 = 110;
    pub(super) const ECONNREFUSED: i32 = 111;
    pub(super) const EHOSTDOWN: i32 = 112;
    pub(super) const EHOSTUNREACH: i32 = 113;
}
/// Longest method there is by far.
const MAX_METHOD: usize = 32;

/// An entry with nothing but its failure. Whoever knows whose log it is sets the proxy.
pub(super) fn entry(kind: ProxyKind, failure: Failure, phase: Phase) -> LogEntry {
    LogEntry {
        proxy: ProcessKey::default(),
        format: Some(kind),
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
        ended: None,
    }
}

/// A request line such as `GET /path HTTP/1.1`, and whether its version is
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
        errno::ECONNREFUSED => Failure::Refused,
        errno::ETIMEDOUT => Failure::Timeout,
        errno::ENETUNREACH | errno::EHOSTUNREACH | errno::ENETDOWN | errno::EHOSTDOWN => {
            Failure::Unreachable
        }
        errno::ECONNRESET | errno::ECONNABORTED => Failure::Reset,
        errno::EPIPE => Failure::Cut,
        errno::ENOENT => Failure::NoSocketFile,
        errno::EAGAIN => Failure::BacklogFull,
        errno::EACCES | errno::EPERM => Failure::PermissionDenied,
        _ => Failure::Unknown,
    }
}
