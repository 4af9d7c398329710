//! A failed request as a case to solve: what the witnesses saw of it.

use std::time::Duration;

use tracer_model::{Actor, Connected, Endpoint, Failure, HttpEnd, NetNs, Request, Timestamp};

use super::pair::Inbound;
use crate::world::ServiceKey;

/// A log line without the request's duration was read at most this long after the request failed.
pub(super) const READ_WITHIN: Duration = Duration::from_millis(500);

/// A request whose upstream is to be found.
pub(super) struct Case<'a> {
    pub proxy: &'a ServiceKey,
    pub netns: NetNs,
    pub worker: Option<Actor>,
    pub request: Option<&'a Request>,
    /// None: only the log has it, without the time of its beginning.
    pub began: Option<Timestamp>,
    pub at: Timestamp,
    /// Whether `began` and `at` are the request's own times, not only those around the reading of its
    /// line.
    pub timed: bool,
    /// None: only the log has it.
    pub end: Option<HttpEnd>,
    pub status: Option<u16>,
    pub connected: Option<&'a Connected>,
    /// The upstream and failure in the log.
    pub logged: Option<(Option<&'a Endpoint>, Failure)>,
}

impl<'a> Case<'a> {
    /// The case of a request that a witness saw.
    pub(super) fn of(inbound: &'a Inbound) -> Self {
        let exchange = &inbound.exchange;
        let log = inbound.attempts.as_ref();
        Self {
            proxy: &inbound.key,
            netns: inbound.netns,
            worker: inbound.worker,
            request: exchange
                .request
                .as_ref()
                .or_else(|| log?.first_known(|entry| entry.request.as_ref())),
            began: Some(exchange.began),
            at: inbound.at,
            timed: true,
            end: Some(exchange.end),
            status: match exchange.end {
                HttpEnd::Status(status) => Some(status),
                _ => None,
            },
            connected: exchange
                .connected
                .as_ref()
                .filter(|connected| connected.at >= exchange.began),
            logged: log.map(|log| (log.decisive().upstream.as_ref(), log.failure())),
        }
    }

    /// The earliest instant at which it can have failed.
    pub(super) fn from(&self) -> Timestamp {
        self.began.unwrap_or_else(|| self.at.before(READ_WITHIN))
    }

    /// How the request failed, where only the state of its upstream shows it: Traefik's log has no
    /// reasons, and a connection may end before a request is seen on it.
    pub(super) fn failure_by_absence(
        &self,
        upstream: &Endpoint,
        is_down: &dyn Fn(&Endpoint, Timestamp, Timestamp) -> bool,
    ) -> Failure {
        if is_down(upstream, self.from(), self.from()) {
            Failure::Refused
        } else if is_down(upstream, self.from(), self.at) {
            Failure::Cut
        } else {
            Failure::Unknown
        }
    }

    /// The upstream that the log names.
    pub(super) fn named(&self) -> Option<&'a Endpoint> {
        self.logged.and_then(|(upstream, _)| upstream)
    }
}
