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
    tls,
};

/// Connections, by socket cookie.
#[map]
static EXCHANGES: LruHashMap<u64, Exchange> = LruHashMap::with_max_entries(8192, 0);

/// TCP ports where proxies listen, a bit each.
#[map]
static PROXY_PORTS: Array<u64> = Array::with_max_entries(1024, 0);

/// Let the packet pass.
const PASS: i32 = 1;
/// `Decisions::http`: everybody's requests.
const EVERYBODY: u32 = 2;
const IPPROTO_TCP: u8 = 6;
const IPV6_HEADER_LEN: u32 = 40;
const TCP_HEADER_LEN: u32 = 20;

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
    let first = first(&segment)?;
    if tls::is_record(&first) {
        return if egress { tls::sends(ctx) } else { None };
    }
    let serves = DECISIONS.load().http == EVERYBODY || is_proxy_port(segment.local_port);
    if serves {
        if egress && !is_answer(&first) && !has_method(&first) {
            return None;
        }
    } else if egress && !has_method(&first) || !egress && !is_answer(&first) {
        return None;
    }
    // SAFETY: the helper takes any socket buffer.
    let cookie = unsafe { generated::bpf_get_socket_cookie(ctx.skb.skb.cast()) };
    let known = EXCHANGES.get_ptr_mut(cookie);
    let exchange = match known {
        Some(known) => known,
        None if egress && !has_method(&first) || !egress && !may_be_request(&first) => return None,
        None => {
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
                    (*new).owner =
                        u64::from(pid) << 32 | u64::from(task.read_at::<u32>(layout!(task_pid)));
                    (*new).owner_start_ns = start_of(task);
                }
                // As a number: the verifier tracks the pointer only until it is in the map.
                (&raw mut (*new).socket)
                    .cast::<*mut aya_ebpf::bindings::bpf_sock>()
                    .write_volatile((*ctx.skb.skb).__bindgen_anon_2.sk);
            }
            new
        }
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

/// The segment in a packet, if it is one of TCP and has payload.
#[inline(always)]
fn segment(ctx: &SkBuffContext, egress: bool) -> Option<Segment<'_>> {
    let version: u8 = ctx.skb.load(0).ok()?;
    let tcp = match version >> 4 {
        4 => {
            let protocol: u8 = ctx.skb.load(9).ok()?;
            if protocol != IPPROTO_TCP {
                return None;
            }
            u32::from(version & 0xf) * 4
        }
        6 => {
            let protocol: u8 = ctx.skb.load(6).ok()?;
            if protocol != IPPROTO_TCP {
                return None;
            }
            IPV6_HEADER_LEN
        }
        _ => return None,
    };
    let header: [u8; TCP_HEADER_LEN as usize] = ctx.skb.load(tcp as usize).ok()?;
    let offset = tcp + u32::from(header[12] >> 4) * 4;
    let len = ctx.skb.len().checked_sub(offset)?;
    if len == 0 {
        return None;
    }
    let port = if egress {
        [header[0], header[1]]
    } else {
        [header[2], header[3]]
    };
    Some(Segment {
        ctx,
        local_port: u16::from_be_bytes(port),
        seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        offset,
        len,
    })
}

#[inline(always)]
fn first(segment: &Segment<'_>) -> Option<First> {
    let mut first: First = [0; 12];
    let len = if segment.len >= 12 { 12 } else { 1 };
    // SAFETY: `first` has room for either length.
    unsafe { segment.copy(0, (&raw mut first).cast(), len) }.then_some(first)
}

/// The status line after `HTTP/1.1 100 Continue` in the same segment.
#[inline(always)]
fn after_continue(segment: &Segment<'_>, first: &First) -> Option<First> {
    const CONTINUE_LEN: u32 = b"HTTP/1.1 100 Continue\r\n\r\n".len() as u32;
    if [first[9], first[10], first[11]] != *b"100" || segment.len < CONTINUE_LEN + 12 {
        return None;
    }
    let mut second: First = [0; 12];
    // SAFETY: `second` has room.
    let copied = unsafe { segment.copy(CONTINUE_LEN, (&raw mut second).cast(), 12) };
    (copied && is_answer(&second)).then_some(second)
}

#[inline(always)]
fn is_proxy_port(port: u16) -> bool {
    PROXY_PORTS
        .get(u32::from(port >> 6))
        .is_some_and(|bits| bits >> (port & 63) & 1 != 0)
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
    let end = if reset {
        http_end::PEER_RESET
    } else if current_is_exiting() {
        http_end::DIED
    } else if peer_was_first {
        http_end::PEER_CLOSED
    } else {
        http_end::CLOSED
    };
    let Some(exchange) = EXCHANGES.get_ptr_mut(cookie) else {
        tls::connection_ends(cookie, socket.0, end);
        return;
    };
    if exchange::is_open(exchange) {
        exchange::report(exchange, socket.0, &exchange::unanswered(exchange, end, 0));
    }
    let _ = EXCHANGES.remove(cookie);
}
