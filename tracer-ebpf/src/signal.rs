//! Signals that can end a process: the last ones are remembered, and sent with its exit.

use aya_ebpf::{
    macros::{map, raw_tracepoint},
    maps::LruHashMap,
    programs::RawTracePointContext,
};
use tracer_common::record::{Signal, lost};

use crate::{
    kernel_read::Address,
    maps::{layout, now},
    skips::Event,
    task::{current_actor, start_of},
};

const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;
const SIGQUIT: u32 = 3;
const SIGABRT: u32 = 6;
const SIGTERM: u32 = 15;
/// CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG and WINCH: their default action ends nothing.
const HARMLESS: u64 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28;

/// `TRACE_SIGNAL_DELIVERED`, `_IGNORED`, `_LOSE_INFO`. The other results: already pending, no room.
const DELIVERED: i32 = 0;
const IGNORED: i32 = 1;
const LOSE_INFO: i32 = 4;

/// `SEND_SIG_NOINFO` and `SEND_SIG_PRIV` in place of a pointer to `struct kernel_siginfo`.
const FROM_USER: u64 = 0;
const FROM_KERNEL: u64 = 1;
const SI_KERNEL: i32 = 0x80;

/// This hook's number for [`Event::new`].
const SIGNAL: u64 = 4;

/// The last fatal signals sent to a process.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Last {
    /// Creation time of the process, ns: pids are reused.
    pub start_ns: u64,
    /// TERM, INT, QUIT, HUP or ABRT. Kept apart, so that a request to stop stays known after KILL.
    pub stop: Signal,
    /// Any other signal.
    pub other: Signal,
}

/// By process id.
#[map]
static SIGNALS: LruHashMap<u32, Last> = LruHashMap::with_max_entries(4096, 0);

#[raw_tracepoint(tracepoint = "signal_generate")]
pub fn signal_generate(ctx: RawTracePointContext) -> i32 {
    if let Some(event) = event(&ctx) {
        event.leave_receipt();
        generated(&ctx);
    }
    0
}

#[raw_tracepoint(tracepoint = "signal_generate")]
pub fn signal_generate_second(ctx: RawTracePointContext) -> i32 {
    if event(&ctx).is_some_and(|event| event.was_skipped(lost::TRAFFIC)) {
        generated(&ctx);
    }
    0
}

/// None for a signal that does not end a process.
#[inline(always)]
fn event(ctx: &RawTracePointContext) -> Option<Event> {
    let signal: u32 = ctx.arg(0);
    let result: i32 = ctx.arg(4);
    let harmless = signal < 64 && HARMLESS >> signal & 1 == 1;
    // An ignored TERM explains the KILL that follows. Other signals are often ignored on purpose:
    // INT and QUIT by background jobs of scripts, HUP by daemons.
    let counts =
        matches!(result, DELIVERED | LOSE_INFO) || (result == IGNORED && signal == SIGTERM);
    (!harmless && counts).then(|| Event::new(SIGNAL, Address(ctx.arg(2)), signal))
}

#[inline(always)]
fn generated(ctx: &RawTracePointContext) {
    let signal: u32 = ctx.arg(0);
    let info: u64 = ctx.arg(1);
    let code = match info {
        FROM_USER => 0,
        FROM_KERNEL => SI_KERNEL,
        info => Address(info).read_at::<u32>(layout!(siginfo_code)) as i32,
    };
    let target = Address(ctx.arg(2));
    let pid: u32 = target.read_at(layout!(task_tgid));
    let start_ns = start_of(target);
    let sent = Signal {
        at_ns: now(),
        sender: current_actor(),
        signal,
        code,
    };
    let stop = matches!(signal, SIGHUP | SIGINT | SIGQUIT | SIGABRT | SIGTERM);
    if let Some(last) = SIGNALS.get_ptr_mut(pid) {
        // SAFETY: a map value. Two signals at once to one process may mix; each field stays valid.
        unsafe {
            if (*last).start_ns == start_ns {
                if stop {
                    // A process that catches a signal, cleans up and raises it again exits because
                    // of the first sender.
                    let raised_again = sent.sender.pid == pid
                        && signal != SIGABRT
                        && (*last).stop.signal == signal
                        && (*last).stop.code <= 0;
                    if !raised_again {
                        (*last).stop = sent;
                    }
                } else {
                    (*last).other = sent;
                }
                return;
            }
        }
    }
    let last = Last {
        start_ns,
        stop: if stop { sent } else { Signal::NONE },
        other: if stop { Signal::NONE } else { sent },
    };
    // Fails only while others change the map; the exit record then lacks the sender.
    let _ = SIGNALS.insert(pid, last, 0);
}

/// The last fatal signals sent to the process `pid` created at `start_ns`.
#[inline(always)]
pub fn last(pid: u32, start_ns: u64) -> Option<&'static Last> {
    // SAFETY: a map value, read in place; see [`generated`] for what a race can do.
    let last: &'static Last = unsafe { &*SIGNALS.get_ptr(pid)? };
    (last.start_ns == start_ns).then_some(last)
}

/// Frees the entry of a process that exited.
#[inline(always)]
pub fn forget(pid: u32) {
    // Fails when there is none.
    let _ = SIGNALS.remove(pid);
}
