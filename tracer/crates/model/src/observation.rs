//! What was seen outside, at an instant. Everything that analysis knows arrives as one of these, so
//! a capture of the observations replays to the same findings.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Endpoint, NetNs};
use crate::connect::ConnectError;
use crate::exchange::{HttpCounted, HttpExchange, LogEntry, Witnesses};
use crate::exit::ExitStatus;
use crate::hook::Hook;
use crate::identity::{Actor, Comm, Pid, ProcessKey};
use crate::ring::Ring;
use crate::signal::{SI_KERNEL, SIGKILL};
use crate::time::{ClockAnchor, Timestamp};

/// Something seen outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When: the hook's own time for kernel events, the time of reading for everything else.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What was seen. Frequent variants own no heap memory; the rare large ones are boxed.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// First of a stream: the machine, and what can be observed on it.
    Session(Box<Session>),
    /// Wall time at an instant of boot time: at the start, and after each step of the wall clock.
    Clock(ClockAnchor),
    /// A process's facts from /proc: at the start, after an exec, or when its title may have changed.
    Process(Box<ProcessFacts>),
    /// A process was created.
    Forked {
        /// The child; has its parent's name until it execs.
        child: TaskFacts,
        /// The parent.
        parent: ProcessKey,
    },
    /// A process replaced its program.
    Executed {
        /// The process after the exec.
        task: TaskFacts,
        /// Arguments as the kernel had them, possibly truncated; see [`ProcessFacts::args`].
        args: Box<[Box<str>]>,
    },
    /// A process exited: all of its threads.
    Exited(Exit),
    /// A process no longer exists, but its exit was not observed: events were lost.
    Vanished(ProcessKey),
    /// The OOM killer chose a victim.
    OomVictim(Box<OomVictim>),
    /// The kernel log's report of an OOM kill: the scope, where no hook has it.
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
        /// The process that closed it last.
        by: Actor,
        /// Whether that process was exiting.
        exiting: bool,
    },
    /// All listeners of one kind in one network namespace, from a scan. Unix sockets have no hook:
    /// only scans see them come and go. For TCP a scan corrects what lost events left wrong.
    ListenersScanned {
        /// The namespace.
        netns: NetNs,
        /// Whether `listeners` are unix sockets or TCP sockets.
        unix: bool,
        /// All of them.
        listeners: Box<[Listener]>,
    },
    /// A connect failed.
    ConnectFailed(Box<ConnectFailed>),
    /// An established connection was closed because its owner is exiting.
    ConnectionCut {
        /// The exiting process.
        owner: Actor,
        /// Its network namespace.
        netns: NetNs,
        /// Its own end.
        local: Endpoint,
        /// The other end.
        remote: Endpoint,
    },
    /// A cgroup's path, and its limit if it has one.
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
    /// A request at a proxy failed; the kernel or the TLS library is the witness.
    Http(Box<HttpExchange>),
    /// Requests at a proxy failed, counted without details.
    HttpCounted(Box<HttpCounted>),
    /// A line about an error in a proxy's log.
    ProxyLog(Arc<LogEntry>),
    /// Lines of proxies' logs that could not be parsed.
    LogLinesUnread(u64),
    /// Which witnesses follow a proxy's process.
    Witnesses(Witnesses),
    /// A hook that depends on the running proxies was attached, detached or attached another way.
    Hook(Box<Hook>),
    /// A deployment mark: `tracer mark`, or a deployment that begins or ends.
    Mark(Box<str>),
    /// Events were lost.
    Lost {
        /// Where they were lost.
        ring: Ring,
        /// How many since the last such observation.
        count: u64,
    },
    /// Everything that existed before is known; what follows is live.
    Armed,
    /// Only time has passed.
    Tick,
    /// Last of a stream: the tracer stops.
    End,
}

/// The machine, and what can be observed on it.
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
    /// The hooks, and how each is attached.
    pub hooks: Vec<Hook>,
    /// Blind spots, in words.
    pub blind: Vec<String>,
}

/// A process, from its `task_struct`. Hooks `sched_process_fork`, `_exec`, `_exit`,
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

/// A process, from /proc. Everything but `task` may be missing: the process may be gone, or the
/// tracer may lack permission.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessFacts {
    /// From /proc/PID/stat and status.
    pub task: TaskFacts,
    /// Command line split at NUL; a process that rewrites its title has one element. Bytes that
    /// are not UTF-8 are replaced; at most 4 KiB.
    pub args: Box<[Box<str>]>,
    /// Target of /proc/PID/exe, ` (deleted)` removed.
    pub exe: Option<Box<str>>,
    /// Target of /proc/PID/cwd.
    pub cwd: Option<Box<str>>,
    /// Cgroup path that names the service: in the unified hierarchy, or in v1's `name=systemd` or
    /// `memory` hierarchy where that is more specific.
    pub cgroup_path: Option<Box<str>>,
    /// Environment variables that name a service or a limit; `observe` has the list.
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
    /// Value of environment variable `name`, if it is one of those kept.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find(|(key, _)| &**key == name)
            .map(|(_, value)| &**value)
    }
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
    /// Who sent it. Meaningless for a fault (the process itself) or a timer (whatever task ran).
    pub sender: Actor,
}

impl SignalSent {
    /// Whether the kernel itself sent it as SIGKILL: an OOM kill, or the end of a pid namespace or
    /// cgroup.
    pub fn is_kernel_kill(&self) -> bool {
        self.signal == u32::from(SIGKILL) && self.code == SI_KERNEL
    }
}

/// A process that exited. Hook `sched_process_exit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// The process.
    pub task: TaskFacts,
    /// Its parent.
    pub parent: ProcessKey,
    /// Its exit status.
    pub status: ExitStatus,
    /// Peak resident set, bytes.
    pub peak_bytes: u64,
    /// Whether the OOM killer had chosen it as a victim.
    pub oom_victim: bool,
    /// The task whose allocation triggered the OOM kill, if the hook `mark_victim` ran: known here
    /// even if that hook's own record was lost.
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
        /// Its path, if the source has it.
        path: Option<Box<str>>,
        /// Its limit in bytes, when known.
        limit_bytes: Option<u64>,
    },
}

/// The OOM killer chose a victim. Hook `mark_victim`.
#[derive(Clone, Debug, PartialEq)]
pub struct OomVictim {
    /// The victim; on kernels that pass only a pid, `observe` looks it up in /proc.
    pub task: TaskFacts,
    /// The task whose allocation triggered it.
    pub trigger: Actor,
    /// Cgroup of the trigger.
    pub trigger_cgroup: u64,
    /// The scope, from a hook on `oom_kill_process`.
    pub scope: Option<OomScope>,
    /// The nearest of the victim's cgroups whose usage had reached its limit at that instant: the
    /// scope is inferred from it if neither a hook nor the kernel log has it.
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
    /// `constraint=` and `oom_memcg=`; the limit comes from the cgroup's files.
    pub scope: OomScope,
    /// `task_memcg=`.
    pub task_cgroup: Option<Box<str>>,
}

/// Which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketId {
    /// Seen by a kernel hook: its address, which is never shown.
    Kernel(u64),
    /// Found by a scan: its inode.
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
    /// Processes that hold it: the one that called listen(), or, from a scan, all of them.
    pub holders: Box<[ProcessKey]>,
}

/// A failed connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFailed {
    /// Who called connect().
    pub owner: Actor,
    /// Its network namespace.
    pub netns: NetNs,
    /// Where to.
    pub remote: Endpoint,
    /// What went wrong.
    pub error: ConnectError,
    /// The errno behind `error`; 0 when the caller gave up.
    pub errno: u32,
    /// From connect() to the failure; zero when unknown.
    pub elapsed: Duration,
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
    /// Compose project and service, from its labels.
    pub compose: Option<(Box<str>, Box<str>)>,
    /// Its addresses in its networks.
    pub addresses: Box<[IpAddr]>,
    /// Published ports: host address and port, and the port inside.
    pub published: Box<[(SocketAddr, u16)]>,
}
