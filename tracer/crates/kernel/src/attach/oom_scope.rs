//! The ladder for the scope of OOM kills.

use aya::Ebpf;

use super::ladder::{Taken, descend};
use super::program::{LazyBtf, attach_fentry, attach_kprobe};
use crate::hooks::OOM_KILL;
use crate::plan::{Ladder, ScopeRung};

/// Attaches the best rung that works. The kernel log and the page counters need no program of their
/// own.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    ladder: &Ladder<ScopeRung>,
    btf: &mut LazyBtf,
) -> Result<Taken<ScopeRung, ()>, Vec<String>> {
    descend(ladder, ScopeRung::via, |rung| match rung {
        ScopeRung::Fentry => attach_fentry(ebpf, "oom_scope_fentry", OOM_KILL, btf),
        ScopeRung::Kprobe => attach_kprobe(ebpf, "oom_scope_kprobe", &[OOM_KILL]),
        ScopeRung::KernelLog | ScopeRung::Counters => Ok(()),
    })
}
