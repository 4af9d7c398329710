//! Who called connect() on the sockets that are in SYN_SENT.
//!
//! Most connects are over after some microseconds. So a socket has a slot in a table, by its address:
//! to take it and to give it back are two atomic additions, where a hash map wants locks and lists
//! of free elements. Sockets that find theirs taken go into a hash map.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap},
};
use tracer_common::record::{Actor, lost};

use crate::{
    kernel_read::Address,
    maps::{add, count_lost},
};

/// A TCP socket in connect().
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
    /// Who wants it: the only one has it.
    claims: u64,
    /// The address of the socket that has it; 0: none.
    socket: u64,
    connecting: Connecting,
}

const SLOT_BITS: u32 = 12;

#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(1 << SLOT_BITS, 0);

/// Sockets whose slot was taken, by address.
#[map]
static CROWDED: HashMap<u64, Connecting> = HashMap::with_max_entries(8192, 0);

/// The socket calls connect(). Its lock is held, as in all that follows.
#[inline(always)]
pub fn begins(socket: Address, connecting: &Connecting) {
    if let Some(slot) = slot(socket)
        && claim(slot, socket)
    {
        // SAFETY: a map value, of this socket alone.
        unsafe { (*slot).connecting = *connecting };
        return;
    }
    if CROWDED.insert(socket.0, connecting, 0).is_err() {
        count_lost(lost::CONNECTING);
    }
}

/// Who called connect() on the socket; none when that was before the tracer came.
#[inline(always)]
pub fn of(socket: Address) -> Option<*mut Connecting> {
    match slot(socket) {
        // SAFETY: a map value.
        Some(slot) if unsafe { (&raw const (*slot).socket).read_volatile() } == socket.0 => {
            // SAFETY: as above.
            Some(unsafe { &raw mut (*slot).connecting })
        }
        _ => CROWDED.get_ptr_mut(socket.0),
    }
}

/// The socket has left SYN_SENT, and is known by [`of`].
#[inline(always)]
pub fn ends(socket: Address) {
    if let Some(slot) = slot(socket)
        // SAFETY: a map value.
        && unsafe { (&raw const (*slot).socket).read_volatile() } == socket.0
    {
        // SAFETY: as above. Whoever claims the slot in between takes it for taken.
        unsafe {
            (&raw mut (*slot).socket).write_volatile(0);
            add(&raw mut (*slot).claims, 1_u64.wrapping_neg());
        }
        return;
    }
    // Fails when it is not there.
    let _ = CROWDED.remove(socket.0);
}

#[inline(always)]
fn slot(socket: Address) -> Option<*mut Slot> {
    /// 2⁶⁴ over the golden ratio: spreads addresses that differ in few bits.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    SLOTS.get_ptr_mut((socket.0.wrapping_mul(SPREAD) >> (u64::BITS - SLOT_BITS)) as u32)
}

/// Takes the slot for the socket, if nobody else has it.
///
/// Of those who claim it at the same time none may see itself alone, and then none gets it: an
/// addition that gives the sum needs Linux 5.12.
#[inline(always)]
fn claim(slot: *mut Slot, socket: Address) -> bool {
    // SAFETY: a map value, whose numbers are changed by one instruction each.
    unsafe {
        // Its end was not seen, or that of another at the same address, which is no more.
        if (&raw const (*slot).socket).read_volatile() == socket.0 {
            return true;
        }
        let claims = &raw mut (*slot).claims;
        add(claims, 1);
        if claims.read_volatile() != 1 {
            add(claims, 1_u64.wrapping_neg());
            return false;
        }
        (&raw mut (*slot).socket).write_volatile(socket.0);
    }
    true
}
