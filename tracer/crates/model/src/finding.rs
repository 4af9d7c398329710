//! What analysis concluded: the public interface. `docs/findings.md` and `tracer schema` describe
//! the JSON; changing a field's meaning needs a new [`SCHEMA_VERSION`].

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    ConnectError, Endpoint, FailedRequest, LostRequest, LostRequests, NetNs, Pid, Ring, Service,
    ServiceLoss, WallTime,
};

/// Value of `v` in every finding.
pub const SCHEMA_VERSION: u32 = 1;

/// One conclusion; one JSON object on one line. Unknown values are left out.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Finding {
    /// Schema version, 1.
    pub v: u32,
    /// When it happened: RFC 3339, UTC, nanoseconds.
    pub at: WallTime,
    /// What.
    #[serde(flatten)]
    pub body: Body,
}

/// The kinds of finding.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// The hooks are armed and what was running before is known.
    Start(Start),
    /// The OOM killer chose a victim; it is not dead yet.
    Oom(Box<Death>),
    /// A process of a service is dead.
    Death(Box<Death>),
    /// Nothing listens at an address any more.
    ListenerDown(ListenerChange),
    /// Something listens at an address (again).
    ListenerUp(ListenerChange),
    /// A connect to an upstream failed.
    ConnectFailed(Box<ConnectFailure>),
    /// Established connections were closed by their owner's death.
    ConnectionCut(Box<Cut>),
    /// A proxied request failed.
    RequestFailed(Box<FailedRequest>),
    /// An incident opened or closed.
    Incident(Box<Incident>),
    /// Somebody marked this instant.
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

/// How a hook was got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hook {
    /// What it observes: `exit`, `oom_mark`, `oom_scope`, `unix_connect` …
    pub name: String,
    /// The rung of the ladder that was taken: `raw_tracepoint sched_process_exit`, `kmsg` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Whether it works.
    pub ok: bool,
    /// Why not, or why not by a better rung.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
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
    /// Hooks and the rungs taken.
    pub hooks: Vec<Hook>,
    /// Services that run.
    pub services: Vec<RunningService>,
    /// What can't be seen, in words.
    pub blind: Vec<String>,
}

/// A service at start-up.
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

/// The verdict on a death: one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel killed it: a cgroup reached its memory limit.
    OomCgroup,
    /// The kernel killed it: the machine ran out of memory.
    OomGlobal,
    /// A user-space OOM daemon killed it (systemd-oomd, earlyoom).
    OomDaemon,
    /// A signal somebody sent.
    Killed,
    /// A fatal signal it raised itself.
    Crash,
    /// A runtime's own memory limit (V8).
    HeapLimit,
    /// A non-zero exit status.
    Error,
    /// It exited with status 0, or ended as it was asked to.
    Clean,
    /// Nothing tells.
    Unknown,
}

/// A process in a finding.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessInfo {
    /// Process id in the initial pid namespace.
    pub pid: Pid,
    /// Parent's process id.
    pub ppid: Pid,
    /// Pid inside its container, when that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<Pid>,
    /// Name of the main thread.
    pub comm: String,
    /// Command line, arguments joined by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Real user id.
    pub uid: u32,
    /// Time from its creation to the event.
    pub uptime_ms: u64,
}

/// Another process that had a part in it: the sender of a signal, the trigger of an OOM kill.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Party {
    /// Process id.
    pub pid: Pid,
    /// Thread name.
    pub comm: String,
    /// Name of its service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
}

/// Memory in a death.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MemoryInfo {
    /// Peak resident set of the process, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Anonymous memory when the OOM killer marked it, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anon_bytes: Option<u64>,
    /// The limit that was reached, or the nearest cgroup's, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// The cgroup that has the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_cgroup: Option<String>,
}

/// See [`Body::Death`] and [`Body::Oom`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Death {
    /// Whose process it was.
    pub service: Service,
    /// The process.
    pub process: ProcessInfo,
    /// The verdict.
    pub cause: Cause,
    /// Exit status, when it exited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The signal that ended it: `SIGKILL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Whether a core was dumped; only with `signal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_dumped: Option<bool>,
    /// Who sent the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Party>,
    /// Memory.
    pub memory: MemoryInfo,
    /// OOM: whose allocation triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Party>,
    /// One sentence to act on.
    pub why: String,
    /// The incident it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
}

/// See [`Body::ListenerDown`] and [`Body::ListenerUp`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ListenerChange {
    /// Who listened or listens there.
    pub service: Service,
    /// Where.
    pub address: Endpoint,
    /// Inode of the network namespace; left out for the tracer's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<NetNs>,
    /// Up: the process that listens now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Party>,
    /// Up: how long nothing had listened there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_ms: Option<f64>,
    /// The incident it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
}

/// An upstream.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Upstream {
    /// Its address.
    pub address: Endpoint,
    /// The service that listens there, or did last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
}

/// The death that explains an effect.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Because {
    /// The incident.
    pub incident: u64,
    /// Pid of the dead process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub death: Option<Pid>,
    /// Its cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// From the death (or the listener's loss) to the effect, ms.
    pub after_ms: f64,
    /// One sentence.
    pub sentence: String,
}

/// See [`Body::ConnectFailed`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ConnectFailure {
    /// The service that tried: a proxy, mostly.
    pub proxy: Service,
    /// Its process.
    pub process: Party,
    /// Where to.
    pub upstream: Upstream,
    /// What went wrong.
    pub error: ConnectError,
    /// The errno's name for errors that have no name of their own: `EPROTOTYPE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// How many since the last such finding of this proxy, upstream and error.
    pub count: u64,
    /// From connect() to the failure, ms; the newest one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<f64>,
    /// The death behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
}

/// See [`Body::ConnectionCut`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Cut {
    /// Whose process died.
    pub service: Service,
    /// The service at the other end, when it is on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Service>,
    /// The address it was served at.
    pub address: Endpoint,
    /// The other end; one of them when `count` is larger than 1.
    pub peer_address: Endpoint,
    /// How many connections with this peer.
    pub count: u64,
    /// Pid of the dying process.
    pub pid: Pid,
    /// The incident it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
}

/// Whether an incident goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// The service is impaired.
    Open,
    /// It is back (or, at the tracer's end, no longer watched: then `closed` is left out).
    Closed,
}

/// A service's outage: from the first death or loss of a listener until it is back.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Incident {
    /// Counts from 1 in a stream.
    pub id: u64,
    /// Open or closed.
    pub state: IncidentState,
    /// The service.
    pub service: Service,
    /// Cause of the first death.
    pub cause: Cause,
    /// That cause in words: `OOM (cgroup limit 2.0 GiB)`.
    pub summary: String,
    /// When it began.
    pub opened: WallTime,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<WallTime>,
    /// How long nothing listened (or, for services that don't listen, no process lived), ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_ms: Option<f64>,
    /// Processes lost.
    pub deaths: u64,
    /// Connects refused or failed because of it.
    pub connects_failed: u64,
    /// Connections cut.
    pub connections_cut: u64,
    /// Requests that failed because of it.
    pub requests_failed: u64,
    /// The first of them, at most 100; only once it is closed or the tracer stops.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<LostRequest>,
    /// All of them by method, path template and status, most first, at most 50; only with
    /// `requests`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests_by_template: Vec<LostRequests>,
    /// Whether the service died again and again while it tried to come back.
    pub crash_loop: bool,
    /// What to do about it, most useful first.
    pub advice: Vec<String>,
}

/// See [`Body::Mark`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mark {
    /// What it says; at most 200 characters, control characters escaped.
    pub label: String,
}

/// See [`Body::Lost`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LostEvents {
    /// Where.
    pub ring: Ring,
    /// How many.
    pub count: u64,
    /// Since when.
    pub since: WallTime,
}

/// Totals over the whole stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct End {
    /// How long was watched, ms.
    pub duration_ms: u64,
    /// Exits seen, reported or not.
    pub exits: u64,
    /// Deaths reported.
    pub deaths: u64,
    /// OOM kills.
    pub oom_kills: u64,
    /// Failed connects, reported or not.
    pub connects_failed: u64,
    /// Connections cut.
    pub connections_cut: u64,
    /// Requests that failed.
    pub requests_failed: u64,
    /// Services by requests lost, most first, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<ServiceLoss>,
    /// Lines of proxies' logs that could not be read.
    #[serde(skip_serializing_if = "is_zero")]
    pub log_lines_unread: u64,
    /// Incidents.
    pub incidents: u64,
    /// Of those, how many are still open.
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
