//! nginx's error log, also as OpenResty, Tengine and Angie write it:
//!
//! `2026/11/22 23:52:35 [error] 5169#5169: *1 connect() failed (111: Connection refused) while
//! connecting to upstream, client: 127.0.0.1, server: shop.example, request: "GET / HTTP/1.1",
//! upstream: "http://127.0.0.1:9102/", host: "shop.example"`
//!
//! nginx escapes nothing in a line, and cuts it at 2 KiB. Its own refusals (`limiting requests`)
//! are not errors about an upstream and are ignored, as is what happens on upgraded connections:
//! those requests were answered.

use std::sync::Arc;
use std::time::Duration;

use tracer_model::{Endpoint, Failure, LogEntry, Phase, ProxyKind};

use crate::fields;
use crate::line::Line;
use crate::profile::{Fact, FailuresIn, LineFor, Profile};
use crate::text::{find, rsplit_once, split_once};

pub(crate) const PROFILE: Profile = Profile {
    kind: ProxyKind::Nginx,
    programs: &[
        "nginx",
        "nginx-debug",
        "openresty",
        "tengine",
        "angie",
        "freenginx",
    ],
    failures_in: FailuresIn::ErrorLog,
    line_for: LineFor::AttemptOnConnection,
    says: &[
        Fact::UpstreamAddress,
        Fact::UpstreamName,
        Fact::Reason,
        Fact::Client,
        Fact::Request,
        Fact::Host,
        Fact::Worker,
        Fact::ClientGone,
    ],
    anonymous: false,
    delay: Duration::ZERO,
    read: parse,
    is_elsewhere: |_| false,
    memory: None,
};

/// What a line begins with; a 0 stands for any digit.
const DATE: [u8; 20] = *b"0000/00/00 00:00:00 ";

fn parse(line: &str, show_query: bool) -> Line {
    let Some(head) = Head::parse(line) else {
        return Line::Unreadable;
    };
    let (Some(connection), Some((message, details))) =
        (head.connection, split_once(head.text, b", client: "))
    else {
        return Line::Ignored;
    };
    let Some((failure, phase)) = judge(head.level, message) else {
        return Line::Ignored;
    };
    let mut entry = fields::entry(ProxyKind::Nginx, failure, phase);
    entry.pid = Some(head.pid);
    entry.tid = Some(head.tid);
    entry.connection = Some(connection);
    read_details(&mut entry, details, show_query);
    if entry.upstream.is_none() && entry.upstream_name.is_none() {
        entry.upstream_name = unresolved(message).and_then(fields::name);
    }
    Line::Entry(Arc::new(entry))
}

/// What every line begins with.
struct Head<'a> {
    level: &'a str,
    pid: u32,
    tid: u32,
    connection: Option<u64>,
    text: &'a str,
}

impl<'a> Head<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (date, rest) = line.split_at_checked(DATE.len())?;
        let fits = |(byte, like): (u8, u8)| byte == like || like == b'0' && byte.is_ascii_digit();
        if !date.bytes().zip(DATE).all(fits) {
            return None;
        }
        let (level, rest) = split_once(rest.strip_prefix('[')?, b"] ")?;
        let (ids, text) = split_once(rest, b": ")?;
        let (pid, tid) = split_once(ids, b"#")?;
        let numbered = text.strip_prefix('*');
        let (connection, text) = match numbered.and_then(|text| split_once(text, b" ")) {
            Some((number, text)) => (number.parse().ok(), text),
            None => (None, text),
        };
        Some(Self {
            level,
            pid: pid.parse().ok()?,
            tid: tid.parse().ok()?,
            connection,
            text,
        })
    }
}

/// What a message says went wrong with an upstream, and when; None when it is about something else.
fn judge(level: &str, message: &str) -> Option<(Failure, Phase)> {
    let (what, doing) = match rsplit_once(message, b" while ") {
        Some((what, doing)) => (what, Some(doing)),
        None => (message, None),
    };
    let phase = phase(what, doing);
    if level == "info" {
        // Few keep that level.
        let gone = find(what, b"client prematurely closed connection").is_some()
            && find(what, b"upstream connection is closed too").is_some();
        return gone.then_some((Failure::ClientGone, phase));
    }
    if !matches!(level, "error" | "crit" | "alert" | "emerg") {
        return None;
    }
    if unresolved(message).is_some() {
        return Some((Failure::Unreachable, Phase::Connecting));
    }
    // What an application says through FastCGI is no failure.
    if message.starts_with("FastCGI sent in stderr") {
        return None;
    }
    let failure = if message.starts_with("no live upstreams") {
        Failure::NoLiveUpstreams
    } else if message.starts_with("upstream prematurely closed")
        || message.starts_with("upstream closed")
    {
        Failure::Cut
    } else if message.starts_with("upstream ") || phase != Phase::Unknown {
        errno(what).map_or(Failure::Unknown, fields::failure_of)
    } else {
        return None;
    };
    let upgraded = doing == Some("proxying upgraded connection");
    (!upgraded).then_some((failure, phase))
}

/// `while connecting to upstream`, split.
fn phase(what: &str, doing: Option<&str>) -> Phase {
    match doing {
        Some("connecting to upstream" | "SSL handshaking to upstream") => Phase::Connecting,
        Some(
            "sending request to upstream"
            | "sending to upstream"
            | "reading response header from upstream",
        ) => Phase::Waiting,
        Some("reading upstream") => Phase::Answering,
        Some("sending to client") if what.starts_with("upstream ") => Phase::Answering,
        _ => Phase::Unknown,
    }
}

/// `(111: Connection refused)`: the last one, for a path in the message may look like it.
fn errno(what: &str) -> Option<i32> {
    let (_, error) = rsplit_once(what, b"(")?;
    split_once(error, b":")?.0.parse().ok()
}

/// The name in `shop.internal could not be resolved (3: Host not found)`.
fn unresolved(message: &str) -> Option<&str> {
    let (name, rest) = split_once(message, b" ")?;
    rest.starts_with("could not be resolved (").then_some(name)
}

/// `127.0.0.1, server: …, request: "…", subrequest: "…", upstream: "…", host: "…", referrer: "…"`.
/// Read from the left: what a client writes into a later field can't change an earlier one.
fn read_details(entry: &mut LogEntry, details: &str, show_query: bool) {
    let (client, details) = details.split_at(find(details, b", ").unwrap_or(details.len()));
    // `unix:` for a client on a unix socket.
    entry.client = client.parse().ok();
    let Some((_, rest)) = split_once(details, b", request: \"") else {
        return;
    };
    let (line, whole, rest) = request_line(rest);
    if let Some((request, http1)) = fields::request(line, whole, show_query) {
        entry.request = Some(request);
        entry.http1 = http1;
    }
    let rest = match rest.strip_prefix(", upstream: \"") {
        Some(rest) => Some(rest),
        None if rest.starts_with(", subrequest: \"") => {
            split_once(rest, b"\", upstream: \"").map(|(_, rest)| rest)
        }
        None => None,
    };
    let (upstream, host) = if let Some(rest) = rest {
        match split_once(rest, b"\", host: \"") {
            Some((upstream, host)) => (Some(upstream), Some(host)),
            None => (Some(rest.strip_suffix('"').unwrap_or(rest)), None),
        }
    } else {
        let host = split_once(details, b", host: \"");
        (None, host.map(|(_, host)| host))
    };
    if let Some(upstream) = upstream {
        read_upstream(entry, upstream, line);
    }
    if let (Some(request), Some(host)) = (&mut entry.request, host) {
        let end = find(host, b"\", referrer: \"").unwrap_or(host.len());
        let host = &host[..end];
        request.host = fields::name(host.strip_suffix('"').unwrap_or(host));
    }
}

/// The request line that `text` begins with, whether it is whole, and what follows its quote. It may
/// hold quotes itself, but ends with its version.
fn request_line(text: &str) -> (&str, bool, &str) {
    let mut from = 0;
    while let Some(found) = find(&text[from..], b"\"") {
        let at = from + found;
        let line = &text[..at];
        let versioned = line
            .len()
            .checked_sub(" HTTP/1.1".len())
            .is_some_and(|start| line.as_bytes()[start..].starts_with(b" HTTP/"));
        if versioned {
            return (line, true, &text[at + 1..]);
        }
        from = at + 1;
    }
    // HTTP/0.9, or a line that nginx cut.
    let unquoted = || text.strip_suffix('"').map(str::len);
    match find(text, b"\", ").or_else(unquoted) {
        Some(at) => (&text[..at], true, &text[at + 1..]),
        None => (text, false, ""),
    }
}

/// `http://127.0.0.1:9102/path`, `fastcgi://unix:/run/php.sock:`, `http://backend/path`; `line` is
/// the request line.
fn read_upstream(entry: &mut LogEntry, url: &str, line: &str) {
    let Some((_, rest)) = split_once(url, b"://") else {
        return;
    };
    if let Some(path) = rest.strip_prefix("unix:") {
        let target = line.split(' ').nth(1).unwrap_or_default();
        entry.upstream = Some(Endpoint::unix(socket_path(path, target).as_bytes()));
        return;
    }
    let authority = &rest[..find(rest, b"/").unwrap_or(rest.len())];
    match fields::tcp(authority) {
        Some(address) => entry.upstream = Some(address),
        None => entry.upstream_name = fields::name(authority),
    }
}

/// The path of the socket in `/run/a.sock:/path`. After a time-out nginx leaves out the colon.
fn socket_path<'a>(text: &'a str, target: &str) -> &'a str {
    if let Some((path, _)) = split_once(text, b":") {
        return path;
    }
    let end = find(text, b".sock/").map(|at| at + ".sock".len());
    let end = end.or_else(|| find(text, b".socket/").map(|at| at + ".socket".len()));
    if let Some(end) = end {
        return &text[..end];
    }
    match text.strip_suffix(target) {
        Some(path) if !path.is_empty() => path,
        _ => text,
    }
}
