//! Apache's error log (2.4), its default format:
//!
//! `[Sun Nov 22 23:53:39.496415 2026] [proxy_http:error] [pid 6028:tid 6038] (104)Connection reset by
//! peer: [client 127.0.0.1:36332] AH01102: error reading status line from remote server
//! 127.0.0.1:9101`
//!
//! Messages are known by their numbers. A connection that fails takes two lines of one thread: the
//! first (`AH00957`) says where to and why, the second (`AH01114`) says whose request it was.
//! [`Threads`] makes one entry of them. No line has the method, and none of these has the request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tracer_model::{Endpoint, Failure, LogEntry, Phase, ProxyKind};

use crate::fields;
use crate::line::Line;
use crate::profile::{Fact, FailuresIn, LineFor, Memory, Profile};

pub(crate) const PROFILE: Profile = Profile {
    kind: ProxyKind::Apache,
    programs: &[
        "apache2",
        "httpd",
        "apache",
        "httpd-prefork",
        "httpd-worker",
        "httpd-event",
    ],
    failures_in: FailuresIn::ErrorLog,
    line_for: LineFor::AttemptByThread,
    says: &[
        Fact::UpstreamAddress,
        Fact::UpstreamName,
        Fact::Reason,
        Fact::Client,
        Fact::ClientPort,
        Fact::Worker,
    ],
    anonymous: false,
    delay: Duration::ZERO,
    // No line has a target with a query.
    read: |line, _| parse(line),
    is_elsewhere: |_| false,
    memory: Some(|| Box::new(Threads::default())),
};

/// First lines that wait for their second one.
const MAX_WAITING: usize = 64;
/// No pid or thread id of the kernel is larger; older Apaches write the address of the thread.
const MAX_ID: u64 = 1 << 22;

/// `APR_TIMEUP`.
const TIMED_OUT: &str = "70007";
/// `APR_INCOMPLETE`, `APR_EOF`, `APR_EGENERAL`: how the end of a connection is logged.
const ENDED: [&str; 3] = ["70008", "70014", "20014"];

/// Reads a line. A connection that failed is given as an entry without a client.
fn parse(line: &str) -> Line {
    let Some(head) = Head::parse(line) else {
        return Line::Unreadable;
    };
    let Some((before, number, message)) = numbered(head.text) else {
        return Line::Ignored;
    };
    let failure = error(before);
    let verdict = match number {
        // TCP, and a unix socket: no client. What was connected to comes first.
        "00957" | "02454" => Some((failure, Phase::Connecting)),
        // HTTP, FastCGI, AJP, WebSocket, SCGI, uwsgi, HTTP/2.
        "01114" | "01079" | "00896" | "02452" | "00866" | "10101" | "03352" => {
            Some((Failure::Unknown, Phase::Connecting))
        }
        // All workers of a balancer are in error state, or it has none.
        "01170" | "01167" | "01171" => Some((Failure::NoLiveUpstreams, Phase::Connecting)),
        // The status line, FastCGI's answer, SCGI's headers, AJP's; sending the request.
        "01102" | "01075" | "01074" | "01073" | "00860" | "00878" | "01084" | "00858" | "10098" => {
            Some((failure, Phase::Waiting))
        }
        "01110" => Some((failure, Phase::Answering)),
        "00898" => proxy_error(message),
        _ => None,
    };
    let Some((failure, phase)) = verdict else {
        return Line::Ignored;
    };
    let mut entry = fields::entry(ProxyKind::Apache, failure, phase);
    (entry.pid, entry.tid) = (id(head.pid), id(head.tid));
    if let Some((address, port)) = client(before) {
        (entry.client, entry.client_port) = (Some(address), port);
    }
    upstream(&mut entry, number, message);
    let first = matches!(number, "00957" | "02454");
    if !first && entry.client.is_none() {
        return Line::Ignored;
    }
    Line::Entry(Arc::new(entry))
}

/// `AH00898`: what made the proxy answer with an error of its own.
fn proxy_error(message: &str) -> Option<(Failure, Phase)> {
    if message.starts_with("Error reading from remote server") {
        // AH01102, the line before, has it.
        return None;
    }
    let unresolved = message.starts_with("DNS lookup failure for");
    Some(if unresolved {
        (Failure::Unreachable, Phase::Connecting)
    } else {
        (Failure::Unknown, Phase::Unknown)
    })
}

/// What every line begins with.
struct Head<'a> {
    pid: u64,
    /// 0 where processes have one thread.
    tid: u64,
    text: &'a str,
}

impl<'a> Head<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        const DAYS: [&str; 7] = ["Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "];
        let rest = line.strip_prefix('[')?;
        if !DAYS.iter().any(|day| rest.starts_with(day)) {
            return None;
        }
        let (_, rest) = rest.split_once("] [")?;
        let (_, rest) = rest.split_once("] [pid ")?;
        let (ids, text) = rest.split_once("] ")?;
        let (pid, tid) = ids.split_once(":tid ").unwrap_or((ids, "0"));
        Some(Self {
            pid: pid.parse().ok()?,
            tid: tid.parse().ok()?,
            text,
        })
    }
}

fn id(number: u64) -> Option<u32> {
    let small = number > 0 && number <= MAX_ID;
    u32::try_from(number).ok().filter(|_| small)
}

/// What is before `AH01102: `, the digits, and the message.
fn numbered(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find("AH") {
        let at = from + found;
        let after = &text[at + 2..];
        if let Some((number, message)) = after.split_at_checked(5)
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && let Some(message) = message.strip_prefix(": ")
        {
            return Some((&text[..at], number, message));
        }
        from = at + 2;
    }
    None
}

/// `(104)Connection reset by peer: `.
fn error(before: &str) -> Failure {
    let code = before
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'));
    match code.map(|(code, _)| code) {
        Some(TIMED_OUT) => Failure::Timeout,
        Some(code) if ENDED.contains(&code) => Failure::Cut,
        Some(code) => code.parse().map_or(Failure::Unknown, fields::failure_of),
        None => Failure::Unknown,
    }
}

/// `[client 127.0.0.1:36332] `, `[client ::1:36332] `.
fn client(before: &str) -> Option<(std::net::IpAddr, Option<u16>)> {
    let (_, rest) = before.split_once("[client ")?;
    let (client, _) = rest.split_once(']')?;
    if let Some((address, port)) = client.rsplit_once(':')
        && let (Ok(address), Ok(port)) = (address.parse(), port.parse())
    {
        return Some((address, Some(port)));
    }
    Some((client.parse().ok()?, None))
}

fn upstream(entry: &mut LogEntry, number: &str, message: &str) {
    let word = |text: &str| -> Option<String> {
        let word = text.split([' ', ',']).next()?;
        (!word.is_empty()).then(|| word.to_owned())
    };
    let named = match number {
        "00957" => message.split_once("attempt to connect to "),
        "02454" => {
            let socket = message.split_once("Unix domain socket ");
            let path = socket.and_then(|(_, rest)| rest.rsplit_once(" ("));
            entry.upstream = path.map(|(path, _)| Endpoint::unix(path.as_bytes()));
            None
        }
        "01102" => message.split_once("from remote server "),
        "01084" => message.split_once("request body failed to "),
        "00898" => message.split_once("DNS lookup failure for: "),
        "01170" | "01167" | "01171" => Some(("", message.split(": ").next().unwrap_or_default())),
        _ => message.split_once("failed to make connection to backend: "),
    };
    let Some(text) = named.and_then(|(_, rest)| word(rest)) else {
        return;
    };
    match fields::tcp(&text) {
        Some(address) => entry.upstream = Some(address),
        None => entry.upstream_name = fields::name(&text),
    }
}

/// The first lines of connections that failed, by thread.
#[derive(Debug, Default)]
struct Threads {
    waiting: VecDeque<((u64, u64), Arc<LogEntry>)>,
}

impl Memory for Threads {
    /// Keeps an entry without a client, and completes the one that follows it. The proxy's own
    /// checks of its upstreams have no second line: they become no entry.
    fn join(&mut self, line: &str, read: Line) -> Line {
        let Line::Entry(mut entry) = read else {
            return read;
        };
        let Some(head) = Head::parse(line) else {
            return Line::Unreadable;
        };
        let thread = (head.pid, head.tid);
        let waiting = self.waiting.iter().position(|(other, _)| *other == thread);
        let first = waiting.and_then(|index| self.waiting.remove(index));
        if entry.client.is_none() {
            if self.waiting.len() >= MAX_WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back((thread, entry));
            return Line::Ignored;
        }
        if let Some((_, first)) = first
            && (entry.failure, entry.phase) == (Failure::Unknown, Phase::Connecting)
        {
            let entry = Arc::make_mut(&mut entry);
            entry.failure = first.failure;
            entry.upstream.clone_from(&first.upstream);
            // `localhost` stands for the address that was tried, or for nothing.
            entry.upstream_name.clone_from(&first.upstream_name);
        }
        Line::Entry(entry)
    }
}
