//! Counts how often memory is asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: hands everything on to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory was asked for so far.
pub(crate) fn count() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Prints how many allocations each of the `events` that `work` handles takes.
pub(crate) fn print(what: &str, events: u64, work: impl FnOnce()) {
    let before = count();
    work();
    print_count(what, events, count() - before);
}

/// Prints how many of the `allocations` each of the `events` took.
pub(crate) fn print_count(what: &str, events: u64, allocations: u64) {
    let hundredths = allocations * 100 / events;
    println!(
        "{what}: {}.{:02} allocations per event",
        hundredths / 100,
        hundredths % 100
    );
}
