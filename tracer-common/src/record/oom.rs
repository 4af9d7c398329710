//! OOM kills.

use super::{
    define::records,
    header::Header,
    process::{Actor, Task},
};

records! {
    /// Hook `mark_victim`: the kernel chose an OOM victim. Ring `DEATHS`, wakes the reader at once.
    pub struct OomVictimRecord {
        /// Common part.
        pub header: Header,
        /// The victim. On kernels that pass only a pid, all fields but `pid` (which may then be a
        /// thread's id) are 0.
        pub victim: Task,
        /// The process whose allocation started the kill.
        pub trigger: Actor,
        /// Cgroup of the trigger.
        pub trigger_cgroup: u64,
        /// Memory at that instant; the victim's own pages are 0 when the hook got only a pid.
        pub memory: OomMemory,
        /// Scope, when a hook on `oom_kill_process` ran.
        pub scope: OomScope,
    }

    /// Memory of the OOM victim and of the cgroup at its limit, read in the hook `mark_victim`.
    pub struct OomMemory {
        /// Anonymous pages of the victim (approximate on kernels with per-CPU counters).
        pub anon_pages: u64,
        /// File-backed and shared-memory pages of the victim.
        pub file_pages: u64,
        /// Id of the victim's nearest cgroup whose usage had reached its limit (of the trigger's, when
        /// the hook got only the victim's pid); 0: none.
        pub full_cgroup: u64,
        /// That cgroup's limit, pages.
        pub full_limit_pages: u64,
        /// That cgroup's usage, pages.
        pub full_usage_pages: u64,
    }

    /// Scope of an OOM kill. Hook `oom_kill_process` (fentry or kprobe).
    pub struct OomScope {
        /// 1 when the hook ran for this kill; 0 when the fields below are unknown.
        pub known: u32,
        /// `enum oom_constraint`: 0 none, 1 cpuset, 2 memory policy, 3 cgroup.
        pub constraint: u32,
        /// Cgroup that hit its limit; 0 in a machine-wide OOM.
        pub cgroup: u64,
        /// Its limit or the machine's memory, pages.
        pub total_pages: u64,
    }
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
    /// No hook ran.
    pub const UNKNOWN: Self = Self {
        known: 0,
        constraint: 0,
        cgroup: 0,
        total_pages: 0,
    };
}
