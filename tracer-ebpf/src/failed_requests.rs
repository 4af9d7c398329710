//! Failed requests: a record for each while this processor's budget lasts; after that they are only
//! counted.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use tracer_common::record::{
    COMM_LEN, HTTP_HEAD_LEN, HttpRecord, HttpUnsentKey, http_end, kind, lost,
};

use crate::{
    exchange::Exchange,
    http_message::within,
    kernel_read::Address,
    last_connect,
    maps::{Ring, add, count_lost, header, now, reserve_traffic, submit_batched},
    sock::Sock,
    task::{current, write_actor},
};

/// Failed requests from clients for which no record was sent.
#[map]
static HTTP_UNSENT: HashMap<HttpUnsentKey, u64> = HashMap::with_max_entries(512, 0);

/// Records that this processor may still send.
#[derive(Clone, Copy)]
#[repr(C)]
struct Budget {
    records: u64,
    at_ns: u64,
}

#[map]
static BUDGET: PerCpuArray<Budget> = PerCpuArray::with_max_entries(1, 0);

/// How a request ended.
#[derive(Clone, Copy)]
pub struct Ending {
    /// One of [`http_end`].
    end: u32,
    /// With [`http_end::STATUS`].
    status: u32,
    /// Responses before this one.
    answered: u32,
    /// Whether it was seen in a TLS library.
    tls: u32,
}

impl Ending {
    /// A response came, after `before` others.
    #[inline(always)]
    pub fn response(status: u32, before: u32, tls: u32) -> Self {
        Self {
            end: http_end::STATUS,
            status,
            answered: before,
            tls,
        }
    }

    /// No response came; `end` is one of [`http_end`].
    #[inline(always)]
    pub fn no_response(exchange: *mut Exchange, end: u32, tls: u32) -> Self {
        Self {
            end,
            status: 0,
            // SAFETY: a map value.
            answered: unsafe { (*exchange).answered() },
            tls,
        }
    }
}

/// Sends a record of a failed request; only counts it when the budget is spent or the ring full.
///
/// A function of its own, which writes straight into the ring: stack space is scarce.
#[inline(never)]
pub fn send(exchange: *mut Exchange, socket: u64, ending: &Ending) {
    let at_ns = now();
    let entry = if may_send(at_ns) {
        reserve_traffic::<HttpRecord>()
    } else {
        None
    };
    let Some(mut entry) = entry else {
        count_unsent(exchange, socket, ending.status);
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: every field of the record is written; the exchange is a map value, whose head is
    // copied by the helper because it is too large for registers.
    unsafe {
        (*record).header = header(kind::HTTP, at_ns);
        write_actor(&raw mut (*record).actor, current());
        if (*exchange).owner != 0 && (*record).actor.pid != ((*exchange).owner >> 32) as u32 {
            (*record).actor.pid = ((*exchange).owner >> 32) as u32;
            (*record).actor.tid = (*exchange).owner as u32;
            (*record).actor.start_ns = (*exchange).owner_start_ns;
            (*record).actor.comm = [0; COMM_LEN];
        }
        Sock(Address(socket)).write_endpoints(&raw mut (*record).endpoints);
        (*record).began_ns = (*exchange).began_ns;
        last_connect::copy_since(
            (*exchange).began_ns,
            u64::from((*record).actor.pid) << 32 | u64::from((*record).actor.tid),
            &raw mut (*record).connected,
        );
        (*record).status = ending.status;
        (*record).end = ending.end;
        (*record).outbound = (*exchange).outbound;
        (*record).tls = ending.tls;
        (*record).answered = ending.answered;
        (*record).head_len = within::<{ HTTP_HEAD_LEN as u32 }>((*exchange).len);
        generated::bpf_probe_read_kernel(
            (&raw mut (*record).head).cast(),
            HTTP_HEAD_LEN as u32,
            (&raw const (*exchange).head).cast(),
        );
    }
    submit_batched(entry, Ring::Traffic, at_ns);
}

/// Takes one record out of this processor's budget, which refills with time: a burst is sent in
/// full, a storm is only counted.
#[inline(always)]
fn may_send(at_ns: u64) -> bool {
    const BURST: u64 = 2048;
    const NS_PER_RECORD: u64 = 1_000_000;
    let Some(budget) = BUDGET.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: the map's value for this processor; a program that interrupts this one can at worst
    // let one record more or less pass.
    unsafe {
        let earned = at_ns.wrapping_sub((*budget).at_ns) / NS_PER_RECORD;
        if earned > 0 {
            let records = (*budget).records + earned;
            (*budget).records = if records > BURST { BURST } else { records };
            (*budget).at_ns = at_ns;
        }
        if (*budget).records == 0 {
            return false;
        }
        (*budget).records -= 1;
    }
    true
}

/// Counts a client's failed request for which no record is sent. A proxy's requests to its upstreams
/// are not counted: they add nothing to the clients' requests.
#[inline(never)]
fn count_unsent(exchange: *mut Exchange, socket: u64, status: u32) {
    // SAFETY: a map value.
    if unsafe { (*exchange).outbound } != 0 {
        return;
    }
    let socket = Sock(Address(socket));
    let family = socket.family();
    let key = HttpUnsentKey {
        local: socket.local_address(family),
        netns: socket.netns(),
        local_port: socket.local_port(),
        family,
        status,
        pad: 0,
    };
    if let Some(count) = HTTP_UNSENT.get_ptr_mut(key) {
        add(count, 1);
        return;
    }
    // Fails when another processor was faster, or when there is no room.
    let _ = HTTP_UNSENT.insert(key, 0, u64::from(BPF_NOEXIST));
    match HTTP_UNSENT.get_ptr_mut(key) {
        Some(count) => add(count, 1),
        None => count_lost(lost::REQUESTS),
    }
}
