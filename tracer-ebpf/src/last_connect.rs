//! Where each thread of a proxy last connected to: the upstream of the request that it serves.

use aya_ebpf::{
    macros::map,
    maps::{Array, LruHashMap},
};
use tracer_common::record::ConnectTarget;

use crate::proxies::{is_proxy, may_be_proxy};

/// By process and thread.
#[map]
static LAST_CONNECT: LruHashMap<u64, ConnectTarget> = LruHashMap::with_max_entries(1024, 0);

/// What the entries of new threads start from; never written to.
#[map]
static NOWHERE: Array<ConnectTarget> = Array::with_max_entries(1, 0);

/// Remembers where `thread` connects to, if its process is a proxy.
///
/// `write` fills in all of the target but its time; it may leave out what `family` and `path_len`
/// mark as unused. When it fails, nothing is remembered.
///
/// A thread's entry is overwritten in place: an insert would take another element of the map and
/// free this one, which costs more than the rest of a connect.
#[inline(always)]
pub fn remember(thread: u64, at_ns: u64, write: impl FnOnce(*mut ConnectTarget) -> Option<()>) {
    let pid = (thread >> 32) as u32;
    if !may_be_proxy(pid) {
        return;
    }
    let target = match LAST_CONNECT.get_ptr_mut(thread) {
        Some(known) => known,
        None if is_proxy(pid) => {
            let Some(nowhere) = NOWHERE.get(0) else {
                return;
            };
            // Fails only while others change the map.
            let _ = LAST_CONNECT.insert(thread, nowhere, 0);
            let Some(new) = LAST_CONNECT.get_ptr_mut(thread) else {
                return;
            };
            new
        }
        None => return,
    };
    // SAFETY: a map value. Another processor that reads it meanwhile, for a response of the same
    // thread, finds no recent connect: the time is cleared first and set last.
    unsafe {
        let time = &raw mut (*target).at_ns;
        time.write_volatile(0);
        if write(target).is_some() {
            time.write_volatile(at_ns);
        }
    }
}

/// Copies where `thread` last connected to; [`ConnectTarget::NONE`] if that was before `since_ns`.
///
/// # Safety
///
/// `to` must have room.
#[inline(always)]
pub unsafe fn copy_since(since_ns: u64, thread: u64, to: *mut ConnectTarget) {
    // SAFETY: as promised by the caller; a map value, copied at once.
    unsafe {
        match LAST_CONNECT.get_ptr(thread) {
            Some(target) if (*target).at_ns >= since_ns => *to = *target,
            _ => *to = ConnectTarget::NONE,
        }
    }
}
