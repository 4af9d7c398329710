//! From facts to a plan: which hooks, by which rung, why not by a better one, and what stays
//! unseen. Pure.

use std::fmt;

use tracer_model::Hierarchy;

use super::facts::{KernelFacts, Lockdown, Works};
use super::patch::Cast;

/// The oldest kernel that the programs are made for.
const OLDEST: (u32, u32) = (5, 10);
/// From here on, other tasks may run while the programs of a tracepoint do.
const INTERRUPTIBLE: (u32, u32) = (7, 0);
/// Without these tracepoints there is no main job.
const INDISPENSABLE: [&str; 4] = [
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "inet_sock_set_state",
];

/// Why tracing can't begin here, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong with what.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.advice)
    }
}

impl std::error::Error for Refusal {}

/// How connect()'s return is seen. Best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectRung {
    /// fexit on the protocols' connect functions.
    Fexit,
    /// kprobe and kretprobe on them.
    Kretprobe,
    /// The tracepoint at the system call's end, at a small cost to every system call.
    SyscallExit,
    /// That and the one at its beginning.
    Syscall,
}

impl ConnectRung {
    /// As shown in findings.
    pub fn via(self) -> &'static str {
        match self {
            Self::Fexit => "fexit unix_stream_connect, inet_stream_connect",
            Self::Kretprobe => "kretprobe unix_stream_connect, inet_stream_connect",
            Self::SyscallExit => "tracepoint syscalls/sys_exit_connect",
            Self::Syscall => "tracepoints syscalls/sys_enter_connect, sys_exit_connect",
        }
    }
}

/// How the scope of an OOM kill is learnt. Best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeRung {
    /// fentry on `oom_kill_process`.
    Fentry,
    /// kprobe on it.
    Kprobe,
    /// The kernel log's `oom-kill:` line.
    KernelLog,
    /// The cgroups' page counters at the instant of marking.
    Counters,
}

impl ScopeRung {
    /// As shown in findings.
    pub fn via(self) -> &'static str {
        match self {
            Self::Fentry => "fentry oom_kill_process",
            Self::Kprobe => "kprobe oom_kill_process",
            Self::KernelLog => "kmsg",
            Self::Counters => "page counters",
        }
    }
}

/// The rungs of a ladder that may work, best first, and why better ones don't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder<R> {
    /// To be tried in this order.
    pub rungs: Vec<R>,
    /// Why the ones that are left out are.
    pub why_not: Vec<String>,
}

impl<R: Copy> Ladder<R> {
    fn choose(rungs: &[(R, &Works)]) -> Self {
        Self {
            rungs: rungs
                .iter()
                .filter(|(_, works)| works.is_ok())
                .map(|&(rung, _)| rung)
                .collect(),
            // Only what is above the rung taken matters.
            why_not: rungs
                .iter()
                .map_while(|(_, works)| works.as_ref().err().cloned())
                .collect(),
        }
    }
}

/// What to load and attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Tracepoints to leave out: the kernel lacks them.
    pub without: Vec<&'static str>,
    /// How connect()'s return is seen; no rungs: not at all.
    pub connect: Ladder<ConnectRung>,
    /// How the scope of an OOM kill is learnt.
    pub scope: Ladder<ScopeRung>,
    /// The hierarchy whose ids the hooks tell.
    pub cgroups: Hierarchy,
    /// Whether the kernel may interrupt a program for another task, and skip what it does meanwhile.
    pub interruptible: bool,
    /// How kernel memory is read: through cast pointers, else through a helper.
    pub cast: Option<Cast>,
}

/// What can't be seen when no rung of the ladder for connect() holds.
pub(super) const BLIND_CONNECT: &str =
    "failed connects to unix sockets, and TCP connects that fail before a packet is sent";

/// What can't be seen without a tracepoint.
pub(super) fn blind_without(tracepoint: &str) -> Option<&'static str> {
    match tracepoint {
        "signal_generate" => Some("who sent the signal that ended a process"),
        "mark_victim" => Some("OOM kills before the victim is dead, and who triggered them"),
        "cgroup_mkdir" => Some("names of cgroups that live shorter than it takes to look"),
        _ => None,
    }
}

/// Decides.
pub fn plan(facts: &KernelFacts) -> Result<Plan, Refusal> {
    let refuse = |what: String, advice: &str| {
        Err(Refusal {
            what,
            advice: advice.into(),
        })
    };
    let release = &facts.release;
    if let Some(version) = facts.version
        && version < OLDEST
    {
        return refuse(
            format!("kernel {release} is too old"),
            "the tracer needs Linux 5.10 or newer",
        );
    }
    if let Err(why) = &facts.procfs {
        return refuse(why.clone(), "mount it: mount -t proc proc /proc");
    }
    if !facts.missing_capabilities.is_empty() {
        return refuse(
            format!(
                "no permission to load BPF programs ({} missing)",
                facts.missing_capabilities.join(", ")
            ),
            "run as root: sudo tracer …",
        );
    }
    if facts.lockdown == Lockdown::Confidentiality {
        return refuse(
            "the kernel is locked down in confidentiality mode, which forbids reading its memory"
                .into(),
            "boot with lockdown=integrity, or without lockdown",
        );
    }
    if let Err(why) = &facts.type_information {
        return refuse(
            format!("the type information (BTF) of kernel {release} can't be used: {why}"),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are",
        );
    }
    if let Some(name) = INDISPENSABLE
        .iter()
        .find(|name| facts.missing_tracepoints.contains(*name))
    {
        return refuse(
            format!("kernel {release} has no tracepoint {name}"),
            "use a kernel built with CONFIG_TRACEPOINTS=y and CONFIG_INET=y",
        );
    }
    Ok(Plan {
        without: facts.missing_tracepoints.clone(),
        connect: Ladder::choose(&[
            (ConnectRung::Fexit, &facts.fentry),
            (ConnectRung::Kretprobe, &facts.kprobes),
            (ConnectRung::SyscallExit, &facts.syscall_registers),
            (ConnectRung::Syscall, &facts.syscall_tracepoints),
        ]),
        scope: Ladder::choose(&[
            (ScopeRung::Fentry, &facts.fentry),
            (ScopeRung::Kprobe, &facts.kprobes),
            (ScopeRung::KernelLog, &facts.kernel_log),
            (ScopeRung::Counters, &Ok(())),
        ]),
        cgroups: facts.cgroups,
        // Nothing else tells.
        interruptible: facts.version.is_none_or(|version| version >= INTERRUPTIBLE),
        cast: facts.cast.as_ref().ok().copied(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A usual server: everything works.
    fn good() -> KernelFacts {
        KernelFacts {
            release: "6.12.0-1-amd64".into(),
            version: Some((6, 12)),
            procfs: Ok(()),
            missing_capabilities: Vec::new(),
            type_information: Ok(()),
            missing_tracepoints: Vec::new(),
            lockdown: Lockdown::Off,
            fentry: Ok(()),
            cast: Ok(Cast {
                function: 1,
                structure: 2,
            }),
            kprobes: Ok(()),
            syscall_registers: Ok(()),
            syscall_tracepoints: Ok(()),
            kernel_log: Ok(()),
            cgroups: Hierarchy::Unified,
        }
    }

    fn flipped(flip: impl FnOnce(&mut KernelFacts)) -> Result<Plan, Refusal> {
        let mut facts = good();
        flip(&mut facts);
        plan(&facts)
    }

    #[test]
    fn where_everything_works_the_best_rungs_are_first() {
        let plan = plan(&good()).unwrap();
        assert_eq!(plan.connect.rungs[0], ConnectRung::Fexit);
        assert_eq!(plan.scope.rungs[0], ScopeRung::Fentry);
        assert_eq!(plan.connect.why_not, [""; 0]);
        assert_eq!(plan.scope.why_not, [""; 0]);
        assert_eq!(plan.without, [""; 0]);
        assert!(plan.cast.is_some());
    }

    #[test]
    fn memory_is_read_through_the_helper_where_pointers_cannot_be_cast() {
        let plan = flipped(|facts| facts.cast = Err("no".into())).unwrap();
        assert_eq!(plan.cast, None);
        assert_eq!(plan.connect.rungs[0], ConnectRung::Fexit);
    }

    #[test]
    fn each_fact_that_forbids_tracing_is_told_with_what_to_do() {
        type Flip = fn(&mut KernelFacts);
        let cases: [(Flip, &str, &str); 6] = [
            (|f| f.version = Some((5, 9)), "too old", "5.10"),
            (
                |f| f.procfs = Err("/proc can't be read: not found".into()),
                "/proc can't be read: not found",
                "mount",
            ),
            (
                |f| f.missing_capabilities = vec!["CAP_BPF"],
                "CAP_BPF missing",
                "sudo",
            ),
            (
                |f| f.lockdown = Lockdown::Confidentiality,
                "confidentiality",
                "lockdown=integrity",
            ),
            (
                |f| f.type_information = Err("/sys/kernel/btf/vmlinux: not found".into()),
                "/sys/kernel/btf/vmlinux: not found",
                "CONFIG_DEBUG_INFO_BTF",
            ),
            (
                |f| f.missing_tracepoints = vec!["inet_sock_set_state"],
                "inet_sock_set_state",
                "CONFIG_INET",
            ),
        ];
        for (flip, what, advice) in cases {
            let refusal = flipped(flip).unwrap_err();
            assert!(refusal.what.contains(what), "{refusal}");
            assert!(refusal.advice.contains(advice), "{refusal}");
        }
    }

    #[test]
    fn facts_that_forbid_nothing_change_nothing() {
        let best = plan(&good()).unwrap();
        assert_eq!(flipped(|f| f.version = Some((6, 19))).unwrap(), best);
        assert_eq!(flipped(|f| f.lockdown = Lockdown::Integrity).unwrap(), best);
    }

    #[test]
    fn without_fentry_kprobes_are_taken_and_the_reason_is_kept() {
        let plan = flipped(|f| f.fentry = Err("EPERM".into())).unwrap();
        assert_eq!(
            plan.connect.rungs,
            [
                ConnectRung::Kretprobe,
                ConnectRung::SyscallExit,
                ConnectRung::Syscall
            ]
        );
        assert_eq!(plan.connect.why_not, ["EPERM"]);
        assert_eq!(plan.scope.rungs[0], ScopeRung::Kprobe);
    }

    #[test]
    fn without_kprobes_fentry_stays_and_a_lower_rung_is_left_out() {
        let plan = flipped(|f| f.kprobes = Err("none".into())).unwrap();
        assert_eq!(
            plan.connect.rungs,
            [
                ConnectRung::Fexit,
                ConnectRung::SyscallExit,
                ConnectRung::Syscall
            ]
        );
        assert_eq!(plan.connect.why_not, [""; 0], "nothing better is missing");
    }

    #[test]
    fn without_fentry_and_kprobes_the_last_rungs_are_taken() {
        let bare = |f: &mut KernelFacts| {
            f.fentry = Err("EPERM".into());
            f.kprobes = Err("none".into());
        };
        let plan = flipped(bare).unwrap();
        assert_eq!(
            plan.connect.rungs,
            [ConnectRung::SyscallExit, ConnectRung::Syscall]
        );
        assert_eq!(plan.connect.why_not, ["EPERM", "none"]);
        assert_eq!(
            plan.scope.rungs,
            [ScopeRung::KernelLog, ScopeRung::Counters]
        );
        let plan = flipped(|f| {
            bare(f);
            f.kernel_log = Err("EACCES".into());
            f.syscall_registers = Err("arm64".into());
            f.syscall_tracepoints = Err("ENOENT".into());
        })
        .unwrap();
        assert_eq!(plan.connect.rungs, []);
        assert_eq!(plan.connect.why_not, ["EPERM", "none", "arm64", "ENOENT"]);
        assert_eq!(plan.scope.rungs, [ScopeRung::Counters]);
    }

    #[test]
    fn tracepoints_that_can_be_done_without_are_left_out() {
        let plan = flipped(|f| f.missing_tracepoints = vec!["cgroup_mkdir"]).unwrap();
        assert_eq!(plan.without, ["cgroup_mkdir"]);
        assert!(blind_without("cgroup_mkdir").is_some());
    }

    #[test]
    fn programs_have_seconds_where_the_kernel_may_interrupt_them() {
        assert!(!plan(&good()).unwrap().interruptible);
        for version in [Some((7, 0)), Some((7, 2)), None] {
            let plan = flipped(|f| f.version = version).unwrap();
            assert!(plan.interruptible, "{version:?}");
        }
    }

    #[test]
    fn the_hierarchy_is_passed_on() {
        let plan = flipped(|f| f.cgroups = Hierarchy::MemoryV1).unwrap();
        assert_eq!(plan.cgroups, Hierarchy::MemoryV1);
    }
}
