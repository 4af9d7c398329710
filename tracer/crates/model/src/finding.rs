//! What analysis concluded: the public interface. `docs/findings.md` and `tracer schema` describe
//! the JSON; a change of a field's meaning needs a new [`SCHEMA_VERSION`].

use schemars::JsonSchema;
use serde::Serialize;

use crate::address::{Endpoint, NetNs};
use crate::death::{Death, Party};
use crate::effect::{ConnectFailure, Cut, FailedRequest, ServiceLoss};
use crate::hook::Hook;
use crate::incident::Incident;
use crate::ring::Ring;
use crate::service::Service;
use crate::time::WallTime;

/// Value of `v` in every finding.
pub const SCHEMA_VERSION: u32 = 1;

/// One conclusion; one JSON object on one line. Unknown values are left out.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Finding {
    /// Schema version, 1.
    pub v: u32,
    /// When it happened: RFC 3339, UTC, nanoseconds.
    pub at: WallTime,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// The kinds of finding.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// The hooks are armed, and everything that was already running is known.
    Start(Start),
    /// The OOM killer chose a victim, which has not exited yet.
    Oom(Box<Death>),
    /// A process of a service died.
    Death(Box<Death>),
    /// Nothing listens at an address any more.
    ListenerDown(ListenerChange),
    /// Something listens at an address, again or for the first time.
    ListenerUp(ListenerChange),
    /// A connect to an upstream failed.
    ConnectFailed(Box<ConnectFailure>),
    /// Established connections were closed because their owner died.
    ConnectionCut(Box<Cut>),
    /// A request at a proxy failed.
    RequestFailed(Box<FailedRequest>),
    /// An incident opened or closed.
    Incident(Box<Incident>),
    /// A deployment mark: `tracer mark`, or a deployment that begins or ends.
    Mark(Mark),
    /// Events were lost.
    Lost(LostEvents),
    /// The tracer stops.
    End(End),
}

impl Body {
    /// The value of `kind`.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Start(_) => Kind::Start,
            Self::Oom(_) => Kind::Oom,
            Self::Death(_) => Kind::Death,
            Self::ListenerDown(_) => Kind::ListenerDown,
            Self::ListenerUp(_) => Kind::ListenerUp,
            Self::ConnectFailed(_) => Kind::ConnectFailed,
            Self::ConnectionCut(_) => Kind::ConnectionCut,
            Self::RequestFailed(_) => Kind::RequestFailed,
            Self::Incident(_) => Kind::Incident,
            Self::Mark(_) => Kind::Mark,
            Self::Lost(_) => Kind::Lost,
            Self::End(_) => Kind::End,
        }
    }
}

/// The names of the kinds, as in JSON and in `--fail-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[cfg_attr(feature = "clap", value(rename_all = "snake_case"))]
#[expect(missing_docs, reason = "each is documented at its variant of Body")]
pub enum Kind {
    Start,
    Oom,
    Death,
    ListenerDown,
    ListenerUp,
    ConnectFailed,
    ConnectionCut,
    RequestFailed,
    Incident,
    Mark,
    Lost,
    End,
}

impl Kind {
    /// Its name, as in JSON and in `--fail-on`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Oom => "oom",
            Self::Death => "death",
            Self::ListenerDown => "listener_down",
            Self::ListenerUp => "listener_up",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectionCut => "connection_cut",
            Self::RequestFailed => "request_failed",
            Self::Incident => "incident",
            Self::Mark => "mark",
            Self::Lost => "lost",
            Self::End => "end",
        }
    }
}

/// See [`Body::Start`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Start {
    /// Version of the tracer.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// Host name.
    pub host: String,
    /// The hooks, and how each is attached.
    pub hooks: Vec<Hook>,
    /// The running services.
    pub services: Vec<RunningService>,
    /// Blind spots: what cannot be observed here, in words.
    pub blind: Vec<String>,
}

/// A service that runs when the tracer starts.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RunningService {
    /// The service.
    #[serde(flatten)]
    pub service: Service,
    /// Number of processes.
    pub processes: usize,
    /// Where it listens.
    pub listens: Vec<Endpoint>,
}

/// See [`Body::ListenerDown`] and [`Body::ListenerUp`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ListenerChange {
    /// The service that listened or listens there.
    pub service: Service,
    /// Where.
    pub address: Endpoint,
    /// Inode of the network namespace; left out for the tracer's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<NetNs>,
    /// Up: the process that listens now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Party>,
    /// Up: how long nothing listened there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_ms: Option<f64>,
    /// The incident it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
}

/// See [`Body::Mark`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mark {
    /// The text of the mark; at most 200 characters, control characters escaped.
    pub label: String,
}

/// See [`Body::Lost`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LostEvents {
    /// Where they were lost.
    pub ring: Ring,
    /// How many.
    pub count: u64,
    /// They were lost after this time.
    pub since: WallTime,
}

/// Totals over the whole stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct End {
    /// How long the tracer watched, ms.
    pub duration_ms: u64,
    /// Exits observed, whether reported or not.
    pub exits: u64,
    /// Deaths reported.
    pub deaths: u64,
    /// OOM kills.
    pub oom_kills: u64,
    /// Failed connects, whether reported or not.
    pub connects_failed: u64,
    /// Connections cut.
    pub connections_cut: u64,
    /// Requests that failed.
    pub requests_failed: u64,
    /// Services by failed requests, most first, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<ServiceLoss>,
    /// Lines of proxies' logs that could not be parsed.
    #[serde(skip_serializing_if = "is_zero")]
    pub log_lines_unread: u64,
    /// Incidents.
    pub incidents: u64,
    /// How many of them are still open.
    pub incidents_open: u64,
    /// Events lost.
    pub lost: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
