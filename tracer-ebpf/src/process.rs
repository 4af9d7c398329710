//! Processes: forks, execs and exits.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated,
    macros::{map, raw_tracepoint},
    maps::{LruHashMap, ring_buf::RingBufEntry},
    programs::RawTracePointContext,
};
use tracer_common::record::{
    ARGS_LEN, ExecRecord, ExitRecord, ForkRecord, SignaledExitRecord, kind, lost,
};

use crate::{
    kernel_read::Address,
    maps::{
        Ring, clear, header, layout, now, reserve_death, reserve_traffic, submit_batched,
        submit_now,
    },
    oom, signal,
    skips::Event,
    task::{leader_record, start_of, task_record},
};

/// `SIGNAL_GROUP_EXIT`: the whole group exits with `group_exit_code`.
const SIGNAL_GROUP_EXIT: u32 = 0x4;

/// Processes whose exit record was sent, by pid and creation time: where the kernel does not show
/// which thread is the last, two that exit at once can both look like it.
#[map]
static EXITED: LruHashMap<(u64, u64), u8> = LruHashMap::with_max_entries(1024, 0);

/// These hooks' numbers for [`Event::new`].
const FORK: u64 = 1;
const EXEC: u64 = 2;
const EXIT: u64 = 3;

#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_fork(ctx: RawTracePointContext) -> i32 {
    let child = Address(ctx.arg(1));
    Event::new(FORK, child, 0).leave_receipt();
    created(child);
    0
}

#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_fork_second(ctx: RawTracePointContext) -> i32 {
    let child = Address(ctx.arg(1));
    if Event::new(FORK, child, 0).was_skipped(lost::TRAFFIC) {
        created(child);
    }
    0
}

#[inline(always)]
fn created(child: Address) {
    // A thread, not a process.
    if child.read_at::<u32>(layout!(task_pid)) != child.read_at::<u32>(layout!(task_tgid)) {
        return;
    }
    let at_ns = now();
    let Some(mut entry) = reserve_traffic::<ForkRecord>() else {
        return;
    };
    let parent = child.follow(layout!(task_real_parent));
    entry.write(ForkRecord {
        header: header(kind::FORK, at_ns),
        child: leader_record(child, parent),
        parent_start_ns: start_of(parent),
    });
    submit_batched(entry, Ring::Traffic, at_ns);
}

/// The longest command line kept: what a mask can express.
const MAX_ARGS: u64 = ARGS_LEN as u64 - 1;
const _: () = assert!(ARGS_LEN.is_power_of_two());

/// `len`, which is at most [`MAX_ARGS`] already. Only to please the verifier before 6.x, which
/// forgets the bound while the compiler moves the value about. In assembly, or the compiler would
/// remove the mask.
#[inline(always)]
fn masked(len: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut masked = len;
        // SAFETY: changes nothing but its operand.
        unsafe {
            core::arch::asm!("{len} &= {mask}", len = inout(reg) masked, mask = const MAX_ARGS);
        }
        masked
    }
    // For lints on the host only.
    #[cfg(not(target_arch = "bpf"))]
    len
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(ctx: RawTracePointContext) -> i32 {
    let task = Address(ctx.arg(0));
    Event::new(EXEC, task, 0).leave_receipt();
    executes(task);
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec_second(ctx: RawTracePointContext) -> i32 {
    let task = Address(ctx.arg(0));
    if Event::new(EXEC, task, 0).was_skipped(lost::TRAFFIC) {
        executes(task);
    }
    0
}

#[inline(always)]
fn executes(task: Address) {
    let at_ns = now();
    let Some(mut entry) = reserve_traffic::<ExecRecord>() else {
        return;
    };
    let mm = task.follow(layout!(task_mm));
    let start: u64 = mm.read_at(layout!(mm_arg_start));
    let end: u64 = mm.read_at(layout!(mm_arg_end));
    let total = end.saturating_sub(start);
    let mut len = masked(total.min(MAX_ARGS));
    let record = entry.as_mut_ptr();
    // SAFETY: the record is in the ring, for this program alone until it is submitted. `len` is
    // less than the size of `args`; every field but the rest of `args` is written.
    unsafe {
        (&raw mut (*record).header).write(header(kind::EXEC, at_ns));
        (&raw mut (*record).task).write(task_record(task));
        let failed = generated::bpf_probe_read_user(
            (&raw mut (*record).args).cast(),
            len as u32,
            start as *const _,
        ) != 0;
        if failed {
            len = 0;
        }
        (&raw mut (*record).args_len).write(len as u32);
        (&raw mut (*record).args_total).write(total as u32);
    }
    submit_batched(entry, Ring::Traffic, at_ns);
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit(ctx: RawTracePointContext) -> i32 {
    let task = Address(ctx.arg(0));
    Event::new(EXIT, task, 0).leave_receipt();
    thread_exits(task, &ctx);
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit_second(ctx: RawTracePointContext) -> i32 {
    let task = Address(ctx.arg(0));
    if Event::new(EXIT, task, 0).was_skipped(lost::DEATHS) {
        thread_exits(task, &ctx);
    }
    0
}

#[inline(always)]
fn thread_exits(task: Address, ctx: &RawTracePointContext) {
    let shared = task.follow(layout!(task_signal));
    oom::move_to_process(task, shared);
    let has_group_dead = layout!(exit_has_group_dead) == 1;
    let dead = if has_group_dead {
        ctx.arg::<u64>(1) & 0xff != 0
    } else {
        shared.read_at::<u32>(layout!(signal_live)) == 0
    };
    if !dead {
        return;
    }
    let leader = task.follow(layout!(task_group_leader));
    let pid: u32 = leader.read_at(layout!(task_tgid));
    let start_ns: u64 = leader.read_at(layout!(task_start_boottime));
    if !has_group_dead
        && EXITED
            .insert((u64::from(pid), start_ns), 1, u64::from(BPF_NOEXIST))
            .is_err()
    {
        return;
    }
    log!(ctx, "process {} exited", pid);
    send_exit(leader, shared, pid, start_ns);
}

#[inline(always)]
fn send_exit(leader: Address, shared: Address, pid: u32, start_ns: u64) {
    let at_ns = now();
    let oom_victim = !shared.follow(layout!(signal_oom_mm)).is_null();
    // Before this record has its place in the ring, so that the record of the OOM kill is before it.
    let victim = if oom_victim {
        oom::victim(pid, start_ns)
    } else {
        None
    };
    let exit = Exit {
        leader,
        shared,
        at_ns,
        status: wait_status(leader, shared),
        oom_victim,
    };
    let last = signal::last(pid, start_ns);
    if last.is_none() && victim.is_none() {
        if let Some(mut entry) = reserve_death::<ExitRecord>() {
            // SAFETY: the record is in the ring, for this program alone until it is submitted.
            unsafe { exit.write(entry.as_mut_ptr(), kind::EXIT) };
            exit.submit(entry);
        }
        return;
    }
    let Some(mut entry) = reserve_death::<SignaledExitRecord>() else {
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: as above; every field is written.
    unsafe {
        exit.write(&raw mut (*record).exit, kind::EXIT_SIGNALED);
        if let Some(last) = last {
            (&raw mut (*record).stop).copy_from_nonoverlapping(&raw const last.stop, 1);
            (&raw mut (*record).other).copy_from_nonoverlapping(&raw const last.other, 1);
            signal::forget(pid);
        } else {
            clear(&raw mut (*record).stop);
            clear(&raw mut (*record).other);
        }
        if let Some(victim) = victim {
            (&raw mut (*record).trigger).copy_from_nonoverlapping(&raw const victim.trigger, 1);
            (&raw mut (*record).oom_at_ns).write(victim.at_ns);
            oom::forget(pid);
        } else {
            clear(&raw mut (*record).trigger);
            (&raw mut (*record).oom_at_ns).write(0);
        }
    }
    exit.submit(entry);
}

/// As wait4() gives it to the parent.
#[inline(always)]
fn wait_status(leader: Address, shared: Address) -> u32 {
    if shared.read_at::<u32>(layout!(signal_flags)) & SIGNAL_GROUP_EXIT == 0 {
        leader.read_at(layout!(task_exit_code))
    } else {
        shared.read_at(layout!(signal_group_exit_code))
    }
}

/// The exit of a process.
struct Exit {
    /// Its first thread, and what its threads share.
    leader: Address,
    shared: Address,
    at_ns: u64,
    status: u32,
    oom_victim: bool,
}

impl Exit {
    /// Writes every field of a record.
    ///
    /// # Safety
    ///
    /// `to` must have room.
    #[inline(always)]
    unsafe fn write(&self, to: *mut ExitRecord, kind: u32) {
        let parent = self.leader.follow(layout!(task_real_parent));
        // SAFETY: as promised by the caller.
        unsafe {
            (&raw mut (*to).header).write(header(kind, self.at_ns));
            (&raw mut (*to).task).write(leader_record(self.leader, parent));
            (&raw mut (*to).status).write(self.status);
            (&raw mut (*to).oom_victim).write(u32::from(self.oom_victim));
            (&raw mut (*to).peak_rss_pages).write(self.shared.read_at(layout!(signal_maxrss)));
            (&raw mut (*to).parent_start_ns).write(start_of(parent));
        }
    }

    /// Wakes the reader at once, except for an exit with status 0: some machines have thousands of
    /// those, and a wake-up costs more than the rest.
    #[inline(always)]
    fn submit<T>(&self, entry: RingBufEntry<T>) {
        if self.status == 0 && !self.oom_victim {
            submit_batched(entry, Ring::Deaths, self.at_ns);
        } else {
            submit_now(entry);
        }
    }
}
