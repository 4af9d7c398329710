//! Caddy's log, as JSON: the lines of `http.log.error`, one per request that failed in Caddy's hands,
//! those of `http.handlers.reverse_proxy` about answers that broke off, and those of access logs with
//! a status of 500 or more, should they be in the same file.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tracer_model::{Endpoint, Failure, LogEntry, Phase, ProxyKind};

use crate::fields;
use crate::line::Line;
use crate::profile::{Fact, FailuresIn, LineFor, Memory, Profile};
use crate::text::find;

pub(crate) const PROFILE: Profile = Profile {
    kind: ProxyKind::Caddy,
    programs: &["caddy"],
    failures_in: FailuresIn::ErrorLog,
    line_for: LineFor::Request,
    says: &[
        Fact::Status,
        Fact::UpstreamAddress,
        Fact::UpstreamName,
        Fact::Reason,
        Fact::Client,
        Fact::ClientPort,
        Fact::Request,
        Fact::Host,
        Fact::Elapsed,
        Fact::Answered,
        Fact::ClientGone,
    ],
    anonymous: false,
    delay: Duration::ZERO,
    read: parse,
    // An access log has the same format.
    is_elsewhere: is_access,
    memory: Some(|| Box::new(Reported::default())),
};

/// Longest answer time believed, seconds.
const MAX_SECONDS: f64 = 1e6;

/// A line. Keys of no interest are skipped; none is required of every line but the level.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    level: Cow<'a, str>,
    #[serde(borrow, default)]
    logger: Cow<'a, str>,
    #[serde(borrow, default)]
    msg: Cow<'a, str>,
    #[serde(borrow, default)]
    error: Cow<'a, str>,
    #[serde(borrow, default)]
    upstream: Cow<'a, str>,
    /// `reverseproxy.statusError (reverseproxy.go:1272)`
    #[serde(borrow, default)]
    err_trace: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
    #[serde(default)]
    status: u16,
    /// Seconds, unless configured otherwise.
    duration: Option<Elapsed>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Elapsed {
    Seconds(f64),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Request<'a> {
    /// Since 2.5 …
    #[serde(borrow, default)]
    remote_ip: Cow<'a, str>,
    #[serde(borrow, default)]
    remote_port: Cow<'a, str>,
    /// … and before.
    #[serde(borrow, default)]
    remote_addr: Cow<'a, str>,
    #[serde(borrow, default)]
    proto: Cow<'a, str>,
    /// There when the request came inside TLS, which is Go's own.
    #[serde(default)]
    tls: Option<serde::de::IgnoredAny>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    host: Cow<'a, str>,
    #[serde(borrow, default)]
    uri: Cow<'a, str>,
    #[serde(borrow, default)]
    headers: Headers<'a>,
}

#[derive(Default, Deserialize)]
struct Headers<'a> {
    #[serde(borrow, rename = "X-Forwarded-For", default)]
    forwarded_for: Vec<Cow<'a, str>>,
}

fn parse(line: &str, show_query: bool) -> Line {
    // Traefik's own log begins in the same way, but has a `message`.
    let whole = line.starts_with("{\"level\":") && line.ends_with('}');
    if !whole || find(line, b"\"msg\":").is_none() {
        return Line::Unreadable;
    }
    if !line.contains("\"http.log.") && !line.contains("\"http.handlers.reverse_proxy\"") {
        return Line::Ignored;
    }
    // Most of an access log.
    if line.starts_with("{\"level\":\"info\"") {
        return Line::Ignored;
    }
    let Ok(record) = serde_json::from_str::<Record<'_>>(line) else {
        return Line::Unreadable;
    };
    let Some(request) = &record.request else {
        return Line::Ignored;
    };
    let Some((failure, phase)) = judge(&record) else {
        return Line::Ignored;
    };
    let mut entry = fields::entry(ProxyKind::Caddy, failure, phase);
    entry.status = (record.status >= 100).then_some(record.status);
    entry.elapsed = match record.duration {
        // Under `reverse_proxy` it is the time until the answer's header.
        Some(Elapsed::Seconds(seconds)) if entry.status.is_some() => (0.0..MAX_SECONDS)
            .contains(&seconds)
            .then(|| Duration::from_secs_f64(seconds)),
        _ => None,
    };
    read_upstream(&mut entry, &record);
    read_request(&mut entry, request, show_query);
    Line::Entry(Arc::new(entry))
}

/// Whether a line is one of an access log, which nobody wants to follow.
fn is_access(line: &str) -> bool {
    line.contains("\"logger\":\"http.log.access")
}

fn judge(record: &Record<'_>) -> Option<(Failure, Phase)> {
    let logger = &*record.logger;
    if logger == "http.handlers.reverse_proxy" {
        let broken_off = record.msg == "aborting with incomplete response";
        // `writing: …` is about the client, which left.
        let by_client = record.error.starts_with("writing: ") || record.error.ends_with("canceled");
        return (broken_off && !by_client).then(|| {
            let failure = failure(&record.error);
            (failure, Phase::Answering)
        });
    }
    if logger.starts_with("http.log.access") {
        // The line does not say whose answer it was.
        return (record.status >= 500).then_some((Failure::Unknown, Phase::Unknown));
    }
    let error = logger == "http.log.error" || logger.starts_with("http.log.error.");
    if !error || record.level == "debug" {
        return None;
    }
    let failure = failure(&record.msg);
    if record.status < 500 && failure != Failure::ClientGone {
        return None;
    }
    let connecting = failure == Failure::NoLiveUpstreams || dialled(&record.msg).is_some();
    let phase = if connecting {
        Phase::Connecting
    } else if failure != Failure::Unknown || record.err_trace.starts_with("reverseproxy.") {
        Phase::Waiting
    } else {
        Phase::Unknown
    };
    Some((failure, phase))
}

/// The errors of Go's networking end with what went wrong.
fn failure(error: &str) -> Failure {
    const ENDS: [(&str, Failure); 18] = [
        ("connection refused", Failure::Refused),
        ("connection reset by peer", Failure::Reset),
        ("no such file or directory", Failure::NoSocketFile),
        ("resource temporarily unavailable", Failure::BacklogFull),
        ("permission denied", Failure::PermissionDenied),
        ("i/o timeout", Failure::Timeout),
        ("timeout awaiting response headers", Failure::Timeout),
        ("context deadline exceeded", Failure::Timeout),
        ("connection timed out", Failure::Timeout),
        ("EOF", Failure::Cut),
        ("broken pipe", Failure::Cut),
        ("server closed idle connection", Failure::Cut),
        ("no upstreams available", Failure::NoLiveUpstreams),
        ("no such host", Failure::Unreachable),
        ("no route to host", Failure::Unreachable),
        ("network is unreachable", Failure::Unreachable),
        ("context canceled", Failure::ClientGone),
        ("request canceled", Failure::ClientGone),
    ];
    let known = ENDS.iter().find(|(end, _)| error.ends_with(end));
    known.map_or(Failure::Unknown, |&(_, failure)| failure)
}

/// Network and address in `dial tcp 127.0.0.1:9102: connect: connection refused`.
fn dialled(error: &str) -> Option<(&str, &str)> {
    let error = error.strip_prefix("dialing backend: ").unwrap_or(error);
    let (network, rest) = error.strip_prefix("dial ")?.split_once(' ')?;
    let network = network.trim_end_matches(':');
    Some((network, rest.split(": ").next().unwrap_or(rest)))
}

fn read_upstream(entry: &mut LogEntry, record: &Record<'_>) {
    match dialled(&record.msg) {
        Some(("unix", path)) => {
            entry.upstream = Some(Endpoint::unix(path.as_bytes()));
            return;
        }
        Some(("tcp" | "tcp4" | "tcp6", address)) => {
            match address.strip_prefix("lookup ") {
                Some(lookup) => {
                    entry.upstream_name = lookup.split(' ').next().and_then(fields::name);
                }
                None => entry.upstream = fields::tcp(address),
            }
            return;
        }
        _ => {}
    }
    // `read tcp 127.0.0.1:40194->127.0.0.1:9101: read: connection reset by peer`.
    let error = if record.error.is_empty() {
        &record.msg
    } else {
        &record.error
    };
    let ends = error.split_once("->").map(|(_, rest)| rest);
    let there = ends
        .and_then(|rest| rest.split(": ").next())
        .and_then(fields::tcp);
    entry.upstream = there.or_else(|| fields::tcp(&record.upstream));
    if entry.upstream.is_none() {
        match record.upstream.strip_prefix("unix/") {
            Some(path) => entry.upstream = Some(Endpoint::unix(path.as_bytes())),
            None => entry.upstream_name = fields::name(&record.upstream),
        }
    }
}

fn read_request(entry: &mut LogEntry, request: &Request<'_>, show_query: bool) {
    if let Ok(client) = request.remote_addr.parse::<SocketAddr>() {
        entry.client = Some(client.ip());
        entry.client_port = Some(client.port());
    } else {
        entry.client = request.remote_ip.parse().ok();
        let port = request.remote_port.parse().ok();
        entry.client_port = port.filter(|_| entry.client.is_some());
    }
    entry.http1 = match request.tls {
        Some(_) => Some(false),
        None => request.proto.strip_prefix("HTTP/").and_then(fields::http1),
    };
    let Some(mut read) = fields::request_of(&request.method, &request.uri, true, show_query) else {
        return;
    };
    read.host = fields::name(&request.host);
    // Caddy adds the client to what it passes on: that alone is no news.
    let forwarded = request.headers.forwarded_for.first();
    let first: Option<IpAddr> =
        forwarded.and_then(|list| list.split(',').next()?.trim().parse().ok());
    read.forwarded_for = first
        .filter(|&address| Some(address) != entry.client)
        .map(|address| address.to_string().into());
    entry.request = Some(read);
}

/// Entries of late, by which the access log's line about the same request is known.
#[derive(Debug, Default)]
struct Reported(VecDeque<(Option<IpAddr>, Option<u16>, Option<Duration>)>);

impl Memory for Reported {
    /// Drops what an access log's line repeats: it has the same client and the same duration, to
    /// the nanosecond.
    fn join(&mut self, line: &str, read: Line) -> Line {
        const MAX: usize = 64;
        let Line::Entry(entry) = read else {
            return read;
        };
        let key = (entry.client, entry.client_port, entry.elapsed);
        if is_access(line) {
            if let Some(at) = self.0.iter().position(|other| *other == key) {
                self.0.remove(at);
                return Line::Ignored;
            }
        } else {
            if self.0.len() >= MAX {
                self.0.pop_front();
            }
            self.0.push_back(key);
        }
        Line::Entry(entry)
    }
}
