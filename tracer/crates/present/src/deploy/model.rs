//! What a deployment came to: only data. All text in here is as it was outside; who shows it escapes
//! it.

use serde::Serialize;
use tracer_model::{Cause, Failure, Kind, Pid, Service, WallTime};

/// What fails a deployment unless `--fail-on` says otherwise.
pub const FAIL_ON: [Kind; 3] = [Kind::Death, Kind::ListenerDown, Kind::RequestFailed];

/// How the command exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandExit {
    /// With an exit status.
    ExitCode(u8),
    /// By a signal.
    Signal(u8),
}

impl CommandExit {
    /// As a shell reports it: the status, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::ExitCode(code) => code,
            Self::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }
}

/// What came of a deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The command.
    pub command: String,
    /// How it exited; None when it could not be started or its exit was not seen.
    #[serde(rename = "ended")]
    pub exited: Option<CommandExit>,
    /// How long it ran, ms.
    pub ran_ms: u64,
    /// How long the services were watched after its exit, ms.
    pub watched_ms: u64,
    /// What makes the deployment a failure, most important first, by kind.
    pub failures: Vec<Reason>,
    /// Services that lost a process or a listener, by name.
    pub services: Vec<ServiceStory>,
    /// Services for which the list had no room.
    pub services_left_out: u64,
    /// Requests that failed, most first.
    pub requests: Vec<RequestsFailed>,
    /// Number of all of them.
    pub requests_failed: u64,
    /// Events lost: the verdict may be incomplete.
    pub events_lost: u64,
}

impl Verdict {
    /// The exit code: the command's own if it failed; else 3 when something failed; else 0.
    pub fn exit_code(&self) -> u8 {
        match self.exited {
            Some(exit) if exit.code() != 0 => exit.code(),
            Some(_) if self.failures.is_empty() => 0,
            Some(_) => 3,
            None => 1,
        }
    }
}

/// Why the deployment failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// As in `--fail-on`.
    pub kind: &'static str,
    /// In one sentence.
    pub what: String,
}

/// What happened to a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceStory {
    /// The service.
    pub service: Service,
    /// Its processes that died or stopped, the first of them.
    #[serde(rename = "ended")]
    pub deaths: Vec<DeathStory>,
    /// How many died or stopped because the deployment asked for it.
    pub asked_for: u64,
    /// How many died otherwise, and not cleanly.
    pub unexpected: u64,
    /// Processes that came with the deployment and served at its end, or last.
    pub new: Vec<Pid>,
    /// Its listeners that went down.
    pub listeners: Vec<ListenerStory>,
    /// Whether it died again and again while restarting.
    pub crash_loop: bool,
    /// Memory of the largest of its new processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// A process that died or stopped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeathStory {
    /// When.
    pub at: WallTime,
    /// Which.
    pub pid: Pid,
    /// Name of its main thread.
    pub comm: String,
    /// Why.
    pub cause: Cause,
    /// In one sentence.
    pub why: String,
    /// Whether the deployment asked for it.
    pub asked_for: bool,
    /// The stop signal that it ignored until it was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

/// A listener that went down.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerStory {
    /// Where.
    pub address: String,
    /// How often it went down.
    pub downs: u64,
    /// How long nothing listened there, all added up, ms; until the end when it is still down.
    pub down_ms: f64,
    /// Its state at the end.
    pub state: ListenerState,
}

/// The state of a listener at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerState {
    /// Something listens there.
    Back,
    /// Nothing does.
    NotBack,
    /// Nothing does: the last thing that the deployment did to the service was to stop it.
    Stopped,
    /// Nothing does, but the service listens elsewhere since the deployment.
    Moved,
}

/// Memory against its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Whose.
    pub pid: Pid,
    /// The most that was resident at once, bytes.
    pub peak_bytes: u64,
    /// The limit, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
}

impl Memory {
    /// Share of the limit.
    pub fn percent(&self) -> Option<u64> {
        let limit = self.limit_bytes.filter(|limit| *limit > 0)?;
        Some(self.peak_bytes.saturating_mul(100) / limit)
    }
}

/// Requests that failed alike, because of the same incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestsFailed {
    /// At which proxy.
    pub proxy: String,
    /// For which service, or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What the client got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How.
    pub failure: Failure,
    /// How many.
    pub count: u64,
    /// Why, of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Cause of the death behind them.
    #[serde(skip)]
    pub cause: Option<Cause>,
}
