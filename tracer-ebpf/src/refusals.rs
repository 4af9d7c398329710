//! Counting failed connects, so that a storm is exact without a record for each failure.

use aya_ebpf::{bindings::BPF_NOEXIST, maps::HashMap};
use tracer_common::record::{Actor, ConnectFailures};

use crate::maps::add;

/// A storm's records are at least this far apart.
const REPORT_EVERY_NS: u64 = 10_000_000;
/// The total of a record that nothing counted, see `ConnectRecord::total`.
const UNCOUNTED: u64 = 0;
/// `-EEXIST`.
const EXISTS: i32 = -17;

/// Counts one failure; gives the total for the record to send, when one is due.
#[inline(always)]
pub fn count<K>(
    map: &HashMap<K, ConnectFailures>,
    key: &K,
    actor: &Actor,
    now_ns: u64,
) -> Option<u64> {
    if let Some(refusal) = map.get_ptr_mut(key) {
        return again(refusal, now_ns);
    }
    let first = ConnectFailures {
        total: 1,
        sent_ns: now_ns,
        last_ns: now_ns,
        actor: *actor,
    };
    match map.insert(key, first, u64::from(BPF_NOEXIST)) {
        Ok(()) => Some(1),
        // Another processor was faster.
        Err(EXISTS) => match map.get_ptr_mut(key) {
            Some(refusal) => again(refusal, now_ns),
            None => Some(UNCOUNTED),
        },
        Err(_) => Some(UNCOUNTED),
    }
}

#[inline(always)]
fn again(refusal: *mut ConnectFailures, now_ns: u64) -> Option<u64> {
    // SAFETY: a map value. The total is added to atomically; two processors that find a record due
    // at once send two, with totals of which the larger counts.
    unsafe {
        add(&raw mut (*refusal).total, 1);
        (*refusal).last_ns = now_ns;
        if now_ns.wrapping_sub((*refusal).sent_ns) < REPORT_EVERY_NS {
            return None;
        }
        (*refusal).sent_ns = now_ns;
        Some((&raw const (*refusal).total).read_volatile())
    }
}

/// The record found no room in the ring: the next failure tries again.
#[inline(always)]
pub fn not_sent<K>(map: &HashMap<K, ConnectFailures>, key: &K) {
    if let Some(refusal) = map.get_ptr_mut(key) {
        // SAFETY: a map value; a plain store.
        unsafe { (*refusal).sent_ns = 0 };
    }
}
