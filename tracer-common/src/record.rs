//! What crosses the rings. All integers are in host order unless a field says otherwise.
//!
//! A record starts with a [`Header`]; `kind` tells which struct it is. Layouts are explicit: no
//! implicit padding (userspace decodes with zerocopy, which refuses it).

/// Length of a thread name, NUL included.
pub const COMM_LEN: usize = 16;
/// Bytes of the command line kept by [`ExecRecord`].
pub const ARGS_LEN: usize = 256;
/// Bytes of the path kept by [`CgroupRecord`].
pub const CGROUP_PATH_LEN: usize = 256;
/// Size of `sun_path`.
pub const UNIX_PATH_LEN: usize = 108;
/// First bytes of an HTTP request that are kept.
pub const HTTP_HEAD_LEN: usize = 512;

/// [`Header::kind`] values. The first group travels on the `DEATHS` ring, the rest on `TRAFFIC`.
pub mod kind {
    /// [`super::ExitRecord`].
    pub const EXIT: u32 = 1;
    /// [`super::OomMarkRecord`].
    pub const OOM_MARK: u32 = 2;
    /// [`super::ListenRecord`]: a socket began to listen.
    pub const LISTEN_UP: u32 = 3;
    /// [`super::ListenRecord`]: a socket stopped listening.
    pub const LISTEN_DOWN: u32 = 4;
    /// [`super::SignaledExitRecord`].
    pub const EXIT_SIGNALED: u32 = 5;

    /// [`super::ForkRecord`].
    pub const FORK: u32 = 16;
    /// [`super::ExecRecord`].
    pub const EXEC: u32 = 17;
    /// [`super::CgroupRecord`].
    pub const CGROUP: u32 = 18;
    /// [`super::ConnectRecord`].
    pub const CONNECT_FAILED: u32 = 19;
    /// [`super::UnixConnectRecord`].
    pub const UNIX_CONNECT_FAILED: u32 = 20;
    /// [`super::CutRecord`].
    pub const CUT: u32 = 21;
    /// [`super::HttpRecord`].
    pub const HTTP: u32 = 22;
}

/// [`HttpRecord::end`] values.
pub mod http_end {
    /// An answer with [`super::HttpRecord::status`].
    pub const STATUS: u32 = 0;
    /// No answer: this end closed the connection.
    pub const CLOSED: u32 = 1;
    /// No answer: this end's process died.
    pub const DIED: u32 = 2;
    /// No answer: the other end had closed the connection.
    pub const PEER_CLOSED: u32 = 3;
    /// No answer: the other end reset the connection.
    pub const PEER_RESET: u32 = 4;
}

/// Indices into the per-CPU array `LOST`: records that found no room.
pub mod lost {
    /// The `DEATHS` ring was full.
    pub const DEATHS: u32 = 0;
    /// The `TRAFFIC` ring was full.
    pub const TRAFFIC: u32 = 1;
    /// The map of sockets in connect() was full: a failed connect could not be given its owner.
    pub const CONNECTING: u32 = 2;
    /// The map of failed requests that are only counted was full.
    pub const REQUESTS: u32 = 3;
    /// Number of counters.
    pub const COUNT: u32 = 4;
}

macro_rules! records {
    ($( $(#[$doc:meta])* pub struct $name:ident { $($body:tt)* } )*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            #[cfg_attr(
                feature = "user",
                derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
            )]
            pub struct $name { $($body)* }
        )*
    };
}

records! {
    /// First in every record.
    pub struct Header {
        /// CLOCK_BOOTTIME when the hook ran, ns.
        pub at_ns: u64,
        /// One of [`kind`].
        pub kind: u32,
        /// Processor the hook ran on.
        pub cpu: u32,
    }

    /// A process, as its `task_struct` tells.
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

    /// Who did something to somebody else: the process that called connect(), sent a signal, or
    /// triggered the OOM killer.
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
        /// The process, named as after the exec.
        pub task: Task,
        /// Bytes used in `args`; the command line was longer when `args_total` is larger.
        pub args_len: u32,
        /// Length of the whole argument area, bytes.
        pub args_total: u32,
        /// Arguments, NUL-separated.
        pub args: [u8; ARGS_LEN],
    }

    /// The last signals that could end a process, hook `signal_generate`.
    pub struct Signal {
        /// CLOCK_BOOTTIME when it was sent, ns; 0 when there was none.
        pub at_ns: u64,
        /// The sender: the process that ran when the signal was generated.
        pub sender: Actor,
        /// Signal number.
        pub signal: u32,
        /// `si_code`: 0 user, 0x80 kernel, positive others a fault or timer, negative queued.
        pub code: i32,
    }

    /// Memory of the OOM victim and of the cgroup at its limit, read at the instant of marking.
    pub struct OomMemory {
        /// Anonymous pages of the victim (approximate on kernels with per-CPU counters).
        pub anon_pages: u64,
        /// File-backed and shared-memory pages of the victim.
        pub file_pages: u64,
        /// Id of the nearest of the victim's cgroups (of the trigger's, when the hook got only the
        /// victim's pid) whose usage had reached its limit; 0: none.
        pub full_cgroup: u64,
        /// That cgroup's limit, pages.
        pub full_limit_pages: u64,
        /// That cgroup's usage, pages.
        pub full_usage_pages: u64,
    }

    /// Scope of an OOM kill from `oom_kill_process` (fentry or kprobe).
    pub struct OomScope {
        /// 1 when the hook ran for this kill; 0: nothing below is known.
        pub known: u32,
        /// `enum oom_constraint`: 0 none, 1 cpuset, 2 memory policy, 3 cgroup.
        pub constraint: u32,
        /// Cgroup that hit its limit; 0 in a machine-wide OOM.
        pub cgroup: u64,
        /// Its limit or the machine's memory, pages.
        pub total_pages: u64,
    }

    /// Hook `mark_victim`. Ring `DEATHS`, wakes the reader at once.
    pub struct OomMarkRecord {
        /// Common part.
        pub header: Header,
        /// The victim. On kernels that pass only a pid, all fields but `pid` (which may then be a
        /// thread's id) are 0.
        pub victim: Task,
        /// Whose allocation triggered the kill.
        pub trigger: Actor,
        /// Cgroup of the trigger.
        pub trigger_cgroup: u64,
        /// Memory at that instant; the victim's own pages are 0 when the hook got only a pid.
        pub memory: OomMemory,
        /// Scope, when a hook on `oom_kill_process` told.
        pub scope: OomScope,
    }

    /// Hook `sched_process_exit`, once per process, when its last thread is dead. Ring `DEATHS`,
    /// wakes the reader at once when the process did not end well.
    pub struct ExitRecord {
        /// Common part.
        pub header: Header,
        /// The process.
        pub task: Task,
        /// Wait status as the parent will see it.
        pub status: u32,
        /// 1 when the OOM killer had marked the process (`signal->oom_mm`).
        pub oom_marked: u32,
        /// Peak resident set, pages.
        pub peak_rss_pages: u64,
        /// Creation time of the parent, ns.
        pub parent_start_ns: u64,
    }

    /// As [`ExitRecord`], of a process that was sent a signal that ends processes, or was marked by
    /// the OOM killer. Most were not: theirs takes less room in the ring, and less time.
    pub struct SignaledExitRecord {
        /// As that of others.
        pub exit: ExitRecord,
        /// The last TERM, INT, QUIT, HUP or ABRT sent to the process.
        pub stop: Signal,
        /// The last other signal whose default action ends a process: KILL, SEGV and so on.
        pub other: Signal,
        /// The mark's trigger when `oom_marked`, and the mark was seen.
        pub trigger: Actor,
        /// When it was marked, ns; 0 when not or not seen.
        pub oom_at_ns: u64,
    }

    /// A TCP socket's addresses.
    pub struct Endpoints {
        /// Local address; IPv4 in the first four bytes. Network order.
        pub local: [u8; 16],
        /// Remote address; IPv4 in the first four bytes. Network order.
        pub remote: [u8; 16],
        /// Local port; 0 when not bound yet.
        pub local_port: u16,
        /// Remote port.
        pub remote_port: u16,
        /// AF_INET (2) or AF_INET6 (10).
        pub family: u16,
        /// Explicit padding.
        pub pad: u16,
        /// Inode number of the network namespace.
        pub netns: u32,
        /// Explicit padding.
        pub pad2: u32,
    }

    /// Hook `inet_sock_set_state`, to and from LISTEN. Ring `DEATHS`, wakes the reader at once.
    pub struct ListenRecord {
        /// Common part.
        pub header: Header,
        /// Kernel address of the socket: an identity while it lives, never shown.
        pub socket: u64,
        /// The socket.
        pub endpoints: Endpoints,
        /// The process that ran: the one in listen(), or the one that let go last.
        pub actor: Actor,
        /// 1 when `actor` was exiting.
        pub exiting: u32,
        /// Explicit padding.
        pub pad: u32,
    }

    /// Hook `inet_sock_set_state` SYN_SENT→CLOSE, or a connect that failed before SYN_SENT (fexit,
    /// kretprobe or `sys_exit_connect`). Ring `TRAFFIC`, woken at most every 4 ms.
    ///
    /// Failures of one process to one address with one error are counted in the kernel: a record
    /// goes out for the first and then at most every 10 ms, carrying the count so far, so that
    /// storms are exact without one record each.
    pub struct ConnectRecord {
        /// Common part.
        pub header: Header,
        /// Who called connect().
        pub actor: Actor,
        /// The socket.
        pub endpoints: Endpoints,
        /// The socket's error, a positive errno; 0 when the owner gave up by closing it.
        pub error: u32,
        /// Explicit padding.
        pub pad: u32,
        /// From connect() to failure, ns.
        pub elapsed_ns: u64,
        /// Failures so far of this process, address and error, this one included; 0 when the map
        /// `REFUSALS` was full: this record then stands for one failure that nothing counted.
        pub total: u64,
    }

    /// A failed connect of a unix stream socket (fexit, kretprobe or `sys_exit_connect`). Ring
    /// `TRAFFIC`. Counted as [`ConnectRecord`] is, per process, path and error.
    pub struct UnixConnectRecord {
        /// Common part.
        pub header: Header,
        /// Who called connect().
        pub actor: Actor,
        /// A positive errno.
        pub error: u32,
        /// Bytes used in `path`.
        pub path_len: u32,
        /// Network namespace of the caller, inode number; 0 when unknown.
        pub netns: u32,
        /// Explicit padding.
        pub pad: u32,
        /// Failures so far of this process, path and error, this one included; 0 as in
        /// [`ConnectRecord::total`].
        pub total: u64,
        /// `sun_path`; abstract names start with a NUL byte.
        pub path: [u8; UNIX_PATH_LEN],
        /// Explicit padding.
        pub pad2: u32,
    }

    /// An established connection closed because its owner is exiting. Ring `TRAFFIC`.
    pub struct CutRecord {
        /// Common part.
        pub header: Header,
        /// The dying process.
        pub actor: Actor,
        /// The socket, seen from the dying process.
        pub endpoints: Endpoints,
    }

    /// Where a thread of a proxy connected to.
    pub struct ConnectTarget {
        /// When, CLOCK_BOOTTIME ns; 0: nowhere.
        pub at_ns: u64,
        /// AF_UNIX (1), AF_INET (2) or AF_INET6 (10).
        pub family: u16,
        /// Remote port.
        pub port: u16,
        /// Bytes used in `address` by a unix path.
        pub path_len: u32,
        /// `sun_path`, or the remote address as in [`Endpoints::remote`].
        pub address: [u8; UNIX_PATH_LEN],
        /// 1 when what connect() returned is known.
        pub returned: u16,
        /// The positive errno that it returned; 0 when it succeeded.
        pub error: u16,
    }

    /// A request at a proxy that ended with a status of 500 or more, or without an answer. Hooks
    /// `cgroup_skb` and `inet_sock_set_state`, or the uprobes on OpenSSL. Ring `TRAFFIC`.
    pub struct HttpRecord {
        /// Common part.
        pub header: Header,
        /// The process that ran.
        pub actor: Actor,
        /// The connection, seen from the proxy; family 0 when unknown (TLS).
        pub endpoints: Endpoints,
        /// When the request's first bytes were seen, CLOCK_BOOTTIME ns.
        pub began_ns: u64,
        /// Where the running thread last connected to.
        pub connected: ConnectTarget,
        /// HTTP status; 0 when there was no answer.
        pub status: u32,
        /// One of [`http_end`].
        pub end: u32,
        /// 0: the request came to the proxy; 1: the proxy sent it.
        pub outbound: u32,
        /// 0: seen in plaintext; 1: in the TLS library.
        pub tls: u32,
        /// Answers to requests in `head` that came before this one: the request is the one with
        /// this index (pipelining), or the status line was part of a body.
        pub answered: u32,
        /// Bytes used in `head`.
        pub head_len: u32,
        /// First bytes of the request, and of what followed it before its answer.
        pub head: [u8; HTTP_HEAD_LEN],
    }

    /// Key of the map `HTTP_UNSENT`: failed inbound requests of which no record was sent.
    pub struct HttpUnsentKey {
        /// Where the proxy listens.
        pub local: [u8; 16],
        /// Network namespace, inode number.
        pub netns: u32,
        /// Port.
        pub local_port: u16,
        /// AF_INET (2) or AF_INET6 (10).
        pub family: u16,
        /// HTTP status; 0 when there was no answer.
        pub status: u32,
        /// Explicit padding.
        pub pad: u32,
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

    /// Key of the map `REFUSALS`: what failed connects are counted by.
    pub struct RefusalKey {
        /// Remote address.
        pub remote: [u8; 16],
        /// Who called connect().
        pub pid: u32,
        /// Network namespace, inode number.
        pub netns: u32,
        /// Remote port.
        pub remote_port: u16,
        /// AF_INET (2) or AF_INET6 (10).
        pub family: u16,
        /// As [`ConnectRecord::error`].
        pub error: u32,
    }

    /// Key of the map `UNIX_REFUSALS`.
    pub struct UnixRefusalKey {
        /// `sun_path`, zeroes after `path_len` bytes.
        pub path: [u8; UNIX_PATH_LEN],
        /// Bytes used in `path`.
        pub path_len: u32,
        /// Who called connect().
        pub pid: u32,
        /// As [`UnixConnectRecord::error`].
        pub error: u32,
        /// As [`UnixConnectRecord::netns`].
        pub netns: u32,
    }

    /// Value of the maps `REFUSALS` and `UNIX_REFUSALS`: the count, and what userspace needs to
    /// report the remainder when a storm ends between two records.
    pub struct Refusal {
        /// Failures so far.
        pub total: u64,
        /// When the last record was sent, CLOCK_BOOTTIME ns; 0 when it found no room.
        pub sent_ns: u64,
        /// The newest failure, CLOCK_BOOTTIME ns.
        pub last_ns: u64,
        /// Who called connect(), at the first failure.
        pub actor: Actor,
    }
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

impl ConnectTarget {
    /// Nowhere.
    pub const NONE: Self = Self {
        at_ns: 0,
        family: 0,
        port: 0,
        path_len: 0,
        address: [0; UNIX_PATH_LEN],
        returned: 0,
        error: 0,
    };
}

impl Endpoints {
    /// Not known.
    pub const UNKNOWN: Self = Self {
        local: [0; 16],
        remote: [0; 16],
        local_port: 0,
        remote_port: 0,
        family: 0,
        pad: 0,
        netns: 0,
        pad2: 0,
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

impl OomMemory {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        anon_pages: 0,
        file_pages: 0,
        full_cgroup: 0,
        full_limit_pages: 0,
        full_usage_pages: 0,
    };
}

impl OomScope {
    /// No hook told.
    pub const UNKNOWN: Self = Self {
        known: 0,
        constraint: 0,
        cgroup: 0,
        total_pages: 0,
    };
}
