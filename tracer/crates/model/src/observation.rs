//! What was seen outside, at an instant. Everything that analysis knows arrives as one of these, so
//! a record of the observations replays to the same findings.

use std::net::IpAddr;
use std::sync::Arc;

use super::{
    ClockAnchor, Comm, Endpoint, ExitStatus, HttpCounted, HttpExchange, LogEntry, NetNs, Pid,
    ProcessKey, SI_KERNEL, SIGKILL, Timestamp, Witnesses,
};

/// Something seen outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When: the hook's own time for kernel events, the time of reading for everything else.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What was seen. Variants that occur often own no heap memory; the rare large ones are boxed.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// First of a stream: the machine and what can be seen on it.
    Session(Box<Session>),
    /// The wall clock was related to boot time (again, after a step).
    Clock(ClockAnchor),
    /// A process's facts from /proc: at start-up, after an exec, or when its title may have changed.
    Process(Box<ProcessFacts>),
    /// A process was created.
    Forked {
        /// The child; named as its parent until it execs.
        child: TaskFacts,
        /// The parent.
        parent: ProcessKey,
    },
    /// A process replaced its program.
    Executed {
        /// The process after the exec.
        task: TaskFacts,
        /// Arguments as the kernel had them, possibly cut; see [`ProcessFacts::args`].
        args: Box<[Box<str>]>,
    },
    /// A process is dead: all of its threads.
    Exited(Exit),
    /// A process is there no more, and no event told of its end: events were lost.
    Vanished(ProcessKey),
    /// The OOM killer chose a victim.
    OomMarked(Box<OomMark>),
    /// The kernel log's report of an OOM kill: the scope, where no hook tells it.
    OomReported(Box<OomReport>),
    /// A socket began to listen. A listener found by scanning has `socket` [`SocketId::Scanned`].
    ListenerUp(Listener),
    /// A socket stopped listening.
    ListenerDown {
        /// The socket.
        socket: SocketId,
        /// Its network namespace.
        netns: NetNs,
        /// Its address.
        address: Endpoint,
        /// The process that let go last.
        by: Actor,
        /// Whether that process was exiting.
        exiting: bool,
    },
    /// All listeners of one kind in one network namespace, by scanning. Unix sockets have no
    /// hook, so this is how they come and go; for TCP it heals after lost events.
    ListenersScanned {
        /// The namespace.
        netns: NetNs,
        /// Whether `listeners` are the unix ones or the TCP ones.
        unix: bool,
        /// All of them.
        listeners: Box<[Listener]>,
    },
    /// A connect failed.
    ConnectFailed(Box<ConnectFailed>),
    /// An established connection was closed because its owner is exiting.
    ConnectionCut {
        /// The dying process.
        owner: Actor,
        /// Its network namespace.
        netns: NetNs,
        /// Its own end.
        local: Endpoint,
        /// The other end.
        remote: Endpoint,
    },
    /// A cgroup's path (and limit, when it has one).
    Cgroup {
        /// As in [`TaskFacts::cgroup`].
        id: u64,
        /// From the root of its hierarchy: `/system.slice/api.service`.
        path: Box<str>,
        /// Memory limit in bytes.
        memory_limit_bytes: Option<u64>,
    },
    /// A container, from its engine's API.
    Container(Box<ContainerFacts>),
    /// A request at a proxy failed, by the kernel's or the TLS library's witness.
    Http(Box<HttpExchange>),
    /// Requests at a proxy failed, counted only.
    HttpCounted(Box<HttpCounted>),
    /// A proxy's log tells of an error.
    ProxyLog(Arc<LogEntry>),
    /// Lines of proxies' logs that could not be read as their format.
    LogLinesUnread(u64),
    /// Which witnesses follow a proxy's process.
    Witnesses(Witnesses),
    /// A hook that depends on the proxies there are was got, or lost, or got in another way.
    Hook(Box<super::Hook>),
    /// Somebody put a mark here: `tracer mark`, or a deployment that begins or ends.
    Mark(Box<str>),
    /// Events were lost.
    Lost {
        /// Where.
        ring: Ring,
        /// How many since the last such observation.
        count: u64,
    },
    /// Everything that was there before is known; from here on it is live.
    Armed,
    /// Nothing but time has passed.
    Tick,
    /// Last of a stream: the tracer stops.
    End,
}

/// The machine, and what can be seen on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    /// Version of the tracer that observed.
    pub tracer_version: Box<str>,
    /// `uname -r`.
    pub kernel: Box<str>,
    /// `uname -n`.
    pub host: Box<str>,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: Box<str>,
    /// Clocks at start.
    pub clock: ClockAnchor,
    /// Bytes in a page.
    pub page_bytes: u32,
    /// Physical memory in bytes.
    pub memory_bytes: u64,
    /// Hooks that were wanted, and how each was got.
    pub hooks: Vec<super::Hook>,
    /// What cannot be seen, in words.
    pub blind: Vec<String>,
}

/// A process as its `task_struct` tells. Hooks `sched_process_fork`, `_exec`, `_exit`,
/// `mark_victim`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskFacts {
    /// Which process.
    pub key: ProcessKey,
    /// Its parent's pid.
    pub ppid: Pid,
    /// Pid in its own pid namespace.
    pub ns_pid: Pid,
    /// Real user id.
    pub uid: u32,
    /// Cgroup id; 0 when unknown.
    pub cgroup: u64,
    /// Name of the main thread.
    pub comm: Comm,
}

/// A process as /proc tells. Everything but `task` may be missing: the process may be gone, or the
/// tracer may not look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessFacts {
    /// What /proc/PID/stat and status say.
    pub task: TaskFacts,
    /// Command line split at NUL; a process that rewrites its title has one element. Bytes that
    /// are not UTF-8 are replaced; at most 4 KiB.
    pub args: Box<[Box<str>]>,
    /// Target of /proc/PID/exe, ` (deleted)` removed.
    pub exe: Option<Box<str>>,
    /// Target of /proc/PID/cwd.
    pub cwd: Option<Box<str>>,
    /// Cgroup path that names the service: of the unified hierarchy, or of v1's `name=systemd`
    /// or `memory` where that says more.
    pub cgroup_path: Option<Box<str>>,
    /// Environment variables that name a service or a limit, by the list in `observe`.
    pub env: Box<[(Box<str>, Box<str>)]>,
    /// Inode of the network namespace.
    pub netns: NetNs,
    /// User name of `task.uid`, from the user database.
    pub user: Option<Arc<str>>,
    /// Memory limit of the nearest cgroup that has one, bytes.
    pub memory_limit_bytes: Option<u64>,
    /// That cgroup's path.
    pub memory_limit_cgroup: Option<Box<str>>,
}

impl ProcessFacts {
    /// Value of environment variable `name`, when it is one of those kept.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find(|(key, _)| &**key == name)
            .map(|(_, value)| &**value)
    }
}

/// Who did something. Hooks: the task that ran when the event happened, where that is meaningful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// Which process.
    pub key: ProcessKey,
    /// Thread id.
    pub tid: Pid,
    /// Thread name.
    pub comm: Comm,
    /// Real user id.
    pub uid: u32,
}

/// A signal on its way to a process. Hook `signal_generate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSent {
    /// When.
    pub at: Timestamp,
    /// Number.
    pub signal: u32,
    /// `si_code`: 0 from a user process, 0x80 from the kernel, other positive values a fault.
    pub code: i32,
    /// Who sent it. Meaningless for a fault (the process itself) or a timer (whoever ran).
    pub sender: Actor,
}

impl SignalSent {
    /// Whether it is a SIGKILL of the kernel's own: for want of memory, or with a namespace or
    /// cgroup that ends.
    pub fn is_kernel_kill(&self) -> bool {
        self.signal == u32::from(SIGKILL) && self.code == SI_KERNEL
    }
}

/// A dead process. Hook `sched_process_exit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// The process.
    pub task: TaskFacts,
    /// Its parent.
    pub parent: ProcessKey,
    /// How it ended.
    pub status: ExitStatus,
    /// Peak resident set, bytes.
    pub peak_bytes: u64,
    /// Whether the OOM killer had marked it.
    pub oom_marked: bool,
    /// Whose allocation had it marked, when the hook on the mark ran: known here even if the
    /// mark's own record was lost.
    pub oom_trigger: Option<Box<Actor>>,
    /// The last TERM, INT, QUIT, HUP or ABRT sent to it.
    pub stop: Option<Box<SignalSent>>,
    /// The last other fatal signal sent to it: KILL, SEGV and so on.
    pub other: Option<Box<SignalSent>>,
}

/// Scope of an OOM kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OomScope {
    /// The machine ran out of memory (or a cpuset or memory policy did).
    Global,
    /// A cgroup reached its limit.
    Cgroup {
        /// Its id, 0 when unknown.
        id: u64,
        /// Its path, when the source tells it.
        path: Option<Box<str>>,
        /// Its limit in bytes, when known.
        limit_bytes: Option<u64>,
    },
}

/// A victim was marked. Hook `mark_victim`.
#[derive(Clone, Debug, PartialEq)]
pub struct OomMark {
    /// The victim; on kernels that pass only a pid, resolved through /proc by `observe`.
    pub victim: TaskFacts,
    /// Whose allocation triggered it.
    pub trigger: Actor,
    /// Cgroup of the trigger.
    pub trigger_cgroup: u64,
    /// From a hook on `oom_kill_process`.
    pub scope: Option<OomScope>,
    /// The nearest of the victim's cgroups whose usage had reached its limit at that instant: what
    /// the scope is inferred from when neither a hook nor the kernel log tells.
    pub full_cgroup: Option<FullCgroup>,
    /// The victim's anonymous memory, bytes.
    pub anon_bytes: Option<u64>,
    /// The victim's file-backed and shared memory, bytes.
    pub file_bytes: Option<u64>,
}

/// A cgroup at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullCgroup {
    /// Its id.
    pub id: u64,
    /// Its limit, bytes.
    pub limit_bytes: u64,
    /// Its usage, bytes.
    pub usage_bytes: u64,
}

/// The kernel log's `oom-kill:constraint=…` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomReport {
    /// `pid=`: the victim.
    pub victim: Pid,
    /// `task=`.
    pub comm: Box<str>,
    /// `constraint=` and `oom_memcg=`; the limit is read from the cgroup.
    pub scope: OomScope,
    /// `task_memcg=`.
    pub task_cgroup: Option<Box<str>>,
}

/// Which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketId {
    /// Known to the kernel hooks by its address (which is never shown).
    Kernel(u64),
    /// Known by its inode, from a scan.
    Scanned(u64),
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Which socket.
    pub socket: SocketId,
    /// Its network namespace.
    pub netns: NetNs,
    /// Where it listens.
    pub address: Endpoint,
    /// Processes that hold it: the one that called listen(), or all of them from a scan.
    pub holders: Box<[ProcessKey]>,
}

/// Why a connect failed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ConnectError {
    /// ECONNREFUSED: nobody listens there.
    Refused,
    /// ETIMEDOUT, or the caller gave up waiting.
    Timeout,
    /// EHOSTUNREACH, ENETUNREACH and their like.
    Unreachable,
    /// ECONNRESET while connecting.
    Reset,
    /// ENOENT: no socket file.
    NoSocketFile,
    /// EAGAIN on a unix socket: its backlog is full.
    BacklogFull,
    /// EACCES or EPERM.
    PermissionDenied,
    /// EADDRNOTAVAIL: no free local port.
    NoLocalPort,
    /// Any other errno.
    Other,
}

/// A failed connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFailed {
    /// Who called connect().
    pub owner: Actor,
    /// In which network namespace.
    pub netns: NetNs,
    /// Where to.
    pub remote: Endpoint,
    /// What went wrong.
    pub error: ConnectError,
    /// The errno behind `error`; 0 when the caller gave up.
    pub errno: u32,
    /// From connect() to failure; zero when not known.
    pub elapsed: std::time::Duration,
    /// Failures of this process, address and errno since the last such observation, this one
    /// included. The kernel counts them; in a storm there is an observation every 10 ms.
    pub count: u64,
}

/// A container, from its engine's API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// 64 hex digits.
    pub id: Box<str>,
    /// Without the leading slash.
    pub name: Box<str>,
    /// `docker`, `podman`.
    pub engine: Box<str>,
    /// Compose project and service, from the container's labels.
    pub compose: Option<(Box<str>, Box<str>)>,
    /// Its addresses in its networks.
    pub addresses: Box<[IpAddr]>,
    /// Published ports: host address and port, and the port inside.
    pub published: Box<[(std::net::SocketAddr, u16)]>,
}

/// Where events can be lost.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Ring {
    /// The ring of deaths, OOM kills and listener changes.
    Deaths,
    /// The ring of everything else.
    Traffic,
    /// The kernel's table of sockets in connect().
    Connecting,
    /// The kernel's table of failed requests that are only counted.
    Requests,
    /// The kernel log (/dev/kmsg was overwritten before it was read).
    KernelLog,
    /// A proxy's log (it was cut off or replaced before it was read to its end).
    ProxyLog,
    /// The capture that is replayed (there was no room for it, or its disk was too slow).
    Capture,
}
