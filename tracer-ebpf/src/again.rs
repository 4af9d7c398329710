//! Events that the kernel did not run a program for.
//!
//! A program that is interrupted in the middle is not run again on that processor until it has
//! ended. Where other tasks may run in between (from 7.0), what happens to them meanwhile goes
//! unseen: a death, for one. On such kernels each of these programs has a second, attached after it
//! and to the same tracepoint: for an event that the first has run for it does nothing, and for
//! another what the first would have done.

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use tracer_common::record::lost;

use crate::{
    kernel_read::Address,
    maps::{DECISIONS, add},
};

/// Places in [`RAN`]: a power of two.
const PLACES: u32 = 4096;

/// Events that a first program has run for and the second has not been asked about yet. An event
/// that takes another's place while both are on their way has the other told twice, which is found
/// when it is read.
#[map]
static RAN: Array<u64> = Array::with_max_entries(PLACES, 0);

/// Events that a second program made good, per processor; indices are [`lost`]: of what each would
/// have been a loss.
#[map]
static MADE_GOOD: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::COUNT, 0);

/// What tells an event of one tracepoint from all others under way.
#[derive(Clone, Copy)]
pub struct Event(u64);

impl Event {
    /// What happens to `object`, which is aligned to at least eight bytes. `what` is some number
    /// below 2^16 that tells things apart that can happen to it at the same time; `hook` one below
    /// 8 that no other hook with such objects has.
    #[inline(always)]
    pub fn new(hook: u64, object: Address, what: u32) -> Self {
        Self(object.0 ^ (u64::from(what) << 48) ^ hook)
    }

    /// To be called by the first program, for each event that it does something for.
    #[inline(always)]
    pub fn runs(self) {
        if DECISIONS.load().second_programs == 1
            && let Some(place) = self.place()
        {
            // SAFETY: a map value; what a race can do is told above.
            unsafe { place.write_volatile(self.0) };
        }
    }

    /// To be called by the second program: whether the first was skipped. `index` is one of
    /// [`lost`].
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
        RAN.get_ptr_mut((self.0.wrapping_mul(SPREAD) >> 52) as u32 % PLACES)
    }
}
