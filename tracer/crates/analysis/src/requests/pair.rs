//! Which log lines and which exchange belong to the same request.
//!
//! - Lines and an exchange fit if they are of the same proxy and agree in everything that both have:
//!   the client's address (or X-Forwarded-For, where the proxy is configured to trust it) and port,
//!   method and target. If either lacks the client (a TLS session without its connection, Apache's
//!   first line), the worker's pid must be the same. If the line has neither client nor worker (Envoy's
//!   default format), both must have the same method and target.
//! - Of several that fit, lines read after the request began come first, then lines of the same
//!   worker and thread, then the oldest: identical concurrent requests are paired one to one, in
//!   order.
//! - nginx and Apache write no line about a request that the upstream itself answered.
//! - nginx writes one line per attempt. Lines of the same worker, connection and request with
//!   different upstreams are attempts of one request; the same upstream again is the next request.
//! - HTTP/2 and HTTP/3, and lines about a response that had begun, never have an exchange.

use std::iter;
use std::net::IpAddr;
use std::sync::Arc;

use tracer_model::{
    Actor, Endpoint, Failure, HttpExchange, LogEntry, NetNs, Phase, Pid, Request, Service,
    Timestamp,
};

use tracer_proxylog::{LineFor, Profile, profile_of};

use super::fingerprint::{Common, Fingerprint, Fingerprinter, Fingerprints, Search, Stems};
use crate::world::ServiceKey;

/// Attempts of a request that are kept.
const MAX_LINES: usize = 8;
/// The best rank of all.
pub(super) const BEST: u8 = 6;
/// The best rank of lines read before the request began.
pub(super) const BEST_STALE: u8 = BEST - FRESH;
const FRESH: u8 = 4;

/// An inbound exchange, its proxy and its lines.
pub(super) struct Inbound {
    pub proxy: Service,
    pub key: ServiceKey,
    pub netns: NetNs,
    /// The exchange's actor, if it belongs to the proxy.
    pub worker: Option<Actor>,
    /// The worker's pid, and its pid in its own namespace.
    pub pids: [Pid; 2],
    pub at: Timestamp,
    pub exchange: HttpExchange,
    pub attempts: Option<Attempts>,
    /// How long it waits, or is kept.
    pub until: Timestamp,
    /// What is known about the proxy whose log is followed.
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

    /// Whether a line about it may lack the client.
    fn may_be_anonymous(&self) -> bool {
        self.log.is_none_or(|profile| profile.anonymous)
    }

    /// The client in X-Forwarded-For.
    fn forwarded(&self) -> Option<IpAddr> {
        let header = self.exchange.request.as_ref()?.forwarded_for.as_deref()?;
        Some(header.parse::<IpAddr>().ok()?.to_canonical())
    }

    /// What its lines find it by.
    pub(super) fn fingerprints(&self, fingerprinter: &Fingerprinter) -> Fingerprints {
        let hash = |stem, common| Some(fingerprinter.hash(stem, &common));
        let stems = fingerprinter.stems(&self.key, self.exchange.request.as_ref());
        let (client, forwarded) = (self.client(), self.forwarded());
        [
            hash(stems.request, Common::Request(client.map(|(ip, _)| ip))),
            forwarded.and_then(|ip| hash(stems.request, Common::Request(Some(ip)))),
            hash(stems.bare, Common::Client(client)),
            forwarded.and_then(|ip| hash(stems.bare, Common::Forwarded(ip))),
            hash(stems.request, Common::Anybody)
                .filter(|_| stems.has_request && self.may_be_anonymous()),
        ]
    }

    /// Where its lines are.
    pub(super) fn search(&self, fingerprinter: &Fingerprinter) -> Search {
        let hash = |stem, common| Some(fingerprinter.hash(stem, &common));
        let stems = fingerprinter.stems(&self.key, self.exchange.request.as_ref());
        let (true, Some((ip, port))) = (stems.has_request, self.client()) else {
            return Search::Everywhere;
        };
        let forwarded = self.forwarded();
        Search::Under([
            hash(stems.request, Common::Request(Some(ip))),
            forwarded.and_then(|ip| hash(stems.request, Common::Request(Some(ip)))),
            hash(stems.bare, Common::Client(Some((ip, port)))),
            forwarded.and_then(|ip| hash(stems.bare, Common::Forwarded(ip))),
            hash(stems.bare, Common::Bare),
            hash(stems.request, Common::Anybody),
        ])
    }
}

/// What lines prove without an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proof {
    /// Nothing: a further attempt may have succeeded.
    Nothing,
    /// That the request failed.
    Failure,
    /// That the request failed, and no other witness can report it.
    OnlyWitness,
}

/// A proxy, shared by all lines of its logs.
pub(super) struct Proxy {
    pub service: Service,
    pub key: ServiceKey,
}

/// A line, and when it was read.
type Line = (Timestamp, Arc<LogEntry>);

/// The log lines of one request, at most [`MAX_LINES`].
pub(super) struct Attempts {
    pub proxy: Arc<Proxy>,
    first: Line,
    /// Few requests have any.
    further: Vec<Line>,
    /// Whether the first line's time is when its request ended, not when it was read.
    pub timed: bool,
    /// What their fingerprints begin with.
    stems: Stems,
    /// What the first line has in common with the next line of the same request; None: there can be
    /// no next line.
    pub continued: Option<Fingerprint>,
    /// What they prove if no exchange turns up.
    pub proof: Proof,
    /// How long they wait.
    pub until: Timestamp,
}

impl Attempts {
    pub(super) fn new(
        fingerprinter: &Fingerprinter,
        proxy: Arc<Proxy>,
        at: Timestamp,
        entry: Arc<LogEntry>,
        proof: Proof,
    ) -> Self {
        let stems = fingerprinter.stems(&proxy.key, entry.request.as_ref());
        Self {
            continued: continued(fingerprinter, stems, &entry),
            proxy,
            first: (at, entry),
            further: Vec::new(),
            timed: false,
            stems,
            proof,
            until: at,
        }
    }

    fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> + Clone {
        iter::once(&self.first).chain(&self.further)
    }

    fn last_line(&self) -> &Line {
        self.further.last().unwrap_or(&self.first)
    }

    /// Whether nothing more can follow: the request was over when its line was written, and no other
    /// witness follows it.
    pub(super) fn is_over(&self) -> bool {
        self.proof == Proof::OnlyWitness && self.last().status.is_some()
    }

    /// Whether the line is about a whole request that failed and was over when the line was written. An
    /// exchange of the same request ended earlier.
    pub(super) fn is_final(&self) -> bool {
        let last = self.last();
        let profile = last.format.and_then(profile_of);
        self.proof != Proof::Nothing
            && last.status.is_some()
            && profile.is_some_and(|profile| profile.line_for == LineFor::Request)
    }

    /// The decisive line: of the last attempt.
    pub(super) fn decisive(&self) -> &LogEntry {
        let mut latest = self.lines().rev();
        latest
            .find(|(_, entry)| entry.upstream.is_some())
            .map_or_else(|| self.last(), |(_, entry)| entry)
    }

    pub(super) fn last(&self) -> &LogEntry {
        &self.last_line().1
    }

    /// When the request of the last of them ended or, where that is unknown, when it was read.
    pub(super) fn at(&self) -> Timestamp {
        self.last_line().0
    }

    /// How the request failed: from the decisive line, else from any.
    pub(super) fn failure(&self) -> Failure {
        let known = |failure: &Failure| *failure != Failure::Unknown;
        let mut others = self.lines().rev().map(|(_, entry)| entry.failure);
        Some(self.decisive().failure)
            .filter(known)
            .or_else(|| others.find(known))
            .unwrap_or(Failure::Unknown)
    }

    /// The status that the client got. Unknown if the client already had the response's header.
    pub(super) fn status(&self) -> Option<u16> {
        let passing_on = self.last().phase == Phase::Answering;
        self.decisive().status.filter(|_| !passing_on)
    }

    /// A property, from the first line that has it.
    pub(super) fn first_known<'a, T>(
        &'a self,
        what: impl Fn(&'a LogEntry) -> Option<T>,
    ) -> Option<T> {
        self.lines().find_map(|(_, entry)| what(entry))
    }

    fn request(&self) -> Option<&Request> {
        self.first_known(|entry| entry.request.as_ref())
    }

    fn client(&self) -> Option<(IpAddr, Option<u16>)> {
        self.first_known(|entry| Some((entry.client?.to_canonical(), entry.client_port)))
    }

    /// Whether the lines have a request, but neither its client nor its worker.
    fn is_anonymous(&self) -> bool {
        let anonymous = |(_, it): &Line| it.pid.is_none() && it.client.is_none();
        self.lines().all(anonymous) && self.request().is_some()
    }

    /// Adds `next`, which belongs to the same request.
    pub(super) fn append(&mut self, next: Self) {
        if self.request().is_none() {
            self.stems = next.stems;
        }
        self.further.push(next.first);
        self.further.extend(next.further);
        self.proof = self.proof.max(next.proof);
    }

    /// Whether the kernel or the TLS library may have witnessed the same request.
    pub(super) fn may_pair(&self) -> bool {
        let last = self.last();
        last.phase != Phase::Answering && last.http1 != Some(false)
    }

    /// Whether `next` belongs to the same request.
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
            // First the upstream and the error, then the client; or an attempt at another upstream.
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

    /// What their exchange finds them by.
    pub(super) fn fingerprints(&self, fingerprinter: &Fingerprinter) -> Fingerprints {
        let hash = |stem, common| Some(fingerprinter.hash(stem, &common));
        let stems = self.stems;
        match (self.client(), stems.has_request) {
            (Some((ip, _)), true) => {
                let request = hash(stems.request, Common::Request(Some(ip)));
                [request, None, None, None, None]
            }
            (Some((ip, Some(port))), false) => {
                let client = hash(stems.bare, Common::Client(Some((ip, port))));
                let forwarded = hash(stems.bare, Common::Forwarded(ip));
                [client, forwarded, None, None, None]
            }
            (None, true) if self.is_anonymous() => {
                let anybody = hash(stems.request, Common::Anybody);
                [anybody, None, None, None, None]
            }
            _ => [hash(stems.bare, Common::Bare), None, None, None, None],
        }
    }

    /// Where their exchange is.
    pub(super) fn search(&self, fingerprinter: &Fingerprinter) -> Search {
        let hash = |stem, common| Some(fingerprinter.hash(stem, &common));
        let stems = self.stems;
        match (self.client(), stems.has_request) {
            (Some((ip, _)), true) => Search::Under([
                hash(stems.request, Common::Request(Some(ip))),
                hash(stems.bare, Common::Request(Some(ip))),
                hash(stems.request, Common::Request(None)),
                hash(stems.bare, Common::Request(None)),
                None,
                None,
            ]),
            (Some((ip, Some(port))), false) => Search::Under([
                hash(stems.bare, Common::Client(Some((ip, port)))),
                hash(stems.bare, Common::Client(None)),
                hash(stems.bare, Common::Forwarded(ip)),
                None,
                None,
                None,
            ]),
            (None, true) if self.is_anonymous() => {
                let anybody = hash(stems.request, Common::Anybody);
                Search::Under([anybody, None, None, None, None, None])
            }
            _ => Search::Everywhere,
        }
    }

    /// How well they fit an exchange, at most [`BEST`]; None if they do not.
    pub(super) fn fits(&self, inbound: &Inbound) -> Option<u8> {
        let exchange = &inbound.exchange;
        if self.proxy.key != inbound.key || !self.may_pair() {
            return None;
        }
        let pid = self.first_known(|entry| entry.pid);
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
            // The lines have nothing but the request, so that must be the same.
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

/// What a line has in common with the next line of the same request.
fn continued(fingerprinter: &Fingerprinter, stems: Stems, entry: &LogEntry) -> Option<Fingerprint> {
    let common = Common::Continued(entry.pid?, entry.tid, entry.connection);
    Some(fingerprinter.hash(stems.request, &common))
}

/// Whether both have the same method and target; either target may be truncated.
pub(super) fn is_same_request(a: &Request, b: &Request) -> bool {
    let cut = |target: &'_ str, whole: &str| {
        target
            .strip_suffix('…')
            .is_some_and(|start| whole.starts_with(start))
    };
    a.method == b.method
        && (a.target == b.target || cut(&a.target, &b.target) || cut(&b.target, &a.target))
}
