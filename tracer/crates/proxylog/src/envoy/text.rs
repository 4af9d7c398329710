//! The two text formats: Envoy's default, and Istio's. Nothing in a line is escaped: it is read from
//! both ends.

use super::request::{Request, are_flags, line_about, went_well};
use crate::line::Line;
use crate::text::{rsplit_once, split_once};

pub(super) fn parse(line: &str, show_query: bool) -> Line {
    let Some(head) = Head::parse(line) else {
        return if is_own(line) {
            Line::Notice
        } else {
            Line::Unreadable
        };
    };
    if went_well(head.status, head.flags) {
        return Line::Ignored;
    }
    let mut request = Request {
        start: head.start,
        method: head.method,
        target: head.target,
        protocol: head.protocol,
        status: head.status,
        flags: head.flags,
        ..Request::default()
    };
    let read = request
        .read_default(head.rest)
        .or_else(|| request.read_istio(head.rest));
    match read {
        Some(()) => line_about(&request, show_query),
        None => Line::Unreadable,
    }
}

/// What a line of both text formats begins with.
struct Head<'a> {
    start: &'a str,
    method: &'a str,
    target: &'a str,
    protocol: &'a str,
    status: u16,
    flags: &'a str,
    rest: &'a str,
}

impl<'a> Head<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (start, rest) = split_once(line.strip_prefix('[')?, b"] \"")?;
        let (method, rest) = split_once(rest, b" ")?;
        // A target can't have a space, but quotes.
        let (target, rest) = split_once(rest, b" ")?;
        let (protocol, rest) = split_once(rest, b"\" ")?;
        let (status, rest) = split_once(rest, b" ")?;
        let (flags, rest) = split_once(rest, b" ")?;
        let known = (protocol == "-" || protocol.starts_with("HTTP/")) && are_flags(flags);
        Some(Self {
            start,
            method,
            target,
            protocol,
            status: status.parse().ok().filter(|_| known)?,
            flags,
            rest,
        })
    }
}

/// Whether a line is of Envoy's own log: `[2026-11-27 21:08:55.767][13779][info][main] …`.
fn is_own(line: &str) -> bool {
    let Some((date, rest)) = line
        .strip_prefix('[')
        .and_then(|rest| split_once(rest, b"]["))
    else {
        return false;
    };
    let dated = date.len() >= 19 && date.bytes().all(|byte| b"0123456789-:. ".contains(&byte));
    let id = split_once(rest, b"][").map_or("", |(id, _)| id);
    dated && !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

impl<'a> Request<'a> {
    /// The default format, from its bytes on: `0 98 0 - "-" "agent" "id" "host" "upstream"`.
    fn read_default(&mut self, text: &'a str) -> Option<()> {
        let rest = self.read_numbers(text)?;
        self.read_quoted(rest)
    }

    /// Istio's: details and the transport's failure before that, and after it cluster, addresses,
    /// server name and route.
    fn read_istio(&mut self, text: &'a str) -> Option<()> {
        let (details, rest) = split_once(text, b" ")?;
        let (_termination, rest) = split_once(rest, b" \"")?;
        let (transport, rest) = split_once(rest, b"\" ")?;
        let rest = self.read_numbers(rest)?;
        let mut words = rest.rsplitn(7, ' ');
        let (_route, _server_name, client) = (words.next()?, words.next()?, words.next()?);
        let (_local, _own, cluster) = (words.next()?, words.next()?, words.next()?);
        (self.details, self.transport) = (details, transport);
        (self.client, self.cluster) = (client, cluster);
        self.read_quoted(words.next()?)
    }

    /// Bytes received and sent, duration, the upstream's own time. What follows begins with a quote.
    fn read_numbers(&mut self, text: &'a str) -> Option<&'a str> {
        let mut words = text.splitn(5, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (_received, _sent, elapsed) = (number()?, number()?, number()?);
        let upstreams = words.next()?;
        let is_time = upstreams == "-" || upstreams.bytes().all(|byte| byte.is_ascii_digit());
        self.elapsed = Some(elapsed);
        words.next().filter(|_| is_time)
    }

    /// X-Forwarded-For, agent, request id, host, upstream. The first two are the client's.
    fn read_quoted(&mut self, text: &'a str) -> Option<()> {
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        let (rest, upstream) = rsplit_once(inner, b"\" \"")?;
        let (rest, host) = rsplit_once(rest, b"\" \"")?;
        let (rest, _id) = rsplit_once(rest, b"\" \"")?;
        let (forwarded_for, _agent) = split_once(rest, b"\" \"")?;
        (self.upstream, self.host, self.forwarded_for) = (upstream, host, forwarded_for);
        Some(())
    }
}
