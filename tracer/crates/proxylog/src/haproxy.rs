//! HAProxy's log with `option httplog` or `option httpslog`, to a file of its own or through a syslog
//! daemon:
//!
//! `127.0.0.1:40090 [22/Nov/2026:23:53:51.176] fe w/s1 0/0/0/-1/1001 504 198 - - sH-- 1/1/0/0/0 0/0
//! {shop.example} "GET /w/hang HTTP/1.1"`
//!
//! One line per request, written when it is over. The first two letters of the termination
//! state say what went wrong (`sH`): who ended it, and what HAProxy was waiting for.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tracer_model::{Failure, LogEntry, Phase, ProxyKind};

use crate::fields;
use crate::line::Line;
use crate::profile::{Fact, FailuresIn, LineFor, Profile};

pub(crate) const PROFILE: Profile = Profile {
    kind: ProxyKind::Haproxy,
    programs: &["haproxy"],
    failures_in: FailuresIn::ErrorLog,
    line_for: LineFor::Request,
    says: &[
        Fact::Status,
        Fact::UpstreamName,
        Fact::Reason,
        Fact::Client,
        Fact::ClientPort,
        Fact::Request,
        Fact::Elapsed,
        Fact::Worker,
        Fact::Answered,
        Fact::ClientGone,
    ],
    // A client on a unix socket.
    anonymous: true,
    delay: Duration::ZERO,
    read: parse,
    // The daemon's notices go to a file of their own.
    is_elsewhere: is_notice,
    memory: None,
};

/// `[22/Nov/2026:23:53:51.176] `, with letters for `a` and digits for `0`.
const DATE: &[u8] = b"[00/aaa/0000:00:00:00.000] ";
/// Stands for a server when none was chosen.
const NO_SERVER: &str = "<NOSRV>";
/// What a line may begin with that is about no request.
const NOTICES: [&str; 10] = [
    "Connect from ",
    "Server ",
    "Backup Server ",
    "backend ",
    "Proxy ",
    "Health check for ",
    "Stopping ",
    "[NOTICE]",
    "[WARNING]",
    "[ALERT]",
];

fn parse(line: &str, show_query: bool) -> Line {
    let Some(at) = date(line) else {
        return notice(line);
    };
    let (before, rest) = (&line[..at], &line[at + DATE.len()..]);
    let Some((prefix, client)) = client(before) else {
        return Line::Unreadable;
    };
    let Some(fields) = Fields::parse(rest) else {
        // TCP's format, errors of TLS handshakes.
        return Line::Ignored;
    };
    let Some((failure, phase)) = fields.judge() else {
        return Line::Ignored;
    };
    Line::Entry(Arc::new(entry(
        prefix, client, &fields, failure, phase, show_query,
    )))
}

/// Whether a line is about no client: only about HAProxy itself and its servers.
fn is_notice(line: &str) -> bool {
    date(line).is_none()
}

/// A line without a request: the daemon's notices.
fn notice(line: &str) -> Line {
    let tagged = line.contains(" haproxy[") || line.contains(" haproxy ");
    let dated = line.split_once(' ').map_or("", |(_, text)| text);
    let begins = |notice: &str| line.starts_with(notice) || dated.starts_with(notice);
    if tagged || NOTICES.into_iter().any(begins) {
        Line::Ignored
    } else {
        Line::Unreadable
    }
}

/// Where the date begins.
fn date(line: &str) -> Option<usize> {
    let is_date = |window: &[u8]| {
        window.iter().zip(DATE).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            _ => byte == like,
        })
    };
    line.as_bytes().windows(DATE.len()).position(is_date)
}

/// The client's address and port before the date, and what is before them.
fn client(before: &str) -> Option<(&str, &str)> {
    let before = before.strip_suffix(' ')?;
    let at = before.rfind(' ').map_or(0, |at| at + 1);
    let client = &before[at..];
    client.contains(':').then_some((&before[..at], client))
}

/// What is after the date.
struct Fields<'a> {
    backend: &'a str,
    server: &'a str,
    /// Of the whole request, ms.
    elapsed: Option<u64>,
    status: Option<u16>,
    who: u8,
    what: u8,
    request: &'a str,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (fields, request) = text.split_once('"')?;
        let mut words = fields.split_ascii_whitespace();
        let _frontend = words.next()?;
        let (backend, server) = words.next()?.split_once('/')?;
        let mut timers = words.next()?.split('/');
        // A plus sign: the line was written before the end.
        let elapsed = timers.nth(4)?.trim_start_matches('+');
        if timers.next().is_some() {
            return None;
        }
        let status: i16 = words.next()?.parse().ok()?;
        // Bytes, two captured cookies, the termination state.
        let state = words.nth(3)?.as_bytes();
        let (&who, &what) = (state.first()?, state.get(1)?);
        Some(Self {
            backend,
            server,
            elapsed: elapsed.parse().ok(),
            status: u16::try_from(status).ok(),
            who,
            what,
            // Quotes in it are written as `#22`.
            request: request.split('"').next()?,
        })
    }

    /// What went wrong; None when nothing did, or nothing that an upstream has to do with.
    fn judge(&self) -> Option<(Failure, Phase)> {
        let phase = match self.what {
            b'Q' | b'C' => Phase::Connecting,
            b'H' => Phase::Waiting,
            b'D' | b'L' => Phase::Answering,
            // `R`: the request was not whole. `T`: it was held off on purpose.
            b'R' | b'T' => return None,
            _ => Phase::Unknown,
        };
        let failure = match self.who {
            b'-' => {
                let failed = self.status.is_some_and(|status| status >= 500);
                return (failed && self.server != NO_SERVER)
                    .then_some((Failure::Answered, Phase::Waiting));
            }
            // Answered by HAProxy itself, as configured.
            b'L' => return None,
            // A client that leaves in the middle of an answer is no failure.
            b'C' | b'c' if phase == Phase::Answering => return None,
            b'C' | b'c' => Failure::ClientGone,
            b'S' | b's' | b'P' if self.server == NO_SERVER && self.what == b'C' => {
                Failure::NoLiveUpstreams
            }
            b'S' if phase == Phase::Connecting => Failure::Refused,
            // `D`: the server was found to be down meanwhile.
            b'S' | b'D' => Failure::Cut,
            b's' => Failure::Timeout,
            _ => Failure::Unknown,
        };
        Some((failure, phase))
    }
}

/// Quotes and a few others are written as `#22`. A target can't have a `#` of its own.
fn unescape(text: &str) -> Cow<'_, str> {
    let mut pieces = text.split('#');
    let first = pieces.next().unwrap_or_default();
    if first.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let mut plain = first.to_owned();
    for piece in pieces {
        let code = piece
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        if let Some(byte) = code.filter(|byte| matches!(byte, b' '..=b'~')) {
            plain.push(char::from(byte));
            plain.push_str(&piece[2..]);
        } else {
            plain.push('#');
            plain.push_str(piece);
        }
    }
    Cow::Owned(plain)
}

fn entry(
    prefix: &str,
    client: &str,
    fields: &Fields<'_>,
    failure: Failure,
    phase: Phase,
    show_query: bool,
) -> LogEntry {
    let mut entry = fields::entry(ProxyKind::Haproxy, failure, phase);
    // `haproxy[20372]: `, or RFC 5424's `haproxy 20372 - - `.
    let pid = prefix.split_once("haproxy").map(|(_, rest)| rest);
    entry.pid = pid.and_then(|rest| rest.split(['[', ' ', ']']).find_map(|id| id.parse().ok()));
    if let Some((address, port)) = client.rsplit_once(':') {
        entry.client = address.parse().ok();
        entry.client_port = port.parse().ok().filter(|_| entry.client.is_some());
    }
    // A line that is too long is cut in the request.
    let request = unescape(fields.request);
    if let Some((request, http1)) = fields::request(&request, false, show_query) {
        entry.request = Some(request);
        entry.http1 = http1;
    }
    let name = match fields.server {
        NO_SERVER => fields.backend.to_owned(),
        server => format!("{}/{server}", fields.backend),
    };
    entry.upstream_name = fields::name(&name);
    entry.status = fields.status;
    entry.elapsed = fields.elapsed.map(Duration::from_millis);
    entry
}
