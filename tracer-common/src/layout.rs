//! The kernel struct fields that the programs read, as one table that both sides expand.
//!
//! Userspace resolves each row from the running kernel's BTF and injects the result as the
//! read-only global `LAYOUT`. rustc emits no CO-RE relocations; this table takes their place. A field
//! that the kernel lacks is [`ABSENT`], never 0; a missing `required` field is an error.

/// The value of a [`Layout`] slot for a field or type that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// How a row of the table is resolved from BTF.
#[cfg(feature = "user")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Byte offset of `member` (a dotted path steps into embedded structs) in struct `of`.
    Offset {
        /// The struct's name.
        of: &'static str,
        /// The member, or a dotted path of members.
        member: &'static str,
    },
    /// Value of enumerator `name` of enum `of`.
    Enumerator {
        /// The enum's name.
        of: &'static str,
        /// The enumerator's name.
        name: &'static str,
    },
    /// Size in bytes of struct `of`.
    Size {
        /// The struct's name.
        of: &'static str,
    },
    /// 1 when argument `index` (0-based) of tracepoint `trace` is a pointer, 0 when it is not,
    /// [`ABSENT`] when the tracepoint or the argument does not exist.
    PointerArgument {
        /// The tracepoint's name, without `btf_trace_`.
        trace: &'static str,
        /// 0-based, not counting the `void *` that every `btf_trace_*` type starts with.
        index: usize,
    },
    /// 1 when argument `index` of tracepoint `trace` exists, else [`ABSENT`].
    HasArgument {
        /// The tracepoint's name, without `btf_trace_`.
        trace: &'static str,
        /// 0-based, not counting the `void *` that every `btf_trace_*` type starts with.
        index: usize,
    },
}

/// One row of the table.
#[cfg(feature = "user")]
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The slot's name in [`Layout`].
    pub slot: &'static str,
    /// Whether tracing is impossible on a kernel without it.
    pub required: bool,
    /// How the value is found.
    pub lookup: Lookup,
}

macro_rules! kernel_layout {
    ($( $(#[$doc:meta])* $slot:ident : $need:ident $kind:ident $args:tt ; )*) => {
        /// Values resolved from the running kernel's BTF, one `u32` slot per row.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(
            feature = "user",
            derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
        )]
        pub struct Layout {
            $( $(#[$doc])* pub $slot: u32, )*
        }

        impl Layout {
            /// A layout in which every slot is [`ABSENT`]: the value in the object before loading.
            pub const UNRESOLVED: Self = Self { $( $slot: ABSENT, )* };
        }

        /// The rows, in the order of [`Layout`]'s slots.
        #[cfg(feature = "user")]
        pub const FIELDS: &[Field] = &[
            $( Field {
                slot: stringify!($slot),
                required: kernel_layout!(@need $need),
                lookup: kernel_layout!(@kind $kind $args),
            }, )*
        ];
    };
    (@need required) => { true };
    (@need optional) => { false };
    (@kind offset ($of:literal, $member:literal)) => { Lookup::Offset { of: $of, member: $member } };
    (@kind enumerator ($of:literal, $name:literal)) => { Lookup::Enumerator { of: $of, name: $name } };
    (@kind size ($of:literal)) => { Lookup::Size { of: $of } };
    (@kind pointer_argument ($trace:literal, $index:literal)) => { Lookup::PointerArgument { trace: $trace, index: $index } };
    (@kind has_argument ($trace:literal, $index:literal)) => { Lookup::HasArgument { trace: $trace, index: $index } };
}

kernel_layout! {
    /// Thread id in the initial pid namespace.
    task_pid: required offset("task_struct", "pid");
    /// Process id (thread group id) in the initial pid namespace.
    task_tgid: required offset("task_struct", "tgid");
    /// Thread name, 16 bytes, NUL-padded.
    task_comm: required offset("task_struct", "comm");
    /// `PF_*` bits; `PF_EXITING` is 0x4.
    task_flags: required offset("task_struct", "flags");
    /// Wait status of this thread: signal in the low 7 bits, 0x80 core dumped, status in the next byte.
    task_exit_code: required offset("task_struct", "exit_code");
    /// The process that waits for this one.
    task_real_parent: required offset("task_struct", "real_parent");
    /// The first thread of the process.
    task_group_leader: required offset("task_struct", "group_leader");
    /// State shared by the process's threads.
    task_signal: required offset("task_struct", "signal");
    /// Address space; NULL for kernel threads, and at exit before 6.16.
    task_mm: required offset("task_struct", "mm");
    /// CLOCK_BOOTTIME at creation, ns. 5.5+ under this name.
    task_start_boottime: required offset("task_struct", "start_boottime");
    /// The real credentials.
    task_real_cred: required offset("task_struct", "real_cred");
    /// Cgroup membership.
    task_cgroups: required offset("task_struct", "cgroups");
    /// `struct pid` of this thread.
    task_thread_pid: required offset("task_struct", "thread_pid");

    /// Real user id.
    cred_uid: required offset("cred", "uid");

    /// Number of threads that have not begun to exit.
    signal_live: required offset("signal_struct", "live");
    /// `SIGNAL_*` bits; `SIGNAL_GROUP_EXIT` is 0x4.
    signal_flags: required offset("signal_struct", "flags");
    /// Wait status of the whole group, valid under `SIGNAL_GROUP_EXIT`.
    signal_group_exit_code: required offset("signal_struct", "group_exit_code");
    /// Peak resident set, pages, set when the address space is left.
    signal_maxrss: required offset("signal_struct", "maxrss");
    /// Non-NULL once the process is an OOM victim.
    signal_oom_mm: required offset("signal_struct", "oom_mm");

    /// Pid namespace depth of a `struct pid`.
    pid_level: required offset("pid", "level");
    /// `struct upid[]`, one per level, of [`Layout::upid_size`] bytes each; `nr` comes first.
    pid_numbers: required offset("pid", "numbers");
    /// Size of `struct upid`.
    upid_size: required size("upid");

    /// Start of the argument area in user memory.
    mm_arg_start: required offset("mm_struct", "arg_start");
    /// End of the argument area in user memory.
    mm_arg_end: required offset("mm_struct", "arg_end");
    /// Resident pages by kind: an array of atomics (to 6.1) or of per-CPU counters (6.12 and on).
    mm_rss_stat: optional offset("mm_struct", "rss_stat");
    /// Present when `rss_stat` is an array of atomics.
    mm_rss_stat_count: optional offset("mm_rss_stat", "count");
    /// Size of `struct percpu_counter`, the stride of the newer `rss_stat`.
    percpu_counter_size: optional size("percpu_counter");
    /// The approximate sum in a `struct percpu_counter`.
    percpu_counter_count: optional offset("percpu_counter", "count");

    /// Cgroup in the unified hierarchy.
    css_set_dfl_cgrp: required offset("css_set", "dfl_cgrp");
    /// Per-controller states, an array of pointers indexed by `memory_cgrp_id`.
    css_set_subsys: required offset("css_set", "subsys");
    /// The memory controller's index in `css_set.subsys`.
    memory_cgrp_id: optional enumerator("cgroup_subsys_id", "memory_cgrp_id");
    /// The cgroup of a controller state.
    css_cgroup: required offset("cgroup_subsys_state", "cgroup");
    /// The directory of a cgroup.
    cgroup_kn: required offset("cgroup", "kn");
    /// The hierarchy that a cgroup belongs to.
    cgroup_root: required offset("cgroup", "root");
    /// 64-bit id of a cgroup's directory: what `bpf_get_current_cgroup_id` returns.
    kernfs_node_id: required offset("kernfs_node", "id");

    /// `struct page_counter` of charged memory.
    memcg_memory: optional offset("mem_cgroup", "memory");
    /// Pages charged.
    page_counter_usage: optional offset("page_counter", "usage");
    /// Hard limit, pages.
    page_counter_max: optional offset("page_counter", "max");
    /// The parent cgroup's counter.
    page_counter_parent: optional offset("page_counter", "parent");

    /// The cgroup that hit its limit; NULL in a machine-wide OOM.
    oom_control_memcg: optional offset("oom_control", "memcg");
    /// `enum oom_constraint`.
    oom_control_constraint: optional offset("oom_control", "constraint");
    /// Pages of the limit or the machine.
    oom_control_totalpages: optional offset("oom_control", "totalpages");
    /// 0 when `mark_victim` passes a pid (5.10), 1 when it passes a task (newer stable kernels, 6.1).
    mark_victim_is_task: required pointer_argument("mark_victim", 0);
    /// 1 when `sched_process_exit` passes `group_dead` (6.16+).
    exit_has_group_dead: optional has_argument("sched_process_exit", 1);

    /// Address family.
    sock_family: required offset("sock_common", "skc_family");
    /// Remote port, network order.
    sock_dport: required offset("sock_common", "skc_dport");
    /// Local port, host order.
    sock_num: required offset("sock_common", "skc_num");
    /// Remote IPv4 address.
    sock_daddr: required offset("sock_common", "skc_daddr");
    /// Local IPv4 address.
    sock_rcv_saddr: required offset("sock_common", "skc_rcv_saddr");
    /// Remote IPv6 address.
    sock_v6_daddr: required offset("sock_common", "skc_v6_daddr");
    /// Local IPv6 address.
    sock_v6_rcv_saddr: required offset("sock_common", "skc_v6_rcv_saddr");
    /// State of the connection, a byte; 8 is CLOSE_WAIT.
    sock_state: required offset("sock_common", "skc_state");
    /// Network namespace.
    sock_net: required offset("sock_common", "skc_net");
    /// Identity of a socket for as long as the machine runs; 0 until somebody asked for it.
    sock_cookie: required offset("sock_common", "skc_cookie");
    /// Pending error, a positive errno.
    sock_err: required offset("sock", "sk_err");
    /// IP protocol; 6 is TCP.
    sock_protocol: required offset("sock", "sk_protocol");
    /// `struct socket` of a `struct sock`; NULL once it was closed.
    sock_socket: required offset("sock", "sk_socket");
    /// Inode number of a network namespace.
    net_inum: required offset("net", "ns.inum");

    /// `struct sock` of a `struct socket`.
    socket_sk: required offset("socket", "sk");
    /// State of a `struct socket`; 1 (unconnected) until its protocol's connect function succeeds.
    socket_state: required offset("socket", "state");
    /// `SOCK_*` type of a `struct socket`, a short.
    socket_type: required offset("socket", "type");
    /// Open files of a task.
    task_files: required offset("task_struct", "files");
    /// Descriptor table of a `struct files_struct`.
    files_fdt: required offset("files_struct", "fdt");
    /// Array of `struct file *` in a `struct fdtable`.
    fdtable_fd: required offset("fdtable", "fd");
    /// For a socket's `struct file`: its `struct socket`.
    file_private_data: required offset("file", "private_data");

    /// `si_code` in `struct kernel_siginfo`.
    siginfo_code: required offset("kernel_siginfo", "si_code");

    /// A system call's first argument in the saved registers, also when it returns. x86-64 only.
    registers_argument1: optional offset("pt_regs", "di");
    /// The second.
    registers_argument2: optional offset("pt_regs", "si");
    /// The third.
    registers_argument3: optional offset("pt_regs", "dx");
}

/// What userspace decided from the machine's facts, injected as the read-only global `DECISIONS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::Immutable,
        zerocopy::KnownLayout
    )
)]
pub struct Decisions {
    /// 1: cgroup ids are those of cgroup v1's memory hierarchy; 0: of the unified one.
    pub cgroup_v1: u32,
    /// 1: a hook sees connect() return, and counts connects that fail inside the call itself.
    pub connect_returns: u32,
    /// Which HTTP requests are followed: 0 none, 1 those to the ports in `PROXY_PORTS`, 2 all.
    pub http: u32,
    /// 1: the kernel may skip a program that it interrupted for another task, so second programs are
    /// loaded.
    pub second_programs: u32,
}
