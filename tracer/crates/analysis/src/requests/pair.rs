//! Which log lines and which exchange are about the same request.
//!
//! - Lines and an exchange fit when they are of the same proxy and nothing that both tell differs:
//!   the client's address (or the X-Forwarded-For that the proxy was told to believe) and port,
//!   method and target. Where one of them doesn't tell the client (a TLS session without its
//!   connection, Apache's first line), the worker's pid must be the same; where the line has neither
//!   (Envoy's default format), both must have method and target, and the same ones.
//! - Of several that fit, those that were not read before the request began go first, then those of
//!   the same worker and thread, then the oldest: identical concurrent requests are paired one to
//!   one in order.
//! - nginx and Apache write nothing about a request that an upstream answered.
//! - nginx writes a line per attempt. Lines of the same worker, connection and request with
//!   different upstreams are attempts of one request; the same upstream again is the next request.
//! - HTTP/2 and HTTP/3, and lines about an answer that was under way, never have an exchange.

use std::iter;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use tracer_model::{
    Actor, Endpoint, Failure, HttpExchange, LogEntry, NetNs, Phase, Pid, Request, Service,
    Timestamp,
};
use tracer_proxylog::{LineFor, Profile, profile_of};

use super::shelf::{Mark, Marks};
use crate::world::ServiceKey;

/// Attempts of a request that are kept.
const MAX_LINES: usize = 8;
/// Nothing fits better.
pub(super) const BEST: u8 = 6;
/// Nothing that was read before the request began fits better.
pub(super) const BEST_STALE: u8 = BEST - FRESH;
const FRESH: u8 = 4;

/// An inbound exchange, and what was found out about it.
pub(super) struct Inbound {
    pub proxy: Service,
    pub key: ServiceKey,
    pub netns: NetNs,
    /// The exchange's actor, when it belongs to the proxy.
    pub worker: Option<Actor>,
    /// Its pid, and that in its own namespace.
    pub pids: [Pid; 2],
    pub at: Timestamp,
    pub exchange: HttpExchange,
    pub attempts: Option<Attempts>,
    /// Until when it waits, or is remembered.
    pub until: Timestamp,
    /// What is known of the proxy whose log is followed.
    pub log: Option<&'static Profile>,
}

impl Inbound {
    pub(super) fn new(
        proxy: Service,
        key: ServiceKey,
        netns: NetNs,
        worker: Option<Actor>,
        pids: [Pid; 2],
        at: Timestamp,
        exchange: HttpExchange,
    ) -> Self {
        Self {
            proxy,
            key,
            netns,
            worker,
            pids,
            at,
            exchange,
            attempts: None,
            until: at,
            log: None,
        }
    }

    /// The other end of its connection.
    fn client(&self) -> Option<(IpAddr, u16)> {
        match &self.exchange.remote {
            Some(Endpoint::Tcp(remote)) => Some((remote.ip(), remote.port())),
            _ => None,
        }
    }

    /// Whether a line may not have its client.
    fn may_be_anybodys(&self) -> bool {
        self.log.is_none_or(|profile| profile.anonymous)
    }

    /// The client that the proxy was told of.
    fn forwarded(&self) -> Option<IpAddr> {
        let header = self.exchange.request.as_ref()?.forwarded_for.as_deref()?;
        Some(header.parse::<IpAddr>().ok()?.to_canonical())
    }
}

/// What lines are worth without an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// The request was tried again with success.
    Nothing,
    /// It failed.
    Proof,
    /// It failed, and nobody else can tell of it.
    All,
}

/// A proxy, shared by all lines of its logs.
pub(super) struct Proxy {
    pub service: Service,
    pub key: ServiceKey,
}

/// A line, and when its request ended or, where that isn't known, when it was read.
type Line = (Timestamp, Arc<LogEntry>);

/// The log lines of one request, at most [`MAX_LINES`].
pub(super) struct Attempts {
    pub proxy: Arc<Proxy>,
    first: Line,
    /// Few requests have any.
    further: Vec<Line>,
    /// Whether the first line's time is that of the request, not that of its reading.
    pub timed: bool,
    /// What their marks are made of.
    stems: Stems,
    /// What the first line has in common with the next of the same request; None: there is no next.
    pub continued: Option<Mark>,
    /// What they are worth when no exchange turns up.
    pub worth: Worth,
    /// Until when they wait.
    pub until: Timestamp,
}

impl Attempts {
    pub(super) fn new(
        marker: &Marker,
        proxy: Arc<Proxy>,
        at: Timestamp,
        entry: Arc<LogEntry>,
        worth: Worth,
    ) -> Self {
        let stems = marker.stems(&proxy.key, entry.request.as_ref());
        Self {
            continued: marker.continued(stems, &entry),
            proxy,
            first: (at, entry),
            further: Vec::new(),
            timed: false,
            stems,
            worth,
            until: at,
        }
    }

    fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> + Clone {
        iter::once(&self.first).chain(&self.further)
    }

    fn last_line(&self) -> &Line {
        self.further.last().unwrap_or(&self.first)
    }

    /// Whether nothing more can come: the request was over when its line was written, and no other
    /// witness follows it.
    pub(super) fn is_over(&self) -> bool {
        self.worth == Worth::All && self.last().status.is_some()
    }

    /// Whether the line is about a whole request that failed and was over when it was written. An
    /// exchange of the same request ended earlier.
    pub(super) fn is_final(&self) -> bool {
        let last = self.last();
        let profile = last.format.and_then(profile_of);
        self.worth != Worth::Nothing
            && last.status.is_some()
            && profile.is_some_and(|profile| profile.line_for == LineFor::Request)
    }

    /// The line that tells how it ended: the last attempt's.
    pub(super) fn decisive(&self) -> &LogEntry {
        let mut latest = self.lines().rev();
        latest
            .find(|(_, entry)| entry.upstream.is_some())
            .map_or_else(|| self.last(), |(_, entry)| entry)
    }

    pub(super) fn last(&self) -> &LogEntry {
        &self.last_line().1
    }

    /// When the request of the last of them ended, or when that was read.
    pub(super) fn at(&self) -> Timestamp {
        self.last_line().0
    }

    /// How it failed: as the decisive line tells, else as any does.
    pub(super) fn failure(&self) -> Failure {
        let known = |failure: &Failure| *failure != Failure::Unknown;
        let mut others = self.lines().rev().map(|(_, entry)| entry.failure);
        Some(self.decisive().failure)
            .filter(known)
            .or_else(|| others.find(known))
            .unwrap_or(Failure::Unknown)
    }

    /// What the first line that tells it says.
    pub(super) fn tell<'a, T>(&'a self, what: impl Fn(&'a LogEntry) -> Option<T>) -> Option<T> {
        self.lines().find_map(|(_, entry)| what(entry))
    }

    fn request(&self) -> Option<&Request> {
        self.tell(|entry| entry.request.as_ref())
    }

    fn client(&self) -> Option<(IpAddr, Option<u16>)> {
        self.tell(|entry| Some((entry.client?.to_canonical(), entry.client_port)))
    }

    /// Whether the lines have a request, but neither its client nor its worker.
    fn is_anonymous(&self) -> bool {
        let lines = self
            .lines()
            .all(|(_, it)| it.pid.is_none() && it.client.is_none());
        lines && self.request().is_some()
    }

    /// `next` is about the same request.
    pub(super) fn append(&mut self, next: Self) {
        if self.request().is_none() {
            self.stems = next.stems;
        }
        self.further.push(next.first);
        self.further.extend(next.further);
        self.worth = self.worth.max(next.worth);
    }

    /// Whether the kernel's or the TLS library's witness may have seen the same request.
    pub(super) fn may_pair(&self) -> bool {
        let last = self.last();
        last.phase != Phase::Answering && last.http1 != Some(false)
    }

    /// Whether `next` is about the same request.
    pub(super) fn continues(&self, next: &Self) -> bool {
        let (first, entry) = (self.last(), next.last());
        if self.proxy.key != next.proxy.key
            || 1 + self.further.len() >= MAX_LINES
            || (first.pid, first.tid) != (entry.pid, entry.tid)
            || entry.pid.is_none()
        {
            return false;
        }
        let same = |(_, line): &Line| {
            (&line.upstream, &line.upstream_name) == (&entry.upstream, &entry.upstream_name)
        };
        match entry.format.and_then(profile_of).map(|it| it.line_for) {
            Some(LineFor::AttemptOnConnection) => {
                first.connection.is_some()
                    && first.connection == entry.connection
                    && !self.lines().any(same)
                    && first.client == entry.client
                    && first.request == entry.request
            }
            // Where to and why, then whose request it was; or an attempt at another upstream.
            Some(LineFor::AttemptByThread) => match self.client() {
                None => entry.client.is_some() && entry.upstream.is_none(),
                Some((ip, port)) => {
                    port.is_some()
                        && (Some(ip), port) == (entry.client, entry.client_port)
                        && !self.lines().any(same)
                }
            },
            Some(LineFor::Request) | None => false,
        }
    }

    /// How well they fit an exchange, at most [`BEST`]; None: not at all.
    pub(super) fn fits(&self, inbound: &Inbound) -> Option<u8> {
        let exchange = &inbound.exchange;
        if self.proxy.key != inbound.key || !self.may_pair() {
            return None;
        }
        let pid = self.tell(|entry| entry.pid);
        let worker = inbound
            .worker
            .filter(|_| pid.is_some_and(|pid| inbound.pids.contains(&pid)));
        match (self.client(), inbound.client()) {
            (Some((ip, port)), Some(remote)) => {
                let direct = (ip, port.unwrap_or(remote.1)) == remote;
                if !direct && inbound.forwarded() != Some(ip) {
                    return None;
                }
            }
            _ if worker.is_some() => {}
            // The lines have nothing but the request: that must be the same.
            (None, _) if self.is_anonymous() => {
                exchange.request.as_ref()?;
            }
            _ => return None,
        }
        if let (Some(logged), Some(seen)) = (self.request(), &exchange.request)
            && !is_same_request(logged, seen)
        {
            return None;
        }
        let thread = worker.is_some_and(|worker| self.last().tid == Some(worker.tid));
        let fresh = self.at() >= exchange.began;
        Some(FRESH * u8::from(fresh) + u8::from(worker.is_some()) + u8::from(thread))
    }
}

/// Hashes what lines and exchanges have in common, so that those of a request are found among
/// thousands that wait. [`Attempts::fits`] and [`Attempts::continues`] decide.
#[derive(Default)]
pub(super) struct Marker(RandomState);

/// Hashes of what most marks of a line or exchange have in common, so that it is read once.
#[derive(Clone, Copy)]
struct Stems {
    /// Of the proxy's requests of which nothing is told.
    bare: Mark,
    /// Of its requests with this method and beginning of the target; as `bare` when those are not
    /// told.
    request: Mark,
    /// Whether they are.
    told: bool,
}

/// What a mark is of besides a stem. What is not told is None.
#[derive(Hash)]
enum Common {
    /// The client.
    Request(Option<IpAddr>),
    /// A client that the line does not have.
    Anybody,
    /// The connection's other end.
    Client(Option<(IpAddr, u16)>),
    /// The client that the proxy was told of.
    Forwarded(IpAddr),
    /// Lines that tell neither a request with its client nor a client with its port.
    Bare,
    /// Worker and connection.
    Continued(Pid, Option<Pid>, Option<u64>),
}

/// Where lines may find their exchange, or it them.
pub(super) enum Places {
    Marked([Option<Mark>; 6]),
    Anywhere,
}

impl Marker {
    fn stems(&self, key: &ServiceKey, request: Option<&Request>) -> Stems {
        let bare = self.0.hash_one(key);
        let beginning = request.and_then(beginning);
        Stems {
            bare,
            request: beginning.map_or(bare, |beginning| self.0.hash_one((bare, beginning))),
            told: beginning.is_some(),
        }
    }

    fn mark(&self, stem: Mark, common: &Common) -> Mark {
        self.0.hash_one((stem, common))
    }

    /// What an exchange is found by.
    pub(super) fn of_exchange(&self, inbound: &Inbound) -> Marks {
        let mark = |stem, common| Some(self.mark(stem, &common));
        let stems = self.stems(&inbound.key, inbound.exchange.request.as_ref());
        let (client, forwarded) = (inbound.client(), inbound.forwarded());
        [
            mark(stems.request, Common::Request(client.map(|(ip, _)| ip))),
            forwarded.and_then(|ip| mark(stems.request, Common::Request(Some(ip)))),
            mark(stems.bare, Common::Client(client)),
            forwarded.and_then(|ip| mark(stems.bare, Common::Forwarded(ip))),
            mark(stems.request, Common::Anybody)
                .filter(|_| stems.told && inbound.may_be_anybodys()),
        ]
    }

    /// Where the exchange of these lines is.
    pub(super) fn exchange_of(&self, attempts: &Attempts) -> Places {
        let mark = |stem, common| Some(self.mark(stem, &common));
        let stems = attempts.stems;
        match (attempts.client(), stems.told) {
            (Some((ip, _)), true) => Places::Marked([
                mark(stems.request, Common::Request(Some(ip))),
                mark(stems.bare, Common::Request(Some(ip))),
                mark(stems.request, Common::Request(None)),
                mark(stems.bare, Common::Request(None)),
                None,
                None,
            ]),
            (Some((ip, Some(port))), false) => Places::Marked([
                mark(stems.bare, Common::Client(Some((ip, port)))),
                mark(stems.bare, Common::Client(None)),
                mark(stems.bare, Common::Forwarded(ip)),
                None,
                None,
                None,
            ]),
            (None, true) if attempts.is_anonymous() => {
                let anybody = mark(stems.request, Common::Anybody);
                Places::Marked([anybody, None, None, None, None, None])
            }
            _ => Places::Anywhere,
        }
    }

    /// What lines are found by.
    pub(super) fn of_attempts(&self, attempts: &Attempts) -> Marks {
        let mark = |stem, common| Some(self.mark(stem, &common));
        let stems = attempts.stems;
        match (attempts.client(), stems.told) {
            (Some((ip, _)), true) => {
                let request = mark(stems.request, Common::Request(Some(ip)));
                [request, None, None, None, None]
            }
            (Some((ip, Some(port))), false) => {
                let client = mark(stems.bare, Common::Client(Some((ip, port))));
                let forwarded = mark(stems.bare, Common::Forwarded(ip));
                [client, forwarded, None, None, None]
            }
            (None, true) if attempts.is_anonymous() => {
                let anybody = mark(stems.request, Common::Anybody);
                [anybody, None, None, None, None]
            }
            _ => [mark(stems.bare, Common::Bare), None, None, None, None],
        }
    }

    /// Where the lines of this exchange are.
    pub(super) fn attempts_of(&self, inbound: &Inbound) -> Places {
        let mark = |stem, common| Some(self.mark(stem, &common));
        let stems = self.stems(&inbound.key, inbound.exchange.request.as_ref());
        let (true, Some((ip, port))) = (stems.told, inbound.client()) else {
            return Places::Anywhere;
        };
        let forwarded = inbound.forwarded();
        Places::Marked([
            mark(stems.request, Common::Request(Some(ip))),
            forwarded.and_then(|ip| mark(stems.request, Common::Request(Some(ip)))),
            mark(stems.bare, Common::Client(Some((ip, port)))),
            forwarded.and_then(|ip| mark(stems.bare, Common::Forwarded(ip))),
            mark(stems.bare, Common::Bare),
            mark(stems.request, Common::Anybody),
        ])
    }

    fn continued(&self, stems: Stems, entry: &LogEntry) -> Option<Mark> {
        let common = Common::Continued(entry.pid?, entry.tid, entry.connection);
        Some(self.mark(stems.request, &common))
    }
}

/// A request's method and the beginning of its target, which may be cut off in what one of them
/// tells; None when less than that was kept.
fn beginning(request: &Request) -> Option<(&str, &[u8])> {
    const KEPT: usize = 64;
    let target = match request.target.strip_suffix('…') {
        Some(stem) if stem.len() < KEPT => return None,
        _ => request.target.as_bytes(),
    };
    Some((&request.method, &target[..target.len().min(KEPT)]))
}

/// Whether both have the same method and target; either target may be cut off.
pub(super) fn is_same_request(a: &Request, b: &Request) -> bool {
    let cut = |target: &'_ str, whole: &str| {
        target
            .strip_suffix('…')
            .is_some_and(|start| whole.starts_with(start))
    };
    a.method == b.method
        && (a.target == b.target || cut(&a.target, &b.target) || cut(&b.target, &a.target))
}
