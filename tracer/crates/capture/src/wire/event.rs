//! Observations, and the blocks in which they are written.

use std::sync::Arc;

use bytes::Bytes;
use tracer_model::{self as model, Observation, Timestamp};

use super::header::{Clock, Hook, Session};
use super::http::{Http, HttpCounted, ProxyLog, Witnesses};
use super::memory::{Cgroup, Container, Lost, OomReported, OomVictim};
use super::message::{Unknown, Wire, all, some};
use super::process::{Executed, Exited, Forked, Key, Process};
use super::socket::{ConnectFailed, ConnectionCut, Listener, ListenerDown, ListenersScanned};

/// Observations, each an encoded [`Event`]. They are bytes here, so that they are decoded one by one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Block {
    #[prost(uint64, tag = "1")]
    pub(crate) at_ns: u64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) events: Vec<Bytes>,
}

/// [`Observation`]. Its time is relative to the previous event, or to the block for the first.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Event {
    #[prost(sint64, tag = "1")]
    pub(crate) after_ns: i64,
    #[prost(
        oneof = "What",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28"
    )]
    what: Option<What>,
}

/// A message without fields.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Nothing {}

/// [`model::What`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum What {
    #[prost(message, tag = "2")]
    Session(Session),
    #[prost(message, tag = "3")]
    Clock(Clock),
    #[prost(message, tag = "4")]
    Process(Process),
    #[prost(message, tag = "5")]
    Forked(Forked),
    #[prost(message, tag = "6")]
    Executed(Executed),
    #[prost(message, tag = "7")]
    Exited(Box<Exited>),
    #[prost(message, tag = "8")]
    OomVictim(Box<OomVictim>),
    #[prost(message, tag = "9")]
    OomReported(OomReported),
    #[prost(message, tag = "10")]
    ListenerUp(Listener),
    #[prost(message, tag = "11")]
    ListenerDown(ListenerDown),
    #[prost(message, tag = "12")]
    ListenersScanned(ListenersScanned),
    #[prost(message, tag = "13")]
    ConnectFailed(ConnectFailed),
    #[prost(message, tag = "14")]
    ConnectionCut(ConnectionCut),
    #[prost(message, tag = "15")]
    Cgroup(Cgroup),
    #[prost(message, tag = "16")]
    Container(Container),
    #[prost(message, tag = "17")]
    Http(Box<Http>),
    #[prost(message, tag = "18")]
    HttpCounted(HttpCounted),
    #[prost(message, tag = "19")]
    ProxyLog(Box<ProxyLog>),
    #[prost(uint64, tag = "20")]
    LogLinesUnread(u64),
    #[prost(message, tag = "21")]
    Witnesses(Witnesses),
    #[prost(message, tag = "22")]
    Lost(Lost),
    #[prost(message, tag = "23")]
    Armed(Nothing),
    #[prost(message, tag = "24")]
    Tick(Nothing),
    #[prost(message, tag = "25")]
    End(Nothing),
    #[prost(message, tag = "26")]
    Hook(Hook),
    #[prost(string, tag = "27")]
    Mark(String),
    #[prost(message, tag = "28")]
    Vanished(Key),
}

impl Event {
    /// Encodes an observation; `before` is the time of the previous one.
    pub(crate) fn of(observation: &Observation, before: Timestamp) -> Self {
        let Observation { at, what } = observation;
        Self {
            // Wraps for times that no clock shows; the reader wraps the same way.
            after_ns: at.0.wrapping_sub(before.0).cast_signed(),
            what: Some(What::of(what)),
        }
    }

    /// Decodes the observation; None if this version does not know its kind.
    pub(crate) fn model(self, before: Timestamp) -> Result<Option<Observation>, Unknown> {
        let at = Timestamp(before.0.wrapping_add_signed(self.after_ns));
        let Some(what) = self.what else {
            return Ok(None);
        };
        let what = what.model()?;
        Ok(Some(Observation { at, what }))
    }
}

impl What {
    fn of(model: &model::What) -> Self {
        use model::What as M;
        match model {
            M::Session(session) => Self::Session(Wire::of(&**session)),
            M::Clock(clock) => Self::Clock(Wire::of(clock)),
            M::Process(facts) => Self::Process(Wire::of(&**facts)),
            M::Forked { child, parent } => Self::Forked(Forked::of(child, parent)),
            M::Executed { task, args } => Self::Executed(Executed::of(task, args)),
            M::Exited(exit) => Self::Exited(Box::new(Wire::of(exit))),
            M::Vanished(key) => Self::Vanished(Wire::of(key)),
            M::OomVictim(victim) => Self::OomVictim(Box::new(Wire::of(&**victim))),
            M::OomReported(report) => Self::OomReported(Wire::of(&**report)),
            M::ListenerUp(listener) => Self::ListenerUp(Wire::of(listener)),
            M::ListenerDown {
                socket,
                netns,
                address,
                by,
                exiting,
            } => Self::ListenerDown(ListenerDown {
                socket: some(socket),
                netns: *netns,
                address: some(address),
                by: some(by),
                exiting: *exiting,
            }),
            M::ListenersScanned {
                netns,
                unix,
                listeners,
            } => Self::ListenersScanned(ListenersScanned {
                netns: *netns,
                unix: *unix,
                listeners: all(listeners),
            }),
            M::ConnectFailed(failed) => Self::ConnectFailed(Wire::of(&**failed)),
            M::ConnectionCut {
                owner,
                netns,
                local,
                remote,
            } => Self::ConnectionCut(ConnectionCut {
                owner: some(owner),
                netns: *netns,
                local: some(local),
                remote: some(remote),
            }),
            M::Cgroup {
                id,
                path,
                memory_limit_bytes,
            } => Self::Cgroup(Cgroup::of(*id, path, *memory_limit_bytes)),
            M::Container(facts) => Self::Container(Wire::of(&**facts)),
            M::Http(http) => Self::Http(Box::new(Wire::of(&**http))),
            M::HttpCounted(counted) => Self::HttpCounted(Wire::of(&**counted)),
            M::ProxyLog(entry) => Self::ProxyLog(Box::new(Wire::of(&**entry))),
            M::LogLinesUnread(count) => Self::LogLinesUnread(*count),
            M::Witnesses(witnesses) => Self::Witnesses(Wire::of(witnesses)),
            M::Hook(hook) => Self::Hook(Wire::of(&**hook)),
            M::Mark(label) => Self::Mark(label.to_string()),
            M::Lost { ring, count } => Self::Lost(Lost::of(*ring, *count)),
            M::Armed => Self::Armed(Nothing {}),
            M::Tick => Self::Tick(Nothing {}),
            M::End => Self::End(Nothing {}),
        }
    }

    fn model(self) -> Result<model::What, Unknown> {
        use model::What as M;
        Ok(match self {
            Self::Session(session) => M::Session(Box::new(session.model()?)),
            Self::Clock(clock) => M::Clock(clock.model()?),
            Self::Process(facts) => M::Process(Box::new(facts.model()?)),
            Self::Forked(forked) => forked.model()?,
            Self::Executed(executed) => executed.model()?,
            Self::Exited(exit) => M::Exited(exit.model()?),
            Self::Vanished(key) => M::Vanished(key.model()?),
            Self::OomVictim(victim) => M::OomVictim(Box::new(victim.model()?)),
            Self::OomReported(report) => M::OomReported(Box::new(report.model()?)),
            Self::ListenerUp(listener) => M::ListenerUp(listener.model()?),
            Self::ListenerDown(down) => down.model()?,
            Self::ListenersScanned(scanned) => scanned.model()?,
            Self::ConnectFailed(failed) => M::ConnectFailed(Box::new(failed.model()?)),
            Self::ConnectionCut(cut) => cut.model()?,
            Self::Cgroup(cgroup) => cgroup.model(),
            Self::Container(facts) => M::Container(Box::new(facts.model()?)),
            Self::Http(http) => M::Http(Box::new(http.model()?)),
            Self::HttpCounted(counted) => M::HttpCounted(Box::new(counted.model()?)),
            Self::ProxyLog(entry) => M::ProxyLog(Arc::new(entry.model()?)),
            Self::LogLinesUnread(count) => M::LogLinesUnread(count),
            Self::Witnesses(witnesses) => M::Witnesses(witnesses.model()?),
            Self::Hook(hook) => M::Hook(Box::new(hook.model()?)),
            Self::Mark(label) => M::Mark(label.into()),
            Self::Lost(lost) => lost.model()?,
            Self::Armed(Nothing {}) => M::Armed,
            Self::Tick(Nothing {}) => M::Tick,
            Self::End(Nothing {}) => M::End,
        })
    }
}
