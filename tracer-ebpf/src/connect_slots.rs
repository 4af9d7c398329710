//! Which process called connect() on each TCP socket in SYN_SENT.
//!
//! Most connects take only some microseconds. Each socket therefore has a slot in a table, found by
//! its address: two atomic additions take the slot and free it, where a hash map needs locks and
//! lists of free elements. A socket whose slot is taken goes into a hash map.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use tracer_common::record::{Actor, lost};

use crate::{
    maps::{add, count_lost},
    sock::Sock,
};

/// A call of connect() under way.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Connecting {
    /// Who called connect().
    pub actor: Actor,
    /// When, CLOCK_BOOTTIME ns.
    pub at_ns: u64,
}

/// Room for one socket.
#[repr(C)]
struct Slot {
    /// Sockets that want it. Whoever finds itself alone gets it.
    claims: u64,
    /// Address of the socket that has it; 0 when it is free.
    socket: u64,
    connecting: Connecting,
}

const SLOT_BITS: u32 = 12;

#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(1 << SLOT_BITS, 0);

/// Sockets whose slot was taken, by address.
#[map]
static CROWDED: HashMap<u64, Connecting> = HashMap::with_max_entries(8192, 0);

/// The socket enters SYN_SENT. The caller holds its lock, here and in all that follows.
#[inline(always)]
pub fn begins(socket: Sock, connecting: &Connecting) {
    if let Some(slot) = slot(socket)
        && claim(slot, socket)
    {
        // SAFETY: a map value, of this socket alone.
        unsafe { (*slot).connecting = *connecting };
        return;
    }
    if CROWDED.insert(socket.0.0, connecting, 0).is_err() {
        count_lost(lost::CONNECTING);
    }
}

/// The call of connect() on the socket; None when it came before the tracer.
#[inline(always)]
pub fn of(socket: Sock) -> Option<*mut Connecting> {
    match slot(socket) {
        // SAFETY: a map value.
        Some(slot) if unsafe { (&raw const (*slot).socket).read_volatile() } == socket.0.0 => {
            // SAFETY: as above.
            Some(unsafe { &raw mut (*slot).connecting })
        }
        _ => CROWDED.get_ptr_mut(socket.0.0),
    }
}

/// The socket, which [`of`] knows, has left SYN_SENT.
#[inline(always)]
pub fn ends(socket: Sock) {
    if let Some(slot) = slot(socket)
        // SAFETY: a map value.
        && unsafe { (&raw const (*slot).socket).read_volatile() } == socket.0.0
    {
        // SAFETY: as above. A socket that claims the slot in between finds it taken.
        unsafe {
            (&raw mut (*slot).socket).write_volatile(0);
            add(&raw mut (*slot).claims, 1_u64.wrapping_neg());
        }
        return;
    }
    // Fails when it is not there.
    let _ = CROWDED.remove(socket.0.0);
}

#[inline(always)]
fn slot(socket: Sock) -> Option<*mut Slot> {
    /// 2⁶⁴ divided by the golden ratio: spreads addresses that differ in few bits.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    SLOTS.get_ptr_mut((socket.0.0.wrapping_mul(SPREAD) >> (u64::BITS - SLOT_BITS)) as u32)
}

/// Takes the slot for the socket, unless another has it.
///
/// Sockets that claim it at the same time may all see each other, and then none gets it. An
/// addition that returns the sum would decide between them, but needs Linux 5.12.
#[inline(always)]
fn claim(slot: *mut Slot, socket: Sock) -> bool {
    // SAFETY: a map value, whose numbers are changed by one instruction each.
    unsafe {
        // The end of its last connect was not seen, or of a former socket's at the same address.
        if (&raw const (*slot).socket).read_volatile() == socket.0.0 {
            return true;
        }
        let claims = &raw mut (*slot).claims;
        add(claims, 1);
        if claims.read_volatile() != 1 {
            add(claims, 1_u64.wrapping_neg());
            return false;
        }
        (&raw mut (*slot).socket).write_volatile(socket.0.0);
    }
    true
}
