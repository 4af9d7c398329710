//! The maps and read-only globals that the programs share, and how records are sent.

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated,
    macros::map,
    maps::{Array, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use tracer_common::{
    Decisions, Layout,
    record::{Header, lost},
};

/// Struct offsets of the running kernel, injected before loading.
#[unsafe(no_mangle)]
pub static LAYOUT: Global<Layout> = Global::new(Layout::UNRESOLVED);

/// What userspace decided, injected before loading.
#[unsafe(no_mangle)]
pub static DECISIONS: Global<Decisions> = Global::new(Decisions {
    cgroup_v1: 0,
    connect_returns: 0,
    http: 0,
    second_programs: 0,
});

/// One slot of [`LAYOUT`], without loading the others to the stack.
macro_rules! layout {
    ($slot:ident) => {
        $crate::maps::slot(core::mem::offset_of!(tracer_common::Layout, $slot))
    };
}
pub(crate) use layout;

/// The `u32` at `offset` of [`LAYOUT`]; use [`layout!`].
#[inline(always)]
pub fn slot(offset: usize) -> u32 {
    let layout = (&raw const LAYOUT).cast::<u32>();
    // SAFETY: `Global` is transparent over the layout, whose slots are all `u32`. The read is
    // volatile because the loader replaces what the compiler sees.
    unsafe { layout.byte_add(offset).read_volatile() }
}

/// Exits, OOM victims and listener changes: few, and never to be lost. A storm of failed connects
/// cannot fill it.
#[map]
pub static DEATHS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// Everything else.
#[map]
pub static TRAFFIC: RingBuf = RingBuf::with_byte_size(1024 * 1024, 0);

/// Records that found no room, per processor; indices are [`lost`].
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::COUNT, 0);

/// A ring, as an index of [`WOKEN`].
#[derive(Clone, Copy)]
pub enum Ring {
    /// [`DEATHS`].
    Deaths,
    /// [`TRAFFIC`].
    Traffic,
}

/// When this processor last woke the reader of a [`Ring`], CLOCK_BOOTTIME ns.
#[map]
static WOKEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// Until when the reader polls, CLOCK_BOOTTIME ns: records sent before that need not wake it.
/// Written by userspace.
#[map]
static ATTENTIVE: Array<u64> = Array::with_max_entries(1, 0);

/// Adds to a counter atomically.
///
/// In assembly, because `core` has no atomic add for this target, and because an add that returns
/// the old value needs Linux 5.12. This one works on every kernel.
#[inline(always)]
pub fn add(counter: *mut u64, amount: u64) {
    // SAFETY: callers pass the address of a u64 in a map value, aligned and alive for this run.
    #[cfg(target_arch = "bpf")]
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({counter} + 0) += {amount}",
            counter = in(reg) counter,
            amount = in(reg) amount,
        );
    }
    // For lints on the host only.
    #[cfg(not(target_arch = "bpf"))]
    let _ = (counter, amount);
}

/// Counts a record that found no room; `index` is one of [`lost`].
#[inline(always)]
pub fn count_lost(index: u32) {
    if let Some(counter) = LOST.get_ptr_mut(index) {
        add(counter, 1);
    }
}

/// CLOCK_BOOTTIME, ns.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { generated::bpf_ktime_get_boot_ns() }
}

/// The common first part of a record.
#[inline(always)]
pub fn header(kind: u32, at_ns: u64) -> Header {
    Header {
        at_ns,
        kind,
        // SAFETY: the helper has no preconditions.
        cpu: unsafe { generated::bpf_get_smp_processor_id() } as u32,
    }
}

/// Fills part of a record with zeroes, word by word: the compiler turns a plain write into a call of
/// a loop over its bytes.
///
/// # Safety
///
/// `to` must have room, and zeroes must be a valid `T`.
#[inline(always)]
pub unsafe fn clear<T>(to: *mut T) {
    const {
        assert!(size_of::<T>().is_multiple_of(size_of::<u64>()));
        assert!(align_of::<T>() == align_of::<u64>());
    };
    for word in 0..size_of::<T>() / size_of::<u64>() {
        // SAFETY: as promised by the caller.
        unsafe { to.cast::<u64>().add(word).write_volatile(0) };
    }
}

/// Room for a record in [`DEATHS`]; counted as lost when there is none.
#[inline(always)]
pub fn reserve_death<T: 'static>() -> Option<RingBufEntry<T>> {
    let entry = DEATHS.reserve::<T>(0);
    if entry.is_none() {
        count_lost(lost::DEATHS);
    }
    entry
}

/// Room for a record in [`TRAFFIC`]; counted as lost when there is none.
#[inline(always)]
pub fn reserve_traffic<T: 'static>() -> Option<RingBufEntry<T>> {
    let entry = TRAFFIC.reserve::<T>(0);
    if entry.is_none() {
        count_lost(lost::TRAFFIC);
    }
    entry
}

/// Sends a record and wakes the reader at once.
#[inline(always)]
pub fn submit_now<T>(entry: RingBufEntry<T>) {
    entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Sends a record; wakes the reader at most every 4 ms per processor, and not at all in a storm,
/// while the reader polls ([`ATTENTIVE`]). Records sent without a wake-up are read on the reader's
/// timer, which is as fast while it finds records. A wake-up interrupts the processor, and on a
/// virtual machine the host: in a storm it would cost more than the rest.
#[inline(always)]
pub fn submit_batched<T>(entry: RingBufEntry<T>, ring: Ring, at_ns: u64) {
    const WAKE_EVERY_NS: u64 = 4_000_000;
    let mut flags = BPF_RB_NO_WAKEUP;
    let attentive = ATTENTIVE.get(0).is_some_and(|until_ns| at_ns < *until_ns);
    if !attentive && let Some(woken) = WOKEN.get_ptr_mut(ring as u32) {
        // SAFETY: the map's value for this processor; a program that interrupts this one can at
        // worst cause one extra wake-up.
        unsafe {
            if at_ns.wrapping_sub(*woken) >= WAKE_EVERY_NS {
                *woken = at_ns;
                flags = BPF_RB_FORCE_WAKEUP;
            }
        }
    }
    entry.submit(u64::from(flags));
}
