//! Deaths in findings: the process, its cause of death, and who had a part in it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::identity::Pid;
use crate::service::Service;

/// The cause of a death: exactly one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel's OOM killer killed it: a cgroup reached its memory limit.
    OomCgroup,
    /// The kernel's OOM killer killed it: the machine ran out of memory.
    OomGlobal,
    /// A user-space OOM daemon killed it (systemd-oomd, earlyoom).
    OomDaemon,
    /// A signal from another process killed it.
    Killed,
    /// A fatal signal that it raised itself.
    Crash,
    /// It reached its runtime's own memory limit (V8).
    HeapLimit,
    /// It exited with a non-zero status.
    Error,
    /// It exited with status 0, or stopped as requested.
    Clean,
    /// No evidence.
    Unknown,
}

/// A process in a finding.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessInfo {
    /// Process id in the initial pid namespace.
    pub pid: Pid,
    /// Parent's process id.
    pub ppid: Pid,
    /// Pid inside its container, if different.
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

/// Memory of a process that died.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MemoryInfo {
    /// Peak resident set of the process, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Anonymous memory when the OOM killer chose the process, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anon_bytes: Option<u64>,
    /// The limit that was reached, or the nearest cgroup's limit, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// The cgroup that has the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_cgroup: Option<String>,
}

/// A process that died, or that the OOM killer chose as its victim.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Death {
    /// The service of the process.
    pub service: Service,
    /// The process.
    pub process: ProcessInfo,
    /// The cause.
    pub cause: Cause,
    /// Exit status, if it exited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The signal that killed it: `SIGKILL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Whether it dumped core; only with `signal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_dumped: Option<bool>,
    /// Who sent the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Party>,
    /// Memory.
    pub memory: MemoryInfo,
    /// OOM kill: the task whose allocation triggered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Party>,
    /// One sentence to act on.
    pub why: String,
    /// The incident it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
}
