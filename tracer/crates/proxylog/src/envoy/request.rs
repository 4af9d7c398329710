//! A request as any of Envoy's formats has it, and what it says went wrong.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tracer_model::{Endpoint, Failure, Phase, ProxyKind, WallTime};

use crate::fields;
use crate::line::Line;

/// Start and duration are cut to milliseconds: a request ended less than this after their sum.
const CUT_OFF: Duration = Duration::from_millis(2);

/// A request, as any of the formats has it. `-` or nothing: not there.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) start: &'a str,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) protocol: &'a str,
    pub(super) host: &'a str,
    pub(super) forwarded_for: &'a str,
    pub(super) status: u16,
    pub(super) flags: &'a str,
    pub(super) details: &'a str,
    pub(super) transport: &'a str,
    /// Milliseconds.
    pub(super) elapsed: Option<u64>,
    pub(super) upstream: &'a str,
    pub(super) cluster: &'a str,
    pub(super) client: &'a str,
}

/// Whether a request with this status and these flags went well, as most do.
pub(super) fn went_well(status: u16, flags: &str) -> bool {
    flags == "-" && (1..500).contains(&status)
}

/// `UF`, `URX,UC`, `-`.
pub(super) fn are_flags(text: &str) -> bool {
    let is_flag = |flag: &str| {
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        flag.len() >= 2 && flag.bytes().all(plain) && flag.as_bytes()[0].is_ascii_uppercase()
    };
    text == "-" || text.split(',').all(is_flag)
}

impl Request<'_> {
    fn has(&self, flag: &str) -> bool {
        self.flags.split(',').any(|one| one == flag)
    }

    /// What went wrong, and when; None when nothing did, or nothing that an upstream has to do with.
    fn judge(&self) -> Option<(Failure, Phase)> {
        let failed = self.status >= 500;
        let begun = !failed || self.details.contains("after_response_started");
        let waiting = if begun {
            Phase::Answering
        } else {
            Phase::Waiting
        };
        if self.has("UH") {
            return Some((Failure::NoLiveUpstreams, Phase::Connecting));
        }
        if self.has("UF") {
            return Some((connect_failure(self.transport), Phase::Connecting));
        }
        if self.has("DF") {
            return Some((Failure::Unreachable, Phase::Connecting));
        }
        if self.has("DC") {
            // A client that leaves in the middle of an answer is no failure.
            return (self.status == 0).then_some((Failure::ClientGone, Phase::Waiting));
        }
        let by_upstream = [
            ("UT", Failure::Timeout),
            ("UC", Failure::Cut),
            ("UR", Failure::Reset),
            // An answer that ends too early is an error of the protocol.
            (
                "UPE",
                if begun {
                    Failure::Cut
                } else {
                    Failure::Unknown
                },
            ),
            ("LR", Failure::Unknown),
        ];
        if let Some((_, failure)) = by_upstream.into_iter().find(|(flag, _)| self.has(flag)) {
            return (self.status > 0).then_some((failure, waiting));
        }
        if !failed {
            // Also `SI` and `DT` in the middle of an answer: the client may be the one that stalled.
            return None;
        }
        if ["SI", "DT", "UMSDR"].into_iter().any(|flag| self.has(flag)) {
            return Some((Failure::Timeout, Phase::Waiting));
        }
        // `URX`: it was tried again as often as allowed.
        let answered = matches!(self.flags, "-" | "URX") && self.upstream != "-";
        Some(if answered {
            (Failure::Answered, Phase::Waiting)
        } else {
            (Failure::Unknown, Phase::Unknown)
        })
    }
}

/// What a transport's failure to connect says: `delayed_connect_error:_Connection_refused`, and in
/// older releases `delayed connect error: 111`.
fn connect_failure(transport: &str) -> Failure {
    const PHRASES: [(&str, Failure); 8] = [
        ("Connection refused", Failure::Refused),
        ("Connection timed out", Failure::Timeout),
        ("connection timeout", Failure::Timeout),
        ("No such file or directory", Failure::NoSocketFile),
        ("Permission denied", Failure::PermissionDenied),
        ("Resource temporarily unavailable", Failure::BacklogFull),
        ("No route to host", Failure::Unreachable),
        ("Network is unreachable", Failure::Unreachable),
    ];
    let says = |phrase: &str| {
        let same = |(byte, like): (&u8, &u8)| byte == like || (*byte == b'_' && *like == b' ');
        let mut windows = transport.as_bytes().windows(phrase.len());
        windows.any(|window| window.iter().zip(phrase.as_bytes()).all(same))
    };
    if let Some((_, failure)) = PHRASES.into_iter().find(|(phrase, _)| says(phrase)) {
        return failure;
    }
    let last = transport.rsplit([' ', '_', ':']).next();
    let errno = last.and_then(|word| word.parse().ok());
    errno.map_or(Failure::Unknown, fields::failure_of)
}

/// What the line about a request is.
pub(super) fn line_about(request: &Request<'_>, show_query: bool) -> Line {
    let Some(start) = WallTime::parse(request.start) else {
        // A time that is written in a way of its own: so may be the rest.
        return Line::Unreadable;
    };
    let Some((failure, phase)) = request.judge() else {
        return Line::Ignored;
    };
    let mut entry = fields::entry(ProxyKind::Envoy, failure, phase);
    entry.status = (request.status >= 100).then_some(request.status);
    entry.elapsed = request.elapsed.map(Duration::from_millis);
    entry.ended = entry
        .elapsed
        .and_then(|elapsed| start.after(elapsed + CUT_OFF));
    // Port 0: the address is the client's as a header has it.
    if let Ok(client) = request.client.parse::<SocketAddr>() {
        entry.client = Some(client.ip());
        entry.client_port = Some(client.port()).filter(|&port| port != 0);
    }
    entry.http1 = request
        .protocol
        .strip_prefix("HTTP/")
        .and_then(fields::http1);
    entry.upstream = match request.upstream {
        path if path.starts_with('/') => Some(Endpoint::unix(path.as_bytes())),
        address => fields::tcp(address),
    };
    if entry.upstream.is_none() && request.cluster != "-" {
        entry.upstream_name = fields::name(request.cluster);
    }
    let read = fields::request_of(request.method, request.target, true, show_query);
    if let Some(mut read) = read {
        read.host = fields::name(request.host).filter(|host| **host != *"-");
        let first = request.forwarded_for.split(',').next();
        let first: Option<IpAddr> = first.and_then(|first| first.trim().parse().ok());
        read.forwarded_for = first
            .filter(|&address| Some(address) != entry.client)
            .map(|address| address.to_string().into());
        entry.request = Some(read);
    }
    Line::Entry(Arc::new(entry))
}
