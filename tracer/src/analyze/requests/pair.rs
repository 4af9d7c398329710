//! Which log lines and which exchange are about the same request.
//!
//! - Lines and an exchange fit when they are of the same proxy and nothing that both tell differs:
//!   the client's address (or the X-Forwarded-For that the proxy was told to believe) and port,
//!   method and target. Where one of them doesn't tell the client (a TLS session without its
//!   connection, Apache's first line), the worker's pid must be the same.
//! - Of several that fit, those that were not read before the request began go first, then those of
//!   the same worker and thread, then the oldest: identical concurrent requests are paired one to
//!   one in order.
//! - nginx and Apache write nothing about a request that an upstream answered.
//! - nginx writes a line per attempt. Lines of the same worker, connection and request with
//!   different upstreams are attempts of one request; the same upstream again is the next request.
//! - HTTP/2 and HTTP/3, and lines about an answer that was under way, never have an exchange.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::analyze::earliest::Earliest;
use crate::analyze::world::ServiceKey;
use crate::model::{
    Actor, Endpoint, Failure, HttpExchange, LogEntry, NetNs, Phase, Pid, ProxyKind, Request,
    Service, Timestamp,
};

/// An exchange waits this long for its lines.
const EXCHANGE_HOLD: Duration = Duration::from_millis(100);
/// Lines wait this long for their exchange.
const LINE_HOLD: Duration = Duration::from_secs(1);
/// A line this much later than the exchange that was told without it is still of it.
const TOLD_FOR: Duration = Duration::from_secs(3);
/// Exchanges that wait; more are told at once.
const MAX_HELD: usize = 4096;
/// Requests of which lines wait; more are decided at once.
const MAX_ATTEMPTS: usize = 4096;
/// Exchanges remembered after they were told; the oldest go first.
const MAX_TOLD: usize = 4096;
/// Attempts of a request that are kept.
const MAX_LINES: usize = 8;

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
    until: Timestamp,
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
        }
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

/// The log lines of one request.
pub(super) struct Attempts {
    pub proxy: Service,
    pub key: ServiceKey,
    /// Never empty; at most [`MAX_LINES`].
    lines: Vec<(Timestamp, LogEntry)>,
    /// What they are worth when no exchange turns up.
    pub worth: Worth,
    until: Timestamp,
}

impl Attempts {
    pub(super) fn new(
        proxy: Service,
        key: ServiceKey,
        at: Timestamp,
        entry: LogEntry,
        worth: Worth,
    ) -> Self {
        Self {
            proxy,
            key,
            lines: vec![(at, entry)],
            worth,
            until: at,
        }
    }

    /// Whether nothing more can come: the request was over when its line was written, and no other
    /// witness follows it.
    fn is_over(&self) -> bool {
        self.worth == Worth::All && self.last().status.is_some()
    }

    /// The line that tells how it ended: the last attempt's.
    pub(super) fn decisive(&self) -> &LogEntry {
        let mut lines = self.lines.iter().rev().map(|(_, entry)| entry);
        lines
            .clone()
            .find(|entry| entry.upstream.is_some())
            .or_else(|| lines.next())
            .unwrap_or_else(|| self.last())
    }

    pub(super) fn last(&self) -> &LogEntry {
        // There is always a first line.
        self.lines
            .last()
            .map_or(&self.lines[0].1, |(_, entry)| entry)
    }

    /// When the last of them was read.
    pub(super) fn at(&self) -> Timestamp {
        self.lines.last().map_or(self.until, |(at, _)| *at)
    }

    /// How it failed: as the decisive line tells, else as any does.
    pub(super) fn failure(&self) -> Failure {
        let known = |failure: &Failure| *failure != Failure::Unknown;
        let mut others = self.lines.iter().rev().map(|(_, entry)| entry.failure);
        Some(self.decisive().failure)
            .filter(known)
            .or_else(|| others.find(known))
            .unwrap_or(Failure::Unknown)
    }

    /// What the first line that tells it says.
    pub(super) fn tell<'a, T>(&'a self, what: impl Fn(&'a LogEntry) -> Option<T>) -> Option<T> {
        self.lines.iter().find_map(|(_, entry)| what(entry))
    }

    fn client(&self) -> Option<(IpAddr, Option<u16>)> {
        self.tell(|entry| Some((entry.client?.to_canonical(), entry.client_port)))
    }

    /// Whether the kernel's or the TLS library's witness may have seen the same request.
    fn may_pair(&self) -> bool {
        let last = self.last();
        last.phase != Phase::Answering && last.http1 != Some(false)
    }

    /// Whether `entry` is about the same request.
    fn continues(&self, key: &ServiceKey, entry: &LogEntry) -> bool {
        let first = self.last();
        if self.key != *key
            || self.lines.len() >= MAX_LINES
            || (first.pid, first.tid) != (entry.pid, entry.tid)
            || entry.pid.is_none()
        {
            return false;
        }
        let same = |(_, line): &(Timestamp, LogEntry)| {
            (&line.upstream, &line.upstream_name) == (&entry.upstream, &entry.upstream_name)
        };
        match entry.format {
            ProxyKind::Nginx => {
                first.connection.is_some()
                    && first.connection == entry.connection
                    && first.request == entry.request
                    && first.client == entry.client
                    && !self.lines.iter().any(same)
            }
            // Where to and why, then whose request it was; or an attempt at another upstream.
            ProxyKind::Apache => match self.client() {
                None => entry.client.is_some() && entry.upstream.is_none(),
                Some((ip, port)) => {
                    port.is_some()
                        && (Some(ip), port) == (entry.client, entry.client_port)
                        && !self.lines.iter().any(same)
                }
            },
            _ => false,
        }
    }

    /// How well they fit an exchange; None: not at all.
    fn fits(&self, inbound: &Inbound) -> Option<u8> {
        let exchange = &inbound.exchange;
        if self.key != inbound.key || !self.may_pair() {
            return None;
        }
        let pid = self.tell(|entry| entry.pid);
        let worker = inbound
            .worker
            .filter(|_| pid.is_some_and(|pid| inbound.pids.contains(&pid)));
        match (self.client(), &exchange.remote) {
            (Some((ip, port)), Some(Endpoint::Tcp(remote))) => {
                let direct = ip == remote.ip() && port.is_none_or(|port| port == remote.port());
                let forwarded = || {
                    let header = exchange.request.as_ref()?.forwarded_for.as_deref()?;
                    header.parse::<IpAddr>().ok()
                };
                if !direct && forwarded().is_none_or(|header| header.to_canonical() != ip) {
                    return None;
                }
            }
            _ if worker.is_none() => return None,
            _ => {}
        }
        let logged = self.tell(|entry| entry.request.as_ref());
        if let (Some(logged), Some(seen)) = (logged, &exchange.request)
            && !is_same_request(logged, seen)
        {
            return None;
        }
        let thread = worker.is_some_and(|worker| self.last().tid == Some(worker.tid));
        let fresh = self.at() >= exchange.began;
        Some(4 * u8::from(fresh) + u8::from(worker.is_some()) + u8::from(thread))
    }
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

/// Which lines there can be about an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// None.
    None,
    /// Those that were read: no log is known to be followed.
    WereRead,
    /// Those, or some that are still to be read.
    MayFollow,
}

/// What is decided.
pub(super) enum Decided {
    /// A request that a witness saw, with its lines if there are any.
    Seen(Box<Inbound>),
    /// A request that only the log tells of.
    Logged(Attempts),
}

/// Exchanges and lines that wait for each other.
#[derive(Default)]
pub(super) struct Waiting {
    exchanges: VecDeque<Inbound>,
    attempts: VecDeque<Attempts>,
    attempts_due: Earliest,
    /// Exchanges that were told without a line although one could have come.
    told: VecDeque<Inbound>,
}

impl Waiting {
    pub(super) fn due(&self) -> Option<Timestamp> {
        // All exchanges are held as long: the first is due first.
        let exchange = self.exchanges.front().map(|inbound| inbound.until);
        [exchange, self.attempts_due.get()]
            .into_iter()
            .flatten()
            .min()
    }

    /// An exchange ended.
    pub(super) fn exchange(
        &mut self,
        mut inbound: Inbound,
        lines: Lines,
        now: Timestamp,
        out: &mut Vec<Decided>,
    ) {
        if lines != Lines::None
            && let Some(index) = best(self.attempts.iter().map(|one| one.fits(&inbound)))
        {
            inbound.attempts = self.attempts.remove(index);
            out.push(Decided::Seen(Box::new(inbound)));
            return;
        }
        if lines != Lines::MayFollow {
            out.push(Decided::Seen(Box::new(inbound)));
            return;
        }
        inbound.until = now.after(EXCHANGE_HOLD);
        self.exchanges.push_back(inbound);
        if self.exchanges.len() > MAX_HELD
            && let Some(oldest) = self.exchanges.pop_front()
        {
            self.tell(oldest, now, out);
        }
    }

    /// A line was read.
    pub(super) fn line(&mut self, mut line: Attempts, now: Timestamp, out: &mut Vec<Decided>) {
        let (key, (at, entry)) = (&line.key, &line.lines[0]);
        let of_held = self
            .exchanges
            .iter_mut()
            .filter_map(|inbound| inbound.attempts.as_mut());
        if let Some(known) = of_held
            .chain(&mut self.attempts)
            .find(|known| known.continues(key, entry))
        {
            known.lines.push((*at, entry.clone()));
            known.worth = known.worth.max(line.worth);
            return;
        }
        let open = |inbound: &Inbound| {
            inbound
                .attempts
                .is_none()
                .then(|| line.fits(inbound))
                .flatten()
        };
        if let Some(index) = best(self.exchanges.iter().map(open)) {
            // It stays for what is left of its time: further attempts may follow.
            self.exchanges[index].attempts = Some(line);
            return;
        }
        line.until = now.after(if line.is_over() {
            EXCHANGE_HOLD
        } else {
            LINE_HOLD
        });
        self.attempts_due.add(line.until);
        self.attempts.push_back(line);
        if self.attempts.len() > MAX_ATTEMPTS
            && let Some(oldest) = self.attempts.pop_front()
        {
            self.give_up(oldest, out);
        }
    }

    /// Decides what need not wait any longer.
    pub(super) fn advance(&mut self, now: Timestamp, out: &mut Vec<Decided>) {
        while self.exchanges.front().is_some_and(|one| one.until <= now)
            && let Some(ripe) = self.exchanges.pop_front()
        {
            self.tell(ripe, now, out);
        }
        if self.attempts_due.get().is_some_and(|due| due <= now) {
            for attempts in std::mem::take(&mut self.attempts) {
                if attempts.until <= now {
                    self.give_up(attempts, out);
                } else {
                    self.attempts.push_back(attempts);
                }
            }
            self.find_due();
        }
    }

    /// Decides everything that can be told as it is: a service is back, or (`last`) the tracer
    /// stops.
    pub(super) fn flush(&mut self, now: Timestamp, last: bool, out: &mut Vec<Decided>) {
        for inbound in std::mem::take(&mut self.exchanges) {
            self.tell(inbound, now, out);
        }
        for attempts in std::mem::take(&mut self.attempts) {
            if last || !attempts.may_pair() || attempts.is_over() {
                self.give_up(attempts, out);
            } else {
                self.attempts.push_back(attempts);
            }
        }
        self.find_due();
    }

    fn find_due(&mut self) {
        self.attempts_due
            .find(self.attempts.iter().map(|attempts| attempts.until));
    }

    fn tell(&mut self, inbound: Inbound, now: Timestamp, out: &mut Vec<Decided>) {
        if inbound.attempts.is_none() {
            while self.told.front().is_some_and(|one| one.until <= now)
                || self.told.len() >= MAX_TOLD
            {
                self.told.pop_front();
            }
            self.told.push_back(Inbound {
                proxy: inbound.proxy.clone(),
                key: inbound.key.clone(),
                exchange: inbound.exchange.clone(),
                attempts: None,
                until: now.after(TOLD_FOR),
                ..inbound
            });
        }
        out.push(Decided::Seen(Box::new(inbound)));
    }

    /// No exchange turned up: the request was retried with success, or it is one that only the log
    /// tells of.
    fn give_up(&mut self, attempts: Attempts, out: &mut Vec<Decided>) {
        if attempts.worth == Worth::Nothing {
            return;
        }
        if let Some(index) = best(self.told.iter().map(|told| attempts.fits(told))) {
            self.told.remove(index);
            return;
        }
        out.push(Decided::Logged(attempts));
    }
}

/// The first of the best.
fn best(ranks: impl Iterator<Item = Option<u8>>) -> Option<usize> {
    ranks
        .enumerate()
        .filter_map(|(index, rank)| Some((index, rank?)))
        .min_by_key(|(index, rank)| (std::cmp::Reverse(*rank), *index))
        .map(|(index, _)| index)
}
