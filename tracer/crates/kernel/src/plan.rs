//! Turns facts into a plan: which hooks to attach by which rungs, and why not by better ones. Pure.

use std::fmt;

use tracer_model::Hierarchy;

use super::facts::{KernelFacts, Lockdown, Works};
use super::hooks::RAW_TRACEPOINTS;
use super::patch::Cast;

/// The oldest kernel that the programs work on.
const OLDEST: (u32, u32) = (5, 10);
/// From this version on, other tasks may run while a tracepoint's programs do.
const INTERRUPTIBLE: (u32, u32) = (7, 0);

/// Why the tracer cannot work here, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
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

/// How the result of connect() is observed. Best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectRung {
    /// fexit on the protocols' connect functions.
    Fexit,
    /// kprobe and kretprobe on them.
    Kretprobe,
    /// The tracepoint at the end of the system call, at a small cost to every system call.
    SyscallExit,
    /// The tracepoints at its beginning and at its end.
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

/// How the scope of an OOM kill is found out. Best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeRung {
    /// fentry on `oom_kill_process`.
    Fentry,
    /// kprobe on it.
    Kprobe,
    /// The kernel log's `oom-kill:` line.
    KernelLog,
    /// The cgroups' page counters at the instant when the victim is marked.
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

/// The rungs of a ladder that may work, and why better ones do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder<R> {
    /// Best first: to be tried in this order.
    pub rungs: Vec<R>,
    /// Why better ones than the first are left out.
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
            // Only the rungs above the first one that works matter.
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
    /// The tracepoints that the kernel lacks.
    pub without: Vec<&'static str>,
    /// How to observe the result of connect(); without rungs, not at all.
    pub connect: Ladder<ConnectRung>,
    /// How to find out the scope of an OOM kill.
    pub scope: Ladder<ScopeRung>,
    /// The hierarchy whose cgroup ids the hooks read.
    pub cgroups: Hierarchy,
    /// Whether the kernel may interrupt a program and run another task, whose events it then skips.
    pub interruptible: bool,
    /// How to read kernel memory: through cast pointers, or else through a helper.
    pub cast: Option<Cast>,
}

/// Decides what to attach, or why tracing is impossible.
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
            "the kernel is locked down in confidentiality mode, which forbids reading kernel memory"
                .into(),
            "boot with lockdown=integrity, or without lockdown",
        );
    }
    if let Err(why) = &facts.type_information {
        return refuse(
            format!("cannot use the type information (BTF) of kernel {release}: {why}"),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, such as a distribution's kernel",
        );
    }
    if let Some(name) = RAW_TRACEPOINTS
        .iter()
        .filter(|hook| hook.blind.is_none())
        .map(|hook| hook.tracepoint)
        .find(|name| facts.missing_tracepoints.contains(name))
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
        // Only the version shows this: no trial and no type information does.
        interruptible: facts.version.is_none_or(|version| version >= INTERRUPTIBLE),
        cast: facts.cast.as_ref().ok().copied(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A typical server, on which everything works.
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
    fn where_everything_works_the_best_rungs_come_first() {
        let plan = plan(&good()).unwrap();
        assert_eq!(plan.connect.rungs[0], ConnectRung::Fexit);
        assert_eq!(plan.scope.rungs[0], ScopeRung::Fentry);
        assert_eq!(plan.connect.why_not, [""; 0]);
        assert_eq!(plan.scope.why_not, [""; 0]);
        assert_eq!(plan.without, [""; 0]);
        assert!(plan.cast.is_some());
    }

    #[test]
    fn without_pointer_casts_memory_is_read_through_the_helper() {
        let plan = flipped(|facts| facts.cast = Err("no".into())).unwrap();
        assert_eq!(plan.cast, None);
        assert_eq!(plan.connect.rungs[0], ConnectRung::Fexit);
    }

    #[test]
    fn each_fact_that_makes_tracing_impossible_is_explained_with_advice() {
        type Flip = fn(&mut KernelFacts);
        let cases: [(Flip, &str, &str); 6] = [
            (|f| f.version = Some((5, 9)), "too old", "5.10"),
            (
                |f| f.procfs = Err("cannot read /proc: not found".into()),
                "cannot read /proc: not found",
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
    fn facts_that_do_not_matter_change_nothing() {
        let best = plan(&good()).unwrap();
        assert_eq!(flipped(|f| f.version = Some((6, 19))).unwrap(), best);
        assert_eq!(flipped(|f| f.lockdown = Lockdown::Integrity).unwrap(), best);
    }

    #[test]
    fn without_fentry_kprobes_are_used_and_the_reason_is_kept() {
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
    fn without_kprobes_fentry_is_used_and_a_lower_rung_is_left_out() {
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
    fn without_fentry_and_kprobes_the_last_rungs_are_used() {
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
    fn optional_tracepoints_are_left_out_and_others_are_required() {
        let optional = ["mark_victim", "signal_generate", "cgroup_mkdir"];
        for hook in &RAW_TRACEPOINTS {
            let plan = flipped(|f| f.missing_tracepoints = vec![hook.tracepoint]);
            let without = plan.ok().map(|plan| plan.without);
            let expected = optional
                .contains(&hook.tracepoint)
                .then(|| vec![hook.tracepoint]);
            assert_eq!(without, expected, "{}", hook.tracepoint);
        }
    }

    #[test]
    fn kernels_that_interrupt_programs_are_recognised_by_their_version() {
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
