//! OOM kills: the victim, the trigger whose allocation started the kill, and the limit that was
//! reached.

use aya_ebpf::{
    macros::{fentry, kprobe, map, raw_tracepoint},
    maps::LruHashMap,
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use tracer_common::{
    ABSENT,
    record::{Actor, OomMemory, OomScope, OomVictimRecord, Task, kind},
};

use crate::{
    kernel_read::Address,
    maps::{header, layout, now, reserve_death, submit_now},
    task::{
        cgroup_id, cgroup_of, current, current_actor, current_pid_tgid, memory_state_of,
        task_record,
    },
};

/// A victim's part of its exit record.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Victim {
    /// When the kernel chose it, ns.
    pub at_ns: u64,
    /// Whose allocation triggered the kill.
    pub trigger: Actor,
}

/// By process id; by thread id where `mark_victim` passes one.
#[map]
static OOM_VICTIMS: LruHashMap<u32, Victim> = LruHashMap::with_max_entries(1024, 0);

/// The scope that `oom_kill_process` was called with.
#[derive(Clone, Copy)]
#[repr(C)]
struct Scope {
    at_ns: u64,
    scope: OomScope,
}

/// By the thread that runs the OOM killer: `mark_victim` follows in the same call.
#[map]
static OOM_SCOPES: LruHashMap<u64, Scope> = LruHashMap::with_max_entries(256, 0);

/// A scope older than this belongs to another call.
const SCOPE_HOLDS_NS: u64 = 1_000_000_000;

#[raw_tracepoint(tracepoint = "mark_victim")]
pub fn oom_victim(ctx: RawTracePointContext) -> i32 {
    let at_ns = now();
    let trigger = current_actor();
    let victim = if layout!(mark_victim_is_task) == 1 {
        Address(ctx.arg(0))
    } else {
        Address::NULL
    };
    let pid: u32 = if victim.is_null() {
        ctx.arg(0)
    } else {
        victim.read_at(layout!(task_tgid))
    };
    let entry = reserve_death::<OomVictimRecord>();
    // Only now that the record has its place in the ring: an exit that finds this entry is read
    // after it. Fails only while others change the map; the exit record then lacks the trigger.
    let _ = OOM_VICTIMS.insert(pid, Victim { at_ns, trigger }, 0);

    let Some(mut entry) = entry else {
        return 0;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is in the ring, for this program alone until it is submitted; every field
    // is written.
    unsafe {
        (&raw mut (*record).header).write(header(kind::OOM_VICTIM, at_ns));
        (&raw mut (*record).trigger).write(trigger);
        (&raw mut (*record).trigger_cgroup).write(cgroup_id(cgroup_of(current())));
        (&raw mut (*record).scope).write(scope(at_ns));
        if victim.is_null() {
            (&raw mut (*record).victim).write(Task {
                pid,
                ..Task::UNKNOWN
            });
            // The limit that was reached also applies to the trigger.
            let mut memory = OomMemory::UNKNOWN;
            find_full_cgroup(current(), &mut memory);
            (&raw mut (*record).memory).write(memory);
        } else {
            (&raw mut (*record).victim).write(task_record(victim));
            (&raw mut (*record).memory).write(memory_of(victim));
        }
    }
    submit_now(entry);
    0
}

#[fentry(function = "oom_kill_process")]
pub fn oom_scope_fentry(ctx: FEntryContext) -> i32 {
    remember_scope(Address(ctx.arg(0)));
    0
}

#[kprobe]
pub fn oom_scope_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(control) = ctx.arg(0) {
        remember_scope(Address(control));
    }
    0
}

/// `control` is a `struct oom_control`.
#[inline(always)]
fn remember_scope(control: Address) {
    let memcg = layout!(oom_control_memcg);
    let constraint = layout!(oom_control_constraint);
    let total_pages = layout!(oom_control_totalpages);
    if memcg == ABSENT || constraint == ABSENT || total_pages == ABSENT {
        return;
    }
    let scope = Scope {
        at_ns: now(),
        scope: OomScope {
            known: 1,
            constraint: control.read_at(constraint),
            cgroup: cgroup_id(control.follow(memcg).follow(layout!(css_cgroup))),
            total_pages: control.read_at(total_pages),
        },
    };
    // Fails only while others change the map; the scope is then inferred.
    let _ = OOM_SCOPES.insert(current_pid_tgid(), scope, 0);
}

#[inline(always)]
fn scope(at_ns: u64) -> OomScope {
    // SAFETY: a map value of the running thread, copied at once.
    match unsafe { OOM_SCOPES.get(current_pid_tgid()) } {
        Some(saved) if at_ns.wrapping_sub(saved.at_ns) < SCOPE_HOLDS_NS => saved.scope,
        _ => OomScope::UNKNOWN,
    }
}

/// The victim's memory, and the nearest of its cgroups that is at its limit.
#[inline(always)]
fn memory_of(victim: Address) -> OomMemory {
    /// Indices of `rss_stat`.
    const FILE: u32 = 0;
    const ANON: u32 = 1;
    const SHMEM: u32 = 3;
    let mm = victim.follow(layout!(task_mm));
    let mut memory = OomMemory {
        anon_pages: resident(mm, ANON),
        file_pages: resident(mm, FILE) + resident(mm, SHMEM),
        ..OomMemory::UNKNOWN
    };
    find_full_cgroup(victim, &mut memory);
    memory
}

/// Resident pages of one kind; 0 when the kernel's layout is not known.
#[inline(always)]
fn resident(mm: Address, index: u32) -> u64 {
    let stat = layout!(mm_rss_stat);
    if stat == ABSENT {
        return 0;
    }
    let offset = if layout!(mm_rss_stat_count) == ABSENT {
        let count = layout!(percpu_counter_count);
        if count == ABSENT {
            return 0;
        }
        index * layout!(percpu_counter_size) + count
    } else {
        layout!(mm_rss_stat_count) + index * 8
    };
    // Counted per processor and added up lazily: may be negative for an instant.
    let pages: i64 = mm.read_at(stat + offset);
    if pages < 0 { 0 } else { pages as u64 }
}

/// A cgroup counts as full when its usage is within this many pages of its limit: the failed charge
/// is at most eight pages, and other threads may have freed some since.
#[inline(always)]
fn slack(limit: u64) -> u64 {
    (limit >> 5).clamp(16, 512)
}

/// Finds the nearest of a task's cgroups that is at its limit.
#[inline(always)]
fn find_full_cgroup(task: Address, memory: &mut OomMemory) {
    /// How many cgroups are examined on the way to the root.
    const DEPTH: u32 = 16;
    /// More pages than any machine has; the kernel's "no limit" is LONG_MAX / PAGE_SIZE.
    const NO_LIMIT: u64 = 1 << 45;
    let counter_offset = layout!(memcg_memory);
    let usage_offset = layout!(page_counter_usage);
    let max_offset = layout!(page_counter_max);
    let parent_offset = layout!(page_counter_parent);
    if counter_offset == ABSENT
        || usage_offset == ABSENT
        || max_offset == ABSENT
        || parent_offset == ABSENT
    {
        return;
    }
    let mut counter = memory_state_of(task).at(counter_offset);
    for _ in 0..DEPTH {
        if counter.is_null() {
            return;
        }
        let limit: u64 = counter.read_at(max_offset);
        let usage: u64 = counter.read_at(usage_offset);
        if limit < NO_LIMIT && usage.wrapping_add(slack(limit)) >= limit {
            // The counter is embedded in its `struct mem_cgroup`, which starts with the state.
            let state = Address(counter.0.wrapping_sub(u64::from(counter_offset)));
            memory.full_cgroup = cgroup_id(state.follow(layout!(css_cgroup)));
            memory.full_limit_pages = limit;
            memory.full_usage_pages = usage;
            return;
        }
        counter = counter.follow(parent_offset);
    }
}

/// Moves a thread's entry to its process: where `mark_victim` passes only a pid, that may be a
/// thread's. To be called at each thread's exit.
#[inline(always)]
pub fn move_to_process(task: Address, shared: Address) {
    if layout!(mark_victim_is_task) == 1 || shared.follow(layout!(signal_oom_mm)).is_null() {
        return;
    }
    let tid: u32 = task.read_at(layout!(task_pid));
    let pid: u32 = task.read_at(layout!(task_tgid));
    if tid == pid {
        return;
    }
    if let Some(victim) = OOM_VICTIMS.get_ptr(tid) {
        // SAFETY: a map value, copied at once.
        let victim = unsafe { *victim };
        // Both fail only while others change the map.
        let _ = OOM_VICTIMS.insert(pid, victim, 0);
        let _ = OOM_VICTIMS.remove(tid);
    }
}

/// The OOM kill of the process `pid` created at `start_ns`.
#[inline(always)]
pub fn victim(pid: u32, start_ns: u64) -> Option<&'static Victim> {
    // SAFETY: a map value, read in place.
    let victim: &'static Victim = unsafe { &*OOM_VICTIMS.get_ptr(pid)? };
    (victim.at_ns >= start_ns).then_some(victim)
}

/// Frees the entry of a process that exited.
#[inline(always)]
pub fn forget(pid: u32) {
    // Fails when there is none.
    let _ = OOM_VICTIMS.remove(pid);
}
