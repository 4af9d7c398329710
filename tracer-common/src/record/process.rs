//! Processes: forks, execs and exits, the signals before an exit, and the cgroups they run in.

use super::{define::records, header::Header};

/// Length of a thread name, NUL included.
pub const COMM_LEN: usize = 16;
/// Bytes of the command line kept by [`ExecRecord`].
pub const ARGS_LEN: usize = 256;
/// Bytes of the path kept by [`CgroupRecord`].
pub const CGROUP_PATH_LEN: usize = 256;

records! {
    /// A process, read from its `task_struct`.
    pub struct Task {
        /// Process id in the initial pid namespace.
        pub pid: u32,
        /// Parent's process id in the initial pid namespace.
        pub ppid: u32,
        /// CLOCK_BOOTTIME when the process (its group leader) was created, ns.
        pub start_ns: u64,
        /// Cgroup id (see [`crate::Decisions::cgroup_v1`] for the hierarchy); 0 when unknown.
        pub cgroup: u64,
        /// Real user id in the initial user namespace.
        pub uid: u32,
        /// Process id in its own pid namespace.
        pub ns_pid: u32,
        /// Name of the group leader.
        pub comm: [u8; COMM_LEN],
    }

    /// The process that did something: called connect(), sent a signal, triggered the OOM killer.
    pub struct Actor {
        /// Process id in the initial pid namespace.
        pub pid: u32,
        /// Thread id in the initial pid namespace.
        pub tid: u32,
        /// CLOCK_BOOTTIME when the process was created, ns.
        pub start_ns: u64,
        /// Thread name.
        pub comm: [u8; COMM_LEN],
        /// Real user id.
        pub uid: u32,
        /// Explicit padding.
        pub pad: u32,
    }

    /// Hook `sched_process_fork`, for new processes only (not threads). Ring `TRAFFIC`.
    pub struct ForkRecord {
        /// Common part.
        pub header: Header,
        /// The child.
        pub child: Task,
        /// The parent's creation time, ns.
        pub parent_start_ns: u64,
    }

    /// Hook `sched_process_exec`. Ring `TRAFFIC`.
    pub struct ExecRecord {
        /// Common part.
        pub header: Header,
        /// The process, with its new name.
        pub task: Task,
        /// Bytes used in `args`; the command line was longer when `args_total` is larger.
        pub args_len: u32,
        /// Length of the whole argument area, bytes.
        pub args_total: u32,
        /// Arguments, NUL-separated.
        pub args: [u8; ARGS_LEN],
    }

    /// Hook `sched_process_exit`, once per process, when its last thread exits. Ring `DEATHS`; wakes
    /// the reader at once, except with status 0.
    pub struct ExitRecord {
        /// Common part.
        pub header: Header,
        /// The process.
        pub task: Task,
        /// Wait status as the parent will see it.
        pub status: u32,
        /// 1 when the process was an OOM victim (`signal->oom_mm`).
        pub oom_victim: u32,
        /// Peak resident set, pages.
        pub peak_rss_pages: u64,
        /// Creation time of the parent, ns.
        pub parent_start_ns: u64,
    }

    /// The exit of a process that was sent a signal that ends processes, or was an OOM victim. For
    /// most processes an [`ExitRecord`] is enough, which takes less room in the ring and less time.
    pub struct SignaledExitRecord {
        /// Common part.
        pub exit: ExitRecord,
        /// The last TERM, INT, QUIT, HUP or ABRT sent to the process.
        pub stop: Signal,
        /// The last other signal whose default action ends a process: KILL, SEGV and so on.
        pub other: Signal,
        /// The trigger of the OOM kill, if it was seen; else [`Actor::NOBODY`].
        pub trigger: Actor,
        /// When the kernel chose the process as OOM victim, ns; 0 if that was not seen.
        pub oom_at_ns: u64,
    }

    /// A signal that can end a process. Hook `signal_generate`; sent with the exit.
    pub struct Signal {
        /// CLOCK_BOOTTIME when it was sent, ns; 0 without a signal.
        pub at_ns: u64,
        /// The sender: the process that ran when the signal was generated.
        pub sender: Actor,
        /// Signal number.
        pub signal: u32,
        /// `si_code`: 0 user, 0x80 kernel, positive others a fault or timer, negative queued.
        pub code: i32,
    }

    /// Hook `cgroup_mkdir`. Ring `TRAFFIC`.
    pub struct CgroupRecord {
        /// Common part.
        pub header: Header,
        /// Id of the cgroup.
        pub id: u64,
        /// Bytes used in `path`.
        pub path_len: u32,
        /// Explicit padding.
        pub pad: u32,
        /// Path from the root of the hierarchy.
        pub path: [u8; CGROUP_PATH_LEN],
    }
}

impl Task {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        pid: 0,
        ppid: 0,
        start_ns: 0,
        cgroup: 0,
        uid: 0,
        ns_pid: 0,
        comm: [0; COMM_LEN],
    };
}

impl Actor {
    /// Nobody, or not known.
    pub const NOBODY: Self = Self {
        pid: 0,
        tid: 0,
        start_ns: 0,
        comm: [0; COMM_LEN],
        uid: 0,
        pad: 0,
    };
}

impl Signal {
    /// No signal was sent.
    pub const NONE: Self = Self {
        at_ns: 0,
        sender: Actor::NOBODY,
        signal: 0,
        code: 0,
    };
}
