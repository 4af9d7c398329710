//! Finds the upstream that a failed request was meant for, and what went wrong there.
//!
//! The upstream, best first:
//! 1. the log's, else that of the proxy's own request (same proxy, during the request, same method
//!    and target; with a rewritten target if it is the worker's only one): certain;
//! 2. where the serving thread connected to during the request: likely. A TCP connect that was not
//!    refused, and that no failed request of the proxy followed, loses to a failed connect of the
//!    worker;
//! 3. where the same thread or process (likely) or service (a guess) failed to connect to during the
//!    request;
//! 4. for a proxy that considers all upstreams down, where it failed to connect to last: a guess, and
//!    only while that upstream is down.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tracer_model::{
    Actor, Confidence, ConnectError, Endpoint, Failure, HttpEnd, HttpExchange, NetNs, ProcessKey,
    Service, Timestamp, Witness,
};

use super::case::{Case, READ_WITHIN};
use super::pair::is_same_request;
use crate::world::{ServiceKey, key_of};

/// How long clues are kept.
const KEEP: Duration = Duration::from_mins(1);
/// The proxies' own requests that are kept; the oldest go first.
const MAX_OUTBOUND: usize = 4096;
/// Processes and addresses of failed connects that are kept; the oldest go first.
const MAX_TRIED: usize = 2048;
/// Cut connections that are kept; the oldest go first.
const MAX_CUTS: usize = 4096;
/// Clocks of two processors differ by less than this, and a log is read this much later.
pub(super) const BLUR: Duration = Duration::from_millis(10);

/// What was found out about a case.
#[derive(Debug)]
pub(super) struct Clue {
    pub upstream: Option<(Endpoint, Confidence)>,
    pub failure: Failure,
    /// When it failed, if known.
    pub failed: Option<Timestamp>,
    /// The process whose death cut the connection.
    pub killed: Option<ProcessKey>,
    /// The witness of the proxy's own request.
    pub witness: Option<Witness>,
}

impl Clue {
    /// The upstream is unknown.
    pub(super) fn unknown(failure: Failure) -> Self {
        Self {
            upstream: None,
            failure,
            failed: None,
            killed: None,
            witness: None,
        }
    }

    /// The upstream is a guess.
    pub(super) fn guess(address: Endpoint, failure: Failure) -> Self {
        Self {
            upstream: Some((address, Confidence::Guess)),
            ..Self::unknown(failure)
        }
    }
}

/// A request of a proxy to an upstream that failed.
struct Outbound {
    at: Timestamp,
    /// None: the kernel ran it in another process's context.
    proxy: Option<ServiceKey>,
    exchange: HttpExchange,
}

/// Failed connects of a process to an address.
#[derive(Clone, Debug)]
struct Tried {
    proxy: Option<ServiceKey>,
    tid: u32,
    first: Timestamp,
    last: Timestamp,
    error: ConnectError,
}

struct Cut {
    at: Timestamp,
    owner: ProcessKey,
    local: Endpoint,
    remote: Endpoint,
}

/// Recent observations about upstreams.
#[derive(Default)]
pub(super) struct Clues {
    outbound: VecDeque<Outbound>,
    tried: BTreeMap<(ProcessKey, NetNs, Endpoint), Tried>,
    cuts: VecDeque<Cut>,
}

/// The upstream, from what the worker connected to and the best of the failed connects.
fn likely_upstream(
    connected: Option<&Endpoint>,
    tried: Option<&(Endpoint, Tried, Confidence)>,
    refused: &dyn Fn(&Endpoint) -> bool,
) -> Option<(Endpoint, Confidence)> {
    match (connected, tried) {
        (Some(to @ Endpoint::Tcp(_)), Some((remote, _, Confidence::Likely))) if !refused(to) => {
            Some((remote.clone(), Confidence::Likely))
        }
        (Some(to), _) => Some((to.clone(), Confidence::Likely)),
        (None, Some((remote, _, confidence))) => Some((remote.clone(), *confidence)),
        (None, None) => None,
    }
}

impl Clues {
    /// Adds a proxy's own request that failed.
    pub(super) fn outbound(
        &mut self,
        exchange: HttpExchange,
        proxy: Option<ServiceKey>,
        at: Timestamp,
    ) {
        while self.outbound.len() >= MAX_OUTBOUND
            || self.outbound.front().is_some_and(|one| is_old(one.at, at))
        {
            self.outbound.pop_front();
        }
        self.outbound.push_back(Outbound {
            at,
            proxy,
            exchange,
        });
    }

    /// Adds a failed connect.
    pub(super) fn tried(
        &mut self,
        owner: &Actor,
        proxy: Option<&Service>,
        netns: NetNs,
        remote: &Endpoint,
        error: ConnectError,
        at: Timestamp,
    ) {
        let key = (owner.key, netns, remote.clone());
        if let Some(known) = self.tried.get_mut(&key) {
            // A failure long ago says nothing about the time since.
            if at.since(known.last) > READ_WITHIN {
                known.first = at;
            }
            known.first = known.first.min(at);
            known.last = known.last.max(at);
            (known.tid, known.error) = (owner.tid, error);
            return;
        }
        if self.tried.len() >= MAX_TRIED {
            self.forget_tries(at);
        }
        self.tried.insert(
            key,
            Tried {
                proxy: proxy.map(key_of),
                tid: owner.tid,
                first: at,
                last: at,
                error,
            },
        );
    }

    /// Makes room for many at once, so that it is rarely called: drops all old tries, and at least the
    /// oldest quarter.
    fn forget_tries(&mut self, at: Timestamp) {
        let mut times: Vec<Timestamp> = self.tried.values().map(|known| known.last).collect();
        let quarter = times.len() / 4;
        let (_, &mut oldest, _) = times.select_nth_unstable(quarter);
        self.tried
            .retain(|_, known| known.last > oldest && !is_old(known.last, at));
    }

    /// Adds a connection that was cut because its owner died.
    pub(super) fn cut(
        &mut self,
        owner: ProcessKey,
        local: &Endpoint,
        remote: &Endpoint,
        at: Timestamp,
    ) {
        while self.cuts.len() >= MAX_CUTS || self.cuts.front().is_some_and(|cut| is_old(cut.at, at))
        {
            self.cuts.pop_front();
        }
        self.cuts.push_back(Cut {
            at,
            owner,
            local: local.clone(),
            remote: remote.clone(),
        });
    }

    /// Whether the upstream itself returned the status: then nginx and Apache write no line.
    pub(super) fn was_answered(&self, case: &Case<'_>) -> bool {
        self.find_outbound(case)
            .is_some_and(|index| matches!(self.outbound[index].exchange.end, HttpEnd::Status(_)))
    }

    /// Solves a case; its outbound requests are removed. `is_down`: whether nothing listened at an
    /// address at some instant between two.
    pub(super) fn judge(
        &mut self,
        case: &Case<'_>,
        is_down: &dyn Fn(&Endpoint, Timestamp, Timestamp) -> bool,
    ) -> Clue {
        let outbound = self.remove_outbound(case);
        let named = case.named();
        let tried = self.best_try(case, named);
        let connected = case.connected.map(|connected| &connected.remote);
        let result = case.connected.and_then(|connected| connected.result);
        let refused = |to: &Endpoint| match result.filter(|_| connected == Some(to)) {
            Some(result) => result.is_err(),
            None => {
                self.tries(case).any(|(remote, _)| remote == to)
                    || is_down(to, case.from(), case.at)
            }
        };
        let upstream = if let Some(named) = named {
            Some((named.clone(), Confidence::Certain))
        } else if let Some(remote) = outbound
            .as_ref()
            .and_then(|one| one.exchange.remote.clone())
        {
            Some((remote, Confidence::Certain))
        } else {
            likely_upstream(connected, tried.as_ref(), &refused)
        };
        let failed_try = upstream.as_ref().and_then(|(to, _)| {
            tried
                .as_ref()
                .filter(|(remote, ..)| remote == to)
                .map(|(_, tried, _)| tried)
        });
        let connects_to = upstream
            .as_ref()
            .filter(|(to, _)| connected == Some(to))
            .map(|(to, _)| refused(to));
        let logged = case.logged.map_or(Failure::Unknown, |(_, failure)| failure);
        let failure = failure(
            case,
            logged,
            outbound.as_ref(),
            failed_try
                .map(|tried| tried.error)
                .or_else(|| result?.err().filter(|_| connects_to.is_some())),
            connects_to,
        );
        let failure = match (named, failure) {
            (Some(to), Failure::Unknown) if case.timed => case.failure_by_absence(to, is_down),
            (_, failure) => failure,
        };
        let killed = outbound
            .as_ref()
            .filter(|_| matches!(failure, Failure::Cut | Failure::Reset))
            .and_then(|one| self.killed(&one.exchange, one.at));
        let mut clue = Clue {
            upstream,
            failure,
            failed: match failure {
                Failure::Cut | Failure::Reset => outbound.as_ref().map(|one| one.at),
                _ => failed_try.map(|tried| tried.last.min(case.at)),
            },
            killed,
            witness: outbound.map(|one| one.exchange.witness),
        };
        if clue.failure == Failure::NoLiveUpstreams && clue.upstream.is_none() {
            clue.upstream = self
                .last_try(case)
                .filter(|remote| is_down(remote, case.at, case.at))
                .map(|remote| (remote, Confidence::Guess));
        }
        clue
    }

    /// Where the processes of a proxy failed to connect to since an instant, in order.
    pub(super) fn tried_by<'a>(
        &'a self,
        proxy: &'a ServiceKey,
        since: Timestamp,
    ) -> impl Iterator<Item = (NetNs, &'a Endpoint, Failure)> {
        self.tried
            .iter()
            .filter(move |(_, tried)| tried.proxy.as_ref() == Some(proxy) && tried.last >= since)
            .map(|((_, netns, remote), tried)| (*netns, remote, tried.error.into()))
    }

    fn find_outbound(&self, case: &Case<'_>) -> Option<usize> {
        let named = case.named();
        let (from, to) = (case.from(), case.at.after(BLUR));
        let within = |one: &Outbound| {
            one.exchange.began >= from.before(BLUR)
                && one.at <= to
                && one.at >= from
                && one.proxy.as_ref().is_none_or(|proxy| proxy == case.proxy)
        };
        let candidates = || {
            self.outbound
                .iter()
                .enumerate()
                .filter(|(_, one)| within(one))
        };
        let exact = |one: &Outbound| match (&one.exchange.request, case.request) {
            (Some(a), Some(b)) => is_same_request(a, b),
            _ => false,
        };
        let same_worker = |one: &Outbound| {
            case.worker
                .is_some_and(|worker| worker.key == one.exchange.actor.key)
        };
        let rank = |one: &Outbound| {
            let is_named = named.is_some() && one.exchange.remote.as_ref() == named;
            let passed_on = case.end == Some(one.exchange.end);
            (is_named, same_worker(one), passed_on)
        };
        let best = candidates()
            .filter(|(_, one)| exact(one))
            .min_by_key(|(index, one)| (std::cmp::Reverse(rank(one)), *index));
        if let Some((index, _)) = best {
            return Some(index);
        }
        let mut rewritten = candidates().filter(|(_, one)| same_worker(one));
        let only = rewritten.next()?;
        rewritten.next().is_none().then_some(only.0)
    }

    /// Removes the proxy's own requests for this one, and returns the last.
    fn remove_outbound(&mut self, case: &Case<'_>) -> Option<Outbound> {
        let mut last = self.outbound.remove(self.find_outbound(case)?)?;
        let named = case.named();
        while named.is_none() || last.exchange.remote.as_ref() != named {
            // The next attempt began after this one failed, at another upstream.
            let next = self.outbound.iter().position(|one| {
                one.exchange.began >= last.at
                    && one.at <= case.at.after(BLUR)
                    && one.exchange.remote != last.exchange.remote
                    && one.proxy == last.proxy
                    && one.exchange.request == last.exchange.request
            });
            match next.and_then(|index| self.outbound.remove(index)) {
                Some(next) => last = next,
                None => break,
            }
        }
        Some(last)
    }

    /// Failed connects of the proxy during the request.
    fn tries<'a>(&'a self, case: &'a Case<'_>) -> impl Iterator<Item = (&'a Endpoint, &'a Tried)> {
        let (from, to) = (case.from(), case.at.after(BLUR));
        self.tried
            .iter()
            .filter(move |((process, netns, _), tried)| {
                let of_proxy = tried.proxy.as_ref() == Some(case.proxy)
                    || case.worker.is_some_and(|worker| worker.key == *process);
                of_proxy && *netns == case.netns && tried.first <= to && tried.last >= from
            })
            .map(|((.., remote), tried)| (remote, tried))
    }

    fn best_try(
        &self,
        case: &Case<'_>,
        named: Option<&Endpoint>,
    ) -> Option<(Endpoint, Tried, Confidence)> {
        let is_worker = |tried: &Tried, remote: &Endpoint| {
            case.worker.is_some_and(|worker| {
                let key = (worker.key, case.netns, remote.clone());
                self.tried
                    .get(&key)
                    .is_some_and(|own| std::ptr::eq(own, tried))
            })
        };
        self.tries(case)
            .filter(|(remote, _)| named.is_none_or(|named| named == *remote))
            // If the worker is known, connects of other processes of the proxy say nothing.
            .filter(|(remote, tried)| {
                case.worker.is_none() || named.is_some() || is_worker(tried, remote)
            })
            .map(|(remote, tried)| {
                let process = is_worker(tried, remote);
                let thread = case.worker.is_some_and(|worker| worker.tid == tried.tid);
                ((process, process && thread, tried.last), remote, tried)
            })
            .max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .map(|((process, ..), remote, tried)| {
                let confidence = if process {
                    Confidence::Likely
                } else {
                    Confidence::Guess
                };
                (remote.clone(), tried.clone(), confidence)
            })
    }

    fn last_try(&self, case: &Case<'_>) -> Option<Endpoint> {
        self.tried
            .iter()
            .filter(|((_, netns, _), tried)| {
                tried.proxy.as_ref() == Some(case.proxy)
                    && *netns == case.netns
                    && !is_old(tried.last, case.at)
            })
            .max_by(|a, b| a.1.last.cmp(&b.1.last).then_with(|| b.0.cmp(a.0)))
            .map(|((.., remote), _)| remote.clone())
    }

    /// The process whose death cut the connection of the proxy's own request.
    fn killed(&self, exchange: &HttpExchange, at: Timestamp) -> Option<ProcessKey> {
        let (own, other) = (exchange.local.as_ref()?, exchange.remote.as_ref()?);
        self.cuts
            .iter()
            .rev()
            .find(|cut| {
                cut.remote == *own
                    && cut.local == *other
                    && cut.at >= exchange.began
                    && cut.at <= at.after(BLUR)
            })
            .map(|cut| cut.owner)
    }
}

/// How a request failed. `tried`: how the connect to its upstream failed. `connects_to`: set if its
/// thread connected there; whether nothing listened.
fn failure(
    case: &Case<'_>,
    logged: Failure,
    outbound: Option<&Outbound>,
    tried: Option<ConnectError>,
    connects_to: Option<bool>,
) -> Failure {
    if case.end == Some(HttpEnd::Died) {
        return Failure::ProxyDied;
    }
    if logged != Failure::Unknown {
        return logged;
    }
    match outbound.map(|one| one.exchange.end) {
        Some(HttpEnd::Status(_)) => return Failure::Answered,
        Some(HttpEnd::PeerClosed) => return Failure::Cut,
        Some(HttpEnd::PeerReset) => return Failure::Reset,
        Some(HttpEnd::Closed | HttpEnd::Died) | None => {}
    }
    if matches!(case.end, Some(HttpEnd::PeerClosed | HttpEnd::PeerReset)) {
        return Failure::ClientGone;
    }
    if let Some(error) = tried
        && Failure::from(error) != Failure::Unknown
    {
        return error.into();
    }
    if case.status == Some(504) {
        return Failure::Timeout;
    }
    if case.end == Some(HttpEnd::Closed) {
        return Failure::ProxyClosed;
    }
    match (connects_to, case.status) {
        (Some(true), _) => Failure::Refused,
        (Some(false), Some(500..)) => Failure::Answered,
        _ => Failure::Unknown,
    }
}

fn is_old(seen: Timestamp, now: Timestamp) -> bool {
    now.since(seen) > KEEP
}
