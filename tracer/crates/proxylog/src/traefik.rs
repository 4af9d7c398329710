//! Traefik's access log (v2, v3), in its formats `json` and `common`:
//!
//! `127.0.0.1 - - [27/Nov/2026:21:07:04 +0000] "GET /down/x HTTP/1.1" 502 11 "-" "-" 16 "down@file"
//! "http://127.0.0.1:9102" 0ms`
//!
//! One line per request, written when it is over. No line gives a reason: Traefik writes that to its
//! own log, at level DEBUG and without the request. A status that an application answered looks like
//! one of Traefik's own, except for the size: Traefik's own answers have the status's standard text
//! as their body. What has another size is the application's answer; of the rest other witnesses
//! have to say what went wrong.
//!
//! An answer that broke off looks like one whose client left, and is ignored. The format
//! `genericCLF` is that of any web server and is not read.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tracer_model::{Failure, Phase, ProxyKind, WallTime};

use crate::fields;
use crate::line::Line;
use crate::profile::{Fact, FailuresIn, LineFor, Profile};
use crate::text::{find, rsplit_once, split_once};

pub(crate) const PROFILE: Profile = Profile {
    kind: ProxyKind::Traefik,
    programs: &["traefik"],
    failures_in: FailuresIn::AccessLog,
    line_for: LineFor::Request,
    says: &[
        Fact::Status,
        Fact::UpstreamAddress,
        Fact::UpstreamName,
        Fact::Client,
        Fact::ClientPort,
        Fact::Request,
        Fact::Host,
        Fact::Time,
        Fact::Elapsed,
        Fact::Answered,
        Fact::ClientGone,
    ],
    // A configuration may drop the client.
    anonymous: true,
    delay: Duration::ZERO,
    read: parse,
    is_elsewhere: |_| false,
    memory: None,
};

/// What Traefik answers when the client has left: nobody reads it.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// `no available server` and a line feed.
const NO_SERVER_BYTES: u64 = 20;

/// A request, as either format has it.
struct Request<'a> {
    method: &'a str,
    target: &'a str,
    protocol: &'a str,
    host: &'a str,
    client: &'a str,
    port: &'a str,
    status: u16,
    /// Of the body, before middlewares changed it. None: the line does not say.
    bytes: Option<u64>,
    service: &'a str,
    /// Of the server that was chosen; empty: none was.
    server: &'a str,
    elapsed: Option<Duration>,
    ended: Option<WallTime>,
    tls: bool,
}

fn parse(line: &str, show_query: bool) -> Line {
    if line.starts_with('{') {
        json(line, show_query)
    } else {
        common(line, show_query)
    }
}

/// Whether a request with this status may have failed.
fn may_have_failed(status: u16) -> bool {
    status >= 500 || status == CLIENT_CLOSED_REQUEST
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    #[serde(borrow, default)]
    client_host: Cow<'a, str>,
    #[serde(borrow, default)]
    client_port: Cow<'a, str>,
    #[serde(borrow)]
    request_method: Cow<'a, str>,
    #[serde(borrow)]
    request_path: Cow<'a, str>,
    #[serde(borrow, default)]
    request_protocol: Cow<'a, str>,
    #[serde(borrow, default)]
    request_host: Cow<'a, str>,
    #[serde(borrow, default)]
    service_name: Cow<'a, str>,
    #[serde(borrow, default)]
    service_addr: Cow<'a, str>,
    #[serde(borrow, default, rename = "StartUTC")]
    start: Cow<'a, str>,
    downstream_status: u16,
    downstream_content_size: Option<u64>,
    #[serde(default)]
    origin_status: u16,
    origin_content_size: Option<u64>,
    /// Nanoseconds.
    duration: Option<u64>,
    /// There when the request came inside TLS, which is Go's own.
    #[serde(rename = "TLSVersion")]
    tls: Option<serde::de::IgnoredAny>,
}

fn json(line: &str, show_query: bool) -> Line {
    if !line.ends_with('}') {
        return Line::Unreadable;
    }
    let Some((_, rest)) = split_once(line, b"\"DownstreamStatus\":") else {
        // Traefik's own log in JSON has the program's place in each line.
        let own =
            find(line, b"\"level\":\"").is_some() && find(line, b"github.com/traefik/").is_some();
        return if own { Line::Notice } else { Line::Unreadable };
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match rest[..digits].parse() {
        Ok(status) if !may_have_failed(status) => return Line::Ignored,
        Ok(_) => {}
        Err(_) => return Line::Unreadable,
    }
    let Ok(record) = serde_json::from_str::<Record<'_>>(line) else {
        return Line::Unreadable;
    };
    let elapsed = record.duration.map(Duration::from_nanos);
    let start = WallTime::parse(&record.start);
    entry(
        &Request {
            method: &record.request_method,
            target: &record.request_path,
            protocol: &record.request_protocol,
            host: &record.request_host,
            client: &record.client_host,
            port: &record.client_port,
            status: record.downstream_status,
            // No answer came from the service.
            bytes: if record.origin_status == 0 {
                record.downstream_content_size
            } else {
                record.origin_content_size
            },
            service: &record.service_name,
            server: &record.service_addr,
            elapsed,
            ended: elapsed.and_then(|elapsed| start?.after(elapsed)),
            tls: record.tls.is_some(),
        },
        show_query,
    )
}

fn common(line: &str, show_query: bool) -> Line {
    match Common::parse(line) {
        Some(common) if !may_have_failed(common.status) => Line::Ignored,
        Some(common) => common.entry(show_query),
        None if is_own(line) => Line::Notice,
        None => Line::Unreadable,
    }
}

/// A line in the format `common`.
struct Common<'a> {
    client: &'a str,
    /// `GET /path HTTP/1.1`
    request: &'a str,
    status: u16,
    bytes: Option<u64>,
    router: &'a str,
    url: &'a str,
    elapsed: Duration,
}

impl<'a> Common<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (client, rest) = split_once(line, b" - ")?;
        let (_user, rest) = split_once(rest, b" [")?;
        let (_date, rest) = split_once(rest, b"] \"")?;
        // Neither the request nor what the client says of itself is escaped.
        let at = find(rest, b" HTTP/")?;
        let end = at + find(&rest[at..], b"\" ")?;
        let (request, rest) = (&rest[..end], &rest[end + 2..]);
        let (status, rest) = split_once(rest, b" ")?;
        let (bytes, rest) = split_once(rest, b" ")?;
        let (rest, elapsed) = rsplit_once(rest.strip_suffix("ms")?, b"\" ")?;
        let (rest, url) = rsplit_once(rest, b" \"")?;
        let (rest, router) = rsplit_once(rest.strip_suffix('"')?, b" \"")?;
        let (_referrer_and_agent, count) = rsplit_once(rest, b"\" ")?;
        count.parse::<u64>().ok()?;
        Some(Self {
            client,
            request,
            // `-`: there was no answer.
            status: if status == "-" {
                0
            } else {
                status.parse().ok()?
            },
            bytes: bytes.parse().ok(),
            router,
            url,
            elapsed: Duration::from_millis(elapsed.parse().ok()?),
        })
    }

    fn entry(&self, show_query: bool) -> Line {
        let Some((method, rest)) = split_once(self.request, b" ") else {
            return Line::Unreadable;
        };
        let Some((target, protocol)) = rsplit_once(rest, b" ") else {
            return Line::Unreadable;
        };
        let server = match self.url {
            "-" => "",
            url => split_once(url, b"://").map_or(url, |(_, rest)| rest),
        };
        entry(
            &Request {
                method,
                target,
                protocol,
                host: "",
                client: self.client,
                port: "",
                status: self.status,
                bytes: self.bytes,
                service: self.router,
                server: &server[..find(server, b"/").unwrap_or(server.len())],
                elapsed: Some(self.elapsed),
                ended: None,
                tls: false,
            },
            show_query,
        )
    }
}

/// Whether a line is of Traefik's own log: `2026-11-27T21:06:54Z DBG github.com/… > …`.
fn is_own(line: &str) -> bool {
    const LEVELS: [&str; 6] = ["TRC", "DBG", "INF", "WRN", "ERR", "FTL"];
    let mut words = line.splitn(3, ' ');
    let dated = words
        .next()
        .is_some_and(|date| WallTime::parse(date).is_some());
    dated && words.next().is_some_and(|level| LEVELS.contains(&level))
}

/// What a status and a body say went wrong; None when it is no failure.
fn judge(request: &Request<'_>) -> Option<(Failure, Phase)> {
    let own = own_text(request.status).map(|text| text.len() as u64);
    let by_traefik = request.bytes.is_none() || request.bytes == own;
    Some(match request.status {
        CLIENT_CLOSED_REQUEST if !request.server.is_empty() && request.bytes == own => {
            (Failure::ClientGone, Phase::Waiting)
        }
        ..500 => return None,
        503 if request.server.is_empty() && request.bytes == Some(NO_SERVER_BYTES) => {
            (Failure::NoLiveUpstreams, Phase::Connecting)
        }
        // A middleware answered, or nothing is said of the server.
        _ if request.server.is_empty() => (Failure::Unknown, Phase::Unknown),
        504 if request.bytes == own => (Failure::Timeout, Phase::Waiting),
        _ if by_traefik => (Failure::Unknown, Phase::Unknown),
        _ => (Failure::Answered, Phase::Waiting),
    })
}

/// What Traefik writes into an answer of its own about an upstream.
fn own_text(status: u16) -> Option<&'static str> {
    Some(match status {
        CLIENT_CLOSED_REQUEST => "Client Closed Request",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return None,
    })
}

fn entry(request: &Request<'_>, show_query: bool) -> Line {
    let Some((failure, phase)) = judge(request) else {
        return Line::Ignored;
    };
    let mut entry = fields::entry(ProxyKind::Traefik, failure, phase);
    entry.status = (failure != Failure::ClientGone).then_some(request.status);
    entry.client = request.client.parse().ok();
    let port = request.port.parse().ok().filter(|&port| port != 0);
    entry.client_port = port.filter(|_| entry.client.is_some());
    entry.http1 = match request.protocol.strip_prefix("HTTP/") {
        _ if request.tls => Some(false),
        Some(version) => fields::http1(version),
        None => None,
    };
    entry.upstream = fields::tcp(request.server);
    if entry.upstream.is_none() {
        let named = [request.server, request.service];
        let mut named = named.into_iter().filter(|name| *name != "-");
        entry.upstream_name = named.find_map(fields::name);
    }
    entry.elapsed = request.elapsed;
    entry.ended = request.ended;
    let read = fields::request_of(request.method, request.target, true, show_query);
    if let Some(mut read) = read {
        read.host = fields::name(request.host);
        entry.request = Some(read);
    }
    Line::Entry(Arc::new(entry))
}
