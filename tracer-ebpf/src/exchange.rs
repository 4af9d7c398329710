//! Requests on one connection: their first bytes, until they are answered.
//!
//! Nothing is parsed here but the status line: the request's first bytes are kept as they are, and
//! sent when its answer's status is 500 or more, or when none comes. Healthy requests cost a copy.
//!
//! A connection's state is small on purpose. Requests are counted by segments that begin like one;
//! several in one segment (pipelining) are told apart by userspace, which gets the bytes and the
//! number of answers that came before. It also discards what was no request after all: bytes of a
//! body can look like one.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray},
};
use tracer_common::{
    PROXY_BITS_LEN, bit_of_proxy,
    record::{
        COMM_LEN, ConnectTarget, Endpoints, HTTP_HEAD_LEN, HttpRecord, HttpUnsentKey, http_end,
        kind, lost,
    },
};

use crate::{
    kernel_read::Address,
    maps::{Ring, add, count_lost, header, layout, now, reserve_traffic, submit_batched},
    task::{current, write_actor},
    tcp,
};

/// What is known of one connection.
///
/// Requests and answers are often seen on different processors. What an answer that is not reported
/// needs lies apart from what a request changes, or each would wait for the other's memory.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Exchange {
    /// Answers, and the sequence number of the last.
    answers: u32,
    pub answer_seq: u32,
    /// Whether the traced process sends the requests.
    pub outbound: u32,
    pad: u32,
    apart: [u64; LINE / size_of::<u64>()],
    /// When the first byte in `head` was seen, CLOCK_BOOTTIME ns.
    began_ns: u64,
    /// Address of the socket; 0 when unknown.
    pub socket: u64,
    /// Outbound: who sent the first request, process and thread. Answers are seen in whatever
    /// context the packet comes in.
    pub owner: u64,
    /// When that process was created, CLOCK_BOOTTIME ns.
    pub owner_start_ns: u64,
    /// Sequence number of the last segment of requests.
    pub request_seq: u32,
    /// Segments that began like a request since `head` began.
    requests: u32,
    /// `answers` when `head` began.
    answers_before: u32,
    /// Bytes used in `head`; [`OPAQUE`]: the connection speaks something else now.
    len: u32,
    head: [u8; HTTP_HEAD_LEN + STEP as usize],
}

/// What processors take from each other at once, bytes.
const LINE: usize = 64;

impl Exchange {
    /// Answers since `head` began.
    #[inline(always)]
    fn answered(&self) -> u32 {
        self.answers.wrapping_sub(self.answers_before)
    }
}

/// What comes after a request's first segment is copied in steps of this many bytes, so that the
/// verifier sees that there is room.
const STEP: u32 = 64;
/// [`Exchange::len`] of a connection that is no HTTP/1 (any more).
const OPAQUE: u32 = u32::MAX;
/// `PRI * HTTP/2.0`.
const HTTP2_PREFACE: [u8; 4] = *b"PRI ";

/// What new connections start from: never written to.
#[map]
static BLANK: Array<Exchange> = Array::with_max_entries(1, 0);

/// Failed inbound requests of which no record was sent.
#[map]
static HTTP_UNSENT: HashMap<HttpUnsentKey, u64> = HashMap::with_max_entries(512, 0);

/// Where threads of proxies last connected to, by process and thread.
#[map]
static LAST_CONNECT: LruHashMap<u64, ConnectTarget> = LruHashMap::with_max_entries(1024, 0);

/// What new threads start from: never written to.
#[map]
static NOWHERE: Array<ConnectTarget> = Array::with_max_entries(1, 0);

/// Process ids of proxies.
#[map]
static PROXIES: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// A bit for each, [`bit_of_proxy`]: nearly all that asks is no proxy, and has its answer here.
#[map]
static PROXY_BITS: Array<u64> = Array::with_max_entries(PROXY_BITS_LEN / u64::BITS, 0);

/// Records that may still be sent by this processor.
#[derive(Clone, Copy)]
#[repr(C)]
struct Budget {
    records: u64,
    at_ns: u64,
}

#[map]
static BUDGET: PerCpuArray<Budget> = PerCpuArray::with_max_entries(1, 0);

/// First bytes of a payload, up to the end of a status; zeroes where it is shorter. As numbers, in the
/// order of memory, which are compared at once.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct First {
    words: [u32; 3],
}

impl First {
    /// The first bytes of what has some.
    #[inline(always)]
    pub fn of(payload: &impl Payload, offset: u32) -> Option<Self> {
        const LEN: u32 = size_of::<First>() as u32;
        let mut first = MaybeUninit::<Self>::uninit();
        let words = first.as_mut_ptr().cast::<u32>();
        for word in 0..size_of::<Self>() / size_of::<u32>() {
            // SAFETY: inside of the value. Volatile, or the compiler calls a loop over its bytes.
            unsafe { words.add(word).write_volatile(0) };
        }
        let len = if payload.len() >= offset + LEN {
            LEN
        } else {
            1
        };
        // SAFETY: there is room for either length; all words were written.
        unsafe {
            payload
                .copy(offset, words.cast(), len)
                .then(|| first.assume_init())
        }
    }

    #[inline(always)]
    fn begins_with(&self, four: [u8; 4]) -> bool {
        self.words[0] == u32::from_ne_bytes(four)
    }

    #[inline(always)]
    pub fn byte(&self, index: usize) -> u8 {
        self.words[index / 4].to_ne_bytes()[index % 4]
    }
}

/// Where payload can be copied from.
pub trait Payload {
    /// Bytes there are.
    fn len(&self) -> u32;

    /// Copies `len` bytes from `offset` on.
    ///
    /// # Safety
    ///
    /// `to` must have room for `len` bytes.
    unsafe fn copy(&self, offset: u32, to: *mut u8, len: u32) -> bool;
}

/// Whether the process is a proxy.
#[inline(always)]
pub fn is_proxy(pid: u32) -> bool {
    may_be_proxy(pid) && PROXIES.get_ptr(pid).is_some()
}

#[inline(always)]
fn may_be_proxy(pid: u32) -> bool {
    let bit = bit_of_proxy(pid);
    PROXY_BITS
        .get(u32::from(bit >> 6))
        .is_some_and(|bits| bits >> (bit & 63) & 1 != 0)
}

/// Remembers where `thread` connects to, if it is a proxy's: `write` gives all of the target but its
/// time, of which it may leave what its `family` and `path_len` say is not used; nothing is remembered
/// when it fails.
///
/// What is known of the thread already is written over where it lies: an insert takes another element
/// of the map and gives this one back, which costs more than all the rest of a connect.
#[inline(always)]
pub fn remember_connect(
    thread: u64,
    at_ns: u64,
    write: impl FnOnce(*mut ConnectTarget) -> Option<()>,
) {
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
            // Fails only when the map is being changed by others.
            let _ = LAST_CONNECT.insert(thread, nowhere, 0);
            let Some(new) = LAST_CONNECT.get_ptr_mut(thread) else {
                return;
            };
            new
        }
        None => return,
    };
    // SAFETY: a map value. Whoever reads it meanwhile, for an answer that another processor sends,
    // finds that the thread connected nowhere lately: the time goes first and comes last.
    unsafe {
        let time = &raw mut (*target).at_ns;
        time.write_volatile(0);
        if write(target).is_some() {
            time.write_volatile(at_ns);
        }
    }
}

/// The state of connection `key`, made when there is none.
#[inline(always)]
pub fn entry<K>(map: &LruHashMap<K, Exchange>, key: &K) -> Option<*mut Exchange> {
    match map.get_ptr_mut(key) {
        Some(known) => Some(known),
        None => fresh(map, key),
    }
}

/// The state of connection `key`, which is new whatever is known.
#[inline(always)]
pub fn fresh<K>(map: &LruHashMap<K, Exchange>, key: &K) -> Option<*mut Exchange> {
    let blank = BLANK.get(0)?;
    // Fails only when the map is being changed by others.
    let _ = map.insert(key, blank, 0);
    map.get_ptr_mut(key)
}

/// Whether `first` may be the beginning of a request: any token in upper case.
#[inline(always)]
pub fn may_be_request(first: &First) -> bool {
    first.byte(0).is_ascii_uppercase() && !is_answer(first)
}

/// Whether `first` begins with one of the usual methods.
#[inline(always)]
pub fn has_method(first: &First) -> bool {
    [
        b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"PATC", b"OPTI",
    ]
    .into_iter()
    .any(|method| first.begins_with(*method))
}

/// Whether `first` begins like a status line.
#[inline(always)]
pub fn is_answer(first: &First) -> bool {
    let version = u32::from_ne_bytes(*b"/1.\0");
    let all_but_last = u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
    first.begins_with(*b"HTTP") && first.words[1] & all_but_last == version
}

/// Bytes of requests, with their TCP sequence number.
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
        if has_method(first) {
            exchange.requests += 1;
        }
        append(exchange, payload);
        return;
    }
    if !may_be_request(first) {
        return;
    }
    if first.begins_with(HTTP2_PREFACE) {
        exchange.len = OPAQUE;
        return;
    }
    exchange.request_seq = seq;
    exchange.began_ns = now();
    exchange.requests = 1;
    exchange.answers_before = exchange.answers;
    let len = within::<{ HTTP_HEAD_LEN as u32 }>(payload.len());
    // SAFETY: `head` has room for `len` bytes.
    let copied = unsafe { payload.copy(0, (&raw mut exchange.head).cast(), len) };
    exchange.len = if copied { len } else { 0 };
}

/// `len`, which is not 0, or `MAX`, a power of two, when that is less; written so that every
/// verifier sees it.
#[inline(always)]
pub fn within<const MAX: u32>(len: u32) -> u32 {
    let less = opaque(if len > MAX { MAX } else { len });
    (less.wrapping_sub(1) & (MAX - 1)) + 1
}

/// `value`, of which the compiler forgets what it knows, so that it does not optimise away a bound
/// that the verifier needs.
#[inline(always)]
fn opaque(value: u32) -> u32 {
    #[cfg_attr(
        not(target_arch = "bpf"),
        expect(unused_mut, reason = "for lints on the host")
    )]
    let mut value = u64::from(value);
    #[cfg(target_arch = "bpf")]
    // SAFETY: a register is copied to itself.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack));
    }
    value as u32
}

/// What follows a request's first segment, as far as there is room.
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
        // SAFETY: at most STEP bytes, from before HTTP_HEAD_LEN on: there is room for both.
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

/// An answer's first bytes; gives the status when it is to be reported, and how many answers came
/// before.
#[inline(always)]
pub fn answer(exchange: *mut Exchange, first: &First, seq: u32) -> Option<(u32, u32)> {
    /// A segment that is sent again is at most this far behind.
    const SENT_AGAIN: u32 = 1 << 24;
    // SAFETY: a map value. Segments of one direction of a connection come one at a time.
    let exchange = unsafe { &mut *exchange };
    if exchange.answers > 0 && exchange.answer_seq.wrapping_sub(seq) < SENT_AGAIN {
        return None;
    }
    let status = status(first)?;
    if status < 200 {
        // Interim; what follows a change of protocol is no HTTP.
        if status == 101 {
            exchange.len = OPAQUE;
        }
        return None;
    }
    exchange.answer_seq = seq;
    exchange.answers = exchange.answers.wrapping_add(1);
    if status < 500 || exchange.len == OPAQUE || exchange.requests == 0 {
        return None;
    }
    Some((status, exchange.answered() - 1))
}

/// The status in a status line.
#[inline(always)]
pub fn status(first: &First) -> Option<u32> {
    let digit = |index| u32::from(first.byte(index).wrapping_sub(b'0'));
    let (hundreds, tens, ones) = (digit(9), digit(10), digit(11));
    (hundreds < 10 && tens < 10 && ones < 10).then_some(hundreds * 100 + tens * 10 + ones)
}

/// The connection ends: whether a request on it is unanswered.
#[inline(always)]
pub fn is_open(exchange: *mut Exchange) -> bool {
    // SAFETY: a map value.
    unsafe { (*exchange).len != OPAQUE && (*exchange).requests > (*exchange).answered() }
}

/// How a request ended.
#[derive(Clone, Copy)]
pub struct Ending {
    /// One of [`http_end`].
    pub end: u32,
    /// With [`http_end::STATUS`].
    pub status: u32,
    /// Answers before this one.
    pub answered: u32,
    /// Whether it was seen in a TLS library.
    pub tls: u32,
}

/// Sends a record of a request that failed; when there are too many, only counts it.
///
/// A function of its own, which writes straight into the ring: stack space is scarce.
#[inline(never)]
pub fn report(exchange: *mut Exchange, socket: u64, ending: &Ending) {
    let at_ns = now();
    let entry = if may_send(at_ns) {
        reserve_traffic::<HttpRecord>()
    } else {
        None
    };
    let Some(mut entry) = entry else {
        unsent(exchange, socket, ending.status);
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
        write_endpoints(&raw mut (*record).endpoints, socket);
        (*record).began_ns = (*exchange).began_ns;
        write_last_connect(
            &raw mut (*record).connected,
            u64::from((*record).actor.pid) << 32 | u64::from((*record).actor.tid),
            (*exchange).began_ns,
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

/// # Safety
///
/// `to` must have room.
#[inline(always)]
unsafe fn write_endpoints(to: *mut Endpoints, socket: u64) {
    // SAFETY: as promised by the caller.
    unsafe {
        *to = Endpoints::UNKNOWN;
        if socket == 0 {
            return;
        }
        let socket = Address(socket);
        let family: u16 = socket.read_at(layout!(sock_family));
        (*to).family = family;
        let (local, remote) = (&raw mut (*to).local, &raw mut (*to).remote);
        if family == tcp::AF_INET6 {
            socket.copy_at(layout!(sock_v6_rcv_saddr), local);
            socket.copy_at(layout!(sock_v6_daddr), remote);
        } else {
            socket.copy_at::<u32>(layout!(sock_rcv_saddr), local.cast());
            socket.copy_at::<u32>(layout!(sock_daddr), remote.cast());
        }
        socket.copy_at(layout!(sock_num), &raw mut (*to).local_port);
        (*to).remote_port = u16::from_be(socket.read_at(layout!(sock_dport)));
        (*to).netns = tcp::netns_of(socket);
    }
}

/// Where `thread` last connected to, if since `began_ns`.
///
/// # Safety
///
/// `to` must have room.
#[inline(always)]
unsafe fn write_last_connect(to: *mut ConnectTarget, thread: u64, began_ns: u64) {
    // SAFETY: as promised by the caller; a map value, copied at once.
    unsafe {
        match LAST_CONNECT.get_ptr(thread) {
            Some(target) if (*target).at_ns >= began_ns => *to = *target,
            _ => *to = ConnectTarget::NONE,
        }
    }
}

/// Takes one record out of this processor's budget, which fills up with time: a burst is told in
/// full, a storm only counted.
#[inline(always)]
fn may_send(at_ns: u64) -> bool {
    const BURST: u64 = 2048;
    const NS_PER_RECORD: u64 = 1_000_000;
    let Some(budget) = BUDGET.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: the map's value for this processor; a program that interrupts this one can at worst
    // let a record more or less pass.
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

/// Counts a failed request of which no record is sent. Those of the proxy to its upstreams say
/// nothing that the clients' don't.
#[inline(never)]
fn unsent(exchange: *mut Exchange, socket: u64, status: u32) {
    // SAFETY: a map value.
    if unsafe { (*exchange).outbound } != 0 {
        return;
    }
    let socket = Address(socket);
    let family: u16 = socket.read_at(layout!(sock_family));
    let key = HttpUnsentKey {
        local: tcp::local_address(socket, family),
        netns: tcp::netns_of(socket),
        local_port: socket.read_at(layout!(sock_num)),
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

/// The ending of a request that was answered.
#[inline(always)]
pub fn answered(status: u32, before: u32, tls: u32) -> Ending {
    Ending {
        end: http_end::STATUS,
        status,
        answered: before,
        tls,
    }
}

/// The ending of a request that got no answer.
#[inline(always)]
pub fn unanswered(exchange: *mut Exchange, end: u32, tls: u32) -> Ending {
    Ending {
        end,
        status: 0,
        // SAFETY: a map value.
        answered: unsafe { (*exchange).answered() },
        tls,
    }
}
