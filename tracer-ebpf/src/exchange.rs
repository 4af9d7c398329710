//! Requests on one connection: their first bytes, until their responses come.
//!
//! Only status lines are parsed here. The first bytes of a request are kept as they are, and are
//! sent when it fails: with a status of 500 or more, or without a response. A request that succeeds
//! costs one copy.
//!
//! A connection's state is small on purpose. A segment that begins like a request counts as one
//! request. Userspace separates several requests in one segment (pipelining): it gets the bytes and
//! the number of responses before this one. It also discards body bytes that look like a request.

use aya_ebpf::{
    macros::map,
    maps::{Array, LruHashMap},
};
use tracer_common::record::HTTP_HEAD_LEN;

use crate::{
    http_message::{First, Payload, opaque, within},
    maps::now,
};

/// The state of one connection.
///
/// Requests and responses are often seen on different processors. What a successful response needs
/// lies on another cache line than what a request changes, so that neither processor waits for the
/// other's memory.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Exchange {
    /// Responses so far.
    responses: u32,
    /// Sequence number of the last response.
    pub response_seq: u32,
    /// Whether the traced process sends the requests.
    pub outbound: u32,
    pad: u32,
    apart: [u64; LINE / size_of::<u64>()],
    /// When the first byte in `head` was seen, CLOCK_BOOTTIME ns.
    pub began_ns: u64,
    /// Address of the socket; 0 when unknown.
    pub socket: u64,
    /// Outbound: process and thread that sent the first request. Responses are seen in whatever
    /// context the packet arrives in.
    pub owner: u64,
    /// When that process was created, CLOCK_BOOTTIME ns.
    pub owner_start_ns: u64,
    /// Sequence number of the last segment of requests.
    pub request_seq: u32,
    /// Segments that began like a request since `head` began.
    requests: u32,
    /// `responses` when `head` began.
    responses_before: u32,
    /// Bytes used in `head`; [`OPAQUE`] when the connection does not speak HTTP/1.
    pub len: u32,
    pub head: [u8; HTTP_HEAD_LEN + STEP as usize],
}

/// Size of a cache line, bytes.
const LINE: usize = 64;

impl Exchange {
    /// Responses since `head` began.
    #[inline(always)]
    pub fn answered(&self) -> u32 {
        self.responses.wrapping_sub(self.responses_before)
    }
}

/// What follows a request's first segment is copied in steps of this many bytes, so that the
/// verifier sees that there is room.
const STEP: u32 = 64;
/// [`Exchange::len`] of a connection that does not speak HTTP/1, or no longer does.
const OPAQUE: u32 = u32::MAX;

/// What new connections start from; never written to.
#[map]
static BLANK: Array<Exchange> = Array::with_max_entries(1, 0);

/// The state of connection `key`; a blank one when it is not known.
#[inline(always)]
pub fn entry<K>(map: &LruHashMap<K, Exchange>, key: &K) -> Option<*mut Exchange> {
    match map.get_ptr_mut(key) {
        Some(known) => Some(known),
        None => fresh(map, key),
    }
}

/// A blank state for connection `key`, in place of any that is known.
#[inline(always)]
pub fn fresh<K>(map: &LruHashMap<K, Exchange>, key: &K) -> Option<*mut Exchange> {
    let blank = BLANK.get(0)?;
    // Fails only while others change the map.
    let _ = map.insert(key, blank, 0);
    map.get_ptr_mut(key)
}

/// Takes in bytes of requests, with their TCP sequence number.
#[inline(always)]
pub fn request(exchange: *mut Exchange, first: &First, seq: u32, payload: &impl Payload) {
    // SAFETY: a map value. Segments of one direction of a connection come one at a time.
    let exchange = unsafe { &mut *exchange };
    if exchange.len == OPAQUE {
        return;
    }
    let pending = exchange.requests > exchange.answered();
    if exchange.requests > 0 && seq.wrapping_sub(exchange.request_seq) as i32 <= 0 {
        return;
    }
    if pending {
        exchange.request_seq = seq;
        if first.has_method() {
            exchange.requests += 1;
        }
        append(exchange, payload);
        return;
    }
    if !first.may_be_request() {
        return;
    }
    if first.is_http2_preface() {
        exchange.len = OPAQUE;
        return;
    }
    exchange.request_seq = seq;
    exchange.began_ns = now();
    exchange.requests = 1;
    exchange.responses_before = exchange.responses;
    let len = within::<{ HTTP_HEAD_LEN as u32 }>(payload.len());
    // SAFETY: `head` has room for `len` bytes.
    let copied = unsafe { payload.copy(0, (&raw mut exchange.head).cast(), len) };
    exchange.len = if copied { len } else { 0 };
}

/// Keeps what follows a request's first segment, as far as there is room.
#[inline(always)]
fn append(exchange: &mut Exchange, payload: &impl Payload) {
    let total = payload.len();
    let mut taken = 0;
    for _ in 0..HTTP_HEAD_LEN as u32 / STEP {
        let used = exchange.len;
        if used >= HTTP_HEAD_LEN as u32 || taken >= total {
            return;
        }
        let at = opaque(used) as usize & (HTTP_HEAD_LEN - 1);
        let len = within::<STEP>(total - taken);
        // SAFETY: at most STEP bytes, starting before HTTP_HEAD_LEN: there is room for both.
        let copied = unsafe {
            let to = (&raw mut exchange.head).cast::<u8>().add(at);
            payload.copy(taken, to, len)
        };
        if !copied {
            return;
        }
        exchange.len = used + len;
        taken += len;
    }
}

/// Takes in a response's first bytes. Gives the status of a failed request, and the number of
/// responses before it.
#[inline(always)]
pub fn response(exchange: *mut Exchange, first: &First, seq: u32) -> Option<(u32, u32)> {
    /// A retransmitted segment is at most this far behind.
    const RETRANSMITTED: u32 = 1 << 24;
    // SAFETY: a map value. Segments of one direction of a connection come one at a time.
    let exchange = unsafe { &mut *exchange };
    if exchange.responses > 0 && exchange.response_seq.wrapping_sub(seq) < RETRANSMITTED {
        return None;
    }
    let status = first.status()?;
    if status < 200 {
        // Interim. After a change of protocol (101) the connection no longer speaks HTTP.
        if status == 101 {
            exchange.len = OPAQUE;
        }
        return None;
    }
    exchange.response_seq = seq;
    exchange.responses = exchange.responses.wrapping_add(1);
    if status < 500 || exchange.len == OPAQUE || exchange.requests == 0 {
        return None;
    }
    Some((status, exchange.answered() - 1))
}

/// Whether a request on the connection waits for its response.
#[inline(always)]
pub fn is_open(exchange: *mut Exchange) -> bool {
    // SAFETY: a map value.
    unsafe { (*exchange).len != OPAQUE && (*exchange).requests > (*exchange).answered() }
}
