//! HTTP/1 in plaintext on TCP, whatever the proxy: programs on the proxies' cgroups.
//!
//! They never drop or change a packet. What they need of the running task they read from its
//! struct: the helpers for it are closed to this kind of program before 6.18.

use aya_ebpf::{
    helpers::generated,
    macros::{cgroup_skb, map},
    maps::{Array, LruHashMap},
    programs::SkBuffContext,
};
use tracer_common::record::http_end;

use crate::{
    exchange::{self, Exchange, First, Payload, has_method, is_answer, is_proxy, may_be_request},
    kernel_read::Address,
    maps::{DECISIONS, layout},
    task::{current, current_is_exiting, start_of},
};

/// Connections, by socket cookie.
#[map]
static EXCHANGES: LruHashMap<u64, Exchange> = LruHashMap::with_max_entries(8192, 0);

/// TCP ports where proxies listen, a bit each.
#[map]
static PROXY_PORTS: Array<u64> = Array::with_max_entries(1024, 0);

/// Local TCP ports of connections that proxies opened, a byte each: written one by one, without
/// regard to the others.
#[map]
static OUTBOUND_PORTS: Array<[u8; 64]> = Array::with_max_entries(1024, 0);

/// Let the packet pass.
const PASS: i32 = 1;
/// `Decisions::http`: everybody's requests.
const EVERYBODY: u32 = 2;
const IPPROTO_TCP: u8 = 6;
const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const TCP_HEADER_LEN: usize = 20;

#[cgroup_skb(ingress)]
pub fn http_ingress(ctx: SkBuffContext) -> i32 {
    let _ = follow(&ctx, false);
    PASS
}

#[cgroup_skb(egress)]
pub fn http_egress(ctx: SkBuffContext) -> i32 {
    let _ = follow(&ctx, true);
    PASS
}

/// A TCP segment with payload.
struct Segment<'a> {
    ctx: &'a SkBuffContext,
    local_port: u16,
    seq: u32,
    offset: u32,
    len: u32,
}

impl Payload for Segment<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    unsafe fn copy(&self, offset: u32, to: *mut u8, len: u32) -> bool {
        // SAFETY: as promised by the caller; the helper refuses what is not in the packet.
        unsafe {
            generated::bpf_skb_load_bytes(
                self.ctx.skb.skb.cast(),
                self.offset + offset,
                to.cast(),
                len,
            ) == 0
        }
    }
}

#[inline(always)]
fn follow(ctx: &SkBuffContext, egress: bool) -> Option<()> {
    let segment = segment(ctx, egress)?;
    let everybody = DECISIONS.load().http == EVERYBODY;
    let serves = everybody || is_proxy_port(segment.local_port);
    if !serves && !is_outbound_port(segment.local_port) {
        return None;
    }
    let first = First::of(&segment, 0)?;
    // Requests come in where a proxy serves, and go out elsewhere; answers the other way round.
    let request = if egress {
        has_method(&first)
    } else {
        may_be_request(&first)
    };
    if egress && !request && !is_answer(&first) {
        return None;
    }
    // SAFETY: the helper takes any socket buffer.
    let cookie = unsafe { generated::bpf_get_socket_cookie(ctx.skb.skb.cast()) };
    let exchange = match EXCHANGES.get_ptr_mut(cookie) {
        Some(known) => known,
        None if request && (egress || serves) => begin(ctx, cookie, egress)?,
        None => return None,
    };
    // SAFETY: a map value.
    let outbound = unsafe { (*exchange).outbound } != 0;
    if outbound == egress {
        exchange::request(exchange, &first, segment.seq, &segment);
        return Some(());
    }
    if !is_answer(&first) {
        return None;
    }
    let (status, before) = match exchange::answer(exchange, &first, segment.seq) {
        Some(failed) => failed,
        None => {
            let second = after_continue(&segment, &first)?;
            exchange::answer(exchange, &second, segment.seq)?
        }
    };
    // SAFETY: a map value; volatile, so that what was stored as a pointer is read as a number.
    let socket = unsafe { (&raw const (*exchange).socket).read_volatile() };
    exchange::report(exchange, socket, &exchange::answered(status, before, 0));
    Some(())
}

/// The state of a connection that is new, if it is one to follow.
#[inline(always)]
fn begin(ctx: &SkBuffContext, cookie: u64, egress: bool) -> Option<*mut Exchange> {
    let task = current();
    let pid: u32 = task.read_at(layout!(task_tgid));
    // What is sent is sent by the running process; what comes in comes in whatever runs.
    if egress && !is_proxy(pid) {
        return None;
    }
    let new = exchange::entry(&EXCHANGES, &cookie)?;
    // SAFETY: a map value.
    unsafe {
        (*new).outbound = u32::from(egress);
        if egress {
            (*new).owner = u64::from(pid) << 32 | u64::from(task.read_at::<u32>(layout!(task_pid)));
            (*new).owner_start_ns = start_of(task);
        }
        // As a number: the verifier tracks the pointer only until it is in the map.
        (&raw mut (*new).socket)
            .cast::<*mut aya_ebpf::bindings::bpf_sock>()
            .write_volatile((*ctx.skb.skb).__bindgen_anon_2.sk);
    }
    Some(new)
}

/// The segment in a packet, if it is one of TCP and has payload. The headers are in the packet's
/// linear part by now; the payload need not be.
#[inline(always)]
fn segment(ctx: &SkBuffContext, egress: bool) -> Option<Segment<'_>> {
    // SAFETY: the context is the kernel's.
    let (data, end) = unsafe {
        (
            (*ctx.skb.skb).data as usize,
            (*ctx.skb.skb).data_end as usize,
        )
    };
    if data + IPV4_HEADER_LEN > end {
        return None;
    }
    let ip = data as *const u8;
    // SAFETY: inside of the packet, as just checked.
    let version = unsafe { *ip };
    let (protocol, ip_len) = match version >> 4 {
        // SAFETY: as above.
        4 => (unsafe { *ip.add(9) }, usize::from(version & 0xf) * 4),
        // SAFETY: as above.
        6 => (unsafe { *ip.add(6) }, IPV6_HEADER_LEN),
        _ => return None,
    };
    if protocol != IPPROTO_TCP || data + ip_len + TCP_HEADER_LEN > end {
        return None;
    }
    let tcp = (data + ip_len) as *const u8;
    // SAFETY: the whole of the fixed part is inside of the packet, as just checked; fields of the
    // network are not aligned.
    let (source, destination, seq, data_offset) = unsafe {
        (
            tcp.cast::<u16>().read_unaligned(),
            tcp.add(2).cast::<u16>().read_unaligned(),
            tcp.add(4).cast::<u32>().read_unaligned(),
            *tcp.add(12),
        )
    };
    let offset = ip_len as u32 + u32::from(data_offset >> 4) * 4;
    let len = ctx.skb.len().checked_sub(offset)?;
    if len == 0 {
        return None;
    }
    Some(Segment {
        ctx,
        local_port: u16::from_be(if egress { source } else { destination }),
        seq: u32::from_be(seq),
        offset,
        len,
    })
}

/// The status line after `HTTP/1.1 100 Continue` in the same segment.
#[inline(always)]
fn after_continue(segment: &Segment<'_>, first: &First) -> Option<First> {
    const CONTINUE_LEN: u32 = b"HTTP/1.1 100 Continue\r\n\r\n".len() as u32;
    if exchange::status(first)? != 100 {
        return None;
    }
    let second = First::of(segment, CONTINUE_LEN)?;
    is_answer(&second).then_some(second)
}

#[inline(always)]
fn is_proxy_port(port: u16) -> bool {
    PROXY_PORTS
        .get(u32::from(port >> 6))
        .is_some_and(|bits| bits >> (port & 63) & 1 != 0)
}

#[inline(always)]
fn is_outbound_port(port: u16) -> bool {
    OUTBOUND_PORTS
        .get(u32::from(port >> 6))
        .is_some_and(|ports| ports[usize::from(port & 63)] != 0)
}

/// A proxy opened a connection, or closed it.
#[inline(always)]
pub fn outbound_connection(port: u16, opened: bool) {
    if let Some(ports) = OUTBOUND_PORTS.get_ptr_mut(u32::from(port >> 6)) {
        // SAFETY: inside of a map value.
        unsafe { (*ports)[usize::from(port & 63)] = u8::from(opened) };
    }
}

/// The traced end of a connection closes it: reports the request that has no answer yet. A function
/// of its own: stack space is scarce.
#[inline(never)]
pub fn connection_ends(socket: Address, peer_was_first: bool, reset: bool) {
    if DECISIONS.load().http == 0 {
        return;
    }
    let cookie: u64 = socket.read_at(layout!(sock_cookie));
    if cookie == 0 {
        return;
    }
    let Some(exchange) = EXCHANGES.get_ptr_mut(cookie) else {
        return;
    };
    if exchange::is_open(exchange) {
        let end = if reset {
            http_end::PEER_RESET
        } else if current_is_exiting() {
            http_end::DIED
        } else if peer_was_first {
            http_end::PEER_CLOSED
        } else {
            http_end::CLOSED
        };
        exchange::report(exchange, socket.0, &exchange::unanswered(exchange, end, 0));
    }
    // SAFETY: a map value.
    if unsafe { (*exchange).outbound } != 0 {
        outbound_connection(socket.read_at(layout!(sock_num)), false);
    }
    let _ = EXCHANGES.remove(cookie);
}
