//! Second programs, which handle the events that the kernel skipped the first programs for.
//!
//! A program that is interrupted in the middle is not run again on that processor until it has
//! finished. From 7.0 on other tasks may run in between, and what happens to them goes unseen: a
//! death, for example. On such kernels each of these programs has a second one, attached after it
//! to the same tracepoint. The first program leaves a receipt for each event that it handles. The
//! second takes the receipt and does nothing; where it finds no receipt, it handles the event.

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use tracer_common::record::lost;

use crate::{
    kernel_read::Address,
    maps::{DECISIONS, add},
};

/// Places in [`RECEIPTS`]: a power of two.
const PLACES: u32 = 4096;

/// Events that a first program handled and whose second program has not run yet. When two events
/// under way share a place, the receipt of one is overwritten, and that event is sent twice:
/// userspace recognises the duplicate.
#[map]
static RECEIPTS: Array<u64> = Array::with_max_entries(PLACES, 0);

/// Events that a second program handled, per processor. Indices are [`lost`]: the kind of loss that
/// each would have been.
#[map]
static MADE_GOOD: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::COUNT, 0);

/// An event of one tracepoint, distinct from all others under way.
#[derive(Clone, Copy)]
pub struct Event(u64);

impl Event {
    /// An event that happens to `object`, which is aligned to at least eight bytes. `what` is a
    /// number below 2^16 that separates things that can happen to the object at the same time;
    /// `hook` is one below 8 that no other hook with such objects uses.
    #[inline(always)]
    pub fn new(hook: u64, object: Address, what: u32) -> Self {
        Self(object.0 ^ (u64::from(what) << 48) ^ hook)
    }

    /// Called by the first program, for each event that it handles.
    #[inline(always)]
    pub fn leave_receipt(self) {
        if DECISIONS.load().second_programs == 1
            && let Some(place) = self.place()
        {
            // SAFETY: a map value; see [`RECEIPTS`] for what a race can do.
            unsafe { place.write_volatile(self.0) };
        }
    }

    /// Called by the second program: whether the first was skipped. `index` is one of [`lost`].
    #[inline(always)]
    pub fn was_skipped(self, index: u32) -> bool {
        let Some(place) = self.place() else {
            return false;
        };
        // SAFETY: as above.
        unsafe {
            if place.read_volatile() == self.0 {
                // The object may be used again, for an event that looks the same.
                place.write_volatile(0);
                return false;
            }
        }
        if let Some(counter) = MADE_GOOD.get_ptr_mut(index) {
            add(counter, 1);
        }
        true
    }

    #[inline(always)]
    fn place(self) -> Option<*mut u64> {
        /// 2^64 divided by the golden ratio: neighbouring objects get places far apart.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        RECEIPTS.get_ptr_mut((self.0.wrapping_mul(SPREAD) >> 52) as u32 % PLACES)
    }
}
