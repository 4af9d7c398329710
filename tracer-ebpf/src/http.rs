//! HTTP/1 in plaintext on TCP, for every proxy: programs on the proxies' cgroups.
//!
//! They never drop or change a packet. They read the running task's struct, because before 6.18
//! this program type may not call the helpers for the running task.

use aya_ebpf::{
    bindings::bpf_sock,
    helpers::generated,
    macros::{cgroup_skb, map},
    maps::LruHashMap,
    programs::SkBuffContext,
};
use tracer_common::record::http_end;

use crate::{
    exchange::{self, Exchange},
    failed_requests::{self, Ending},
    http_message::{First, Payload},
    maps::{DECISIONS, layout},
    proxies::{is_outbound_port, is_proxy, is_proxy_port, set_outbound_port},
    sock::{AF_INET6, Sock},
    task::{current, current_is_exiting, start_of},
    tls,
};

/// Connections, by socket cookie.
#[map]
static EXCHANGES: LruHashMap<u64, Exchange> = LruHashMap::with_max_entries(8192, 0);

/// Let the packet pass.
const PASS: i32 = 1;
/// [`tracer_common::Decisions::http`]: requests to every process.
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
    remote_port: u16,
    seq: u32,
    offset: u32,
    len: u32,
}

impl Segment<'_> {
    /// See [`peer_key`].
    #[inline(always)]
    fn peer(&self, egress: bool) -> Option<u64> {
        let version: u8 = self.ctx.skb.load(0).ok()?;
        let remote = if version >> 4 == 6 {
            self.ctx.skb.load(if egress { 24 } else { 8 }).ok()?
        } else {
            [
                0,
                0,
                0,
                self.ctx.skb.load(if egress { 16 } else { 12 }).ok()?,
            ]
        };
        let ports = u32::from(self.remote_port) << 16 | u32::from(self.local_port);
        Some(peer_key(remote, ports))
    }
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
    let concerns = serves || is_outbound_port(segment.local_port);
    // A proxy may send its first request after the tracer started, on an older connection.
    if !concerns && (!egress || !is_proxy(current().read_at(layout!(task_tgid)))) {
        return None;
    }
    let first = First::of(&segment, 0)?;
    if tls::is_record(&first) {
        return if egress && concerns {
            tls::sends(ctx)
        } else {
            None
        };
    }
    // Where a proxy serves, requests come in and responses go out; on its own connections to
    // upstreams, the other way round.
    let request = if egress {
        first.has_method()
    } else {
        first.may_be_request()
    };
    if egress && !request && !first.is_response() {
        return None;
    }
    // SAFETY: the helper takes any socket buffer.
    let cookie = unsafe { generated::bpf_get_socket_cookie(ctx.skb.skb.cast()) };
    let known = match EXCHANGES.get_ptr_mut(cookie) {
        None if serves => begun_with_handshake(&segment, egress),
        known => known,
    };
    let exchange = match known {
        Some(known) => known,
        None if request && (egress || serves) => begin(&segment, cookie, egress)?,
        None => return None,
    };
    // SAFETY: a map value.
    let outbound = unsafe { (*exchange).outbound } != 0;
    if outbound == egress {
        exchange::request(exchange, &first, segment.seq, &segment);
        return Some(());
    }
    if !first.is_response() {
        return None;
    }
    let failed = exchange::response(exchange, &first, segment.seq).or_else(|| {
        let second = after_continue(&segment, &first)?;
        exchange::response(exchange, &second, segment.seq)
    });
    let (status, before) = failed?;
    // SAFETY: a map value; volatile, so that what was stored as a pointer is read as a number.
    let socket = unsafe { (&raw const (*exchange).socket).read_volatile() };
    failed_requests::send(exchange, socket, &Ending::response(status, before, 0));
    Some(())
}

/// The state of a new connection, if it is one to follow.
#[inline(always)]
fn begin(segment: &Segment<'_>, cookie: u64, egress: bool) -> Option<*mut Exchange> {
    let task = current();
    let pid: u32 = task.read_at(layout!(task_tgid));
    // The running process is the sender of an outgoing packet, but any process may run when a packet
    // comes in.
    if egress && !is_proxy(pid) {
        return None;
    }
    // A request that completes the handshake (TCP_DEFER_ACCEPT) still meets the listening socket.
    let key = if !egress && is_listening(segment.ctx) {
        segment.peer(egress)?
    } else {
        cookie
    };
    let new = exchange::fresh(&EXCHANGES, &key)?;
    // SAFETY: a map value.
    unsafe {
        (*new).outbound = u32::from(egress);
        if egress {
            (*new).owner = u64::from(pid) << 32 | u64::from(task.read_at::<u32>(layout!(task_pid)));
            (*new).owner_start_ns = start_of(task);
        }
    }
    if egress {
        set_outbound_port(segment.local_port, true);
    }
    remember_socket(new, segment.ctx);
    Some(new)
}

/// The state of a connection whose first request came before it had a socket, until that request
/// has its response.
#[inline(always)]
fn begun_with_handshake(segment: &Segment<'_>, egress: bool) -> Option<*mut Exchange> {
    let known = EXCHANGES.get_ptr_mut(segment.peer(egress)?)?;
    if !egress && !exchange::is_open(known) {
        return None;
    }
    remember_socket(known, segment.ctx);
    Some(known)
}

#[inline(always)]
fn remember_socket(exchange: *mut Exchange, ctx: &SkBuffContext) {
    // SAFETY: a map value, and the kernel's context. Read back as a number: the verifier tracks the
    // pointer only until it is in the map.
    unsafe {
        (&raw mut (*exchange).socket)
            .cast::<*mut bpf_sock>()
            .write_volatile((*ctx.skb.skb).__bindgen_anon_2.sk);
    }
}

#[inline(always)]
fn is_listening(ctx: &SkBuffContext) -> bool {
    const LISTEN: u32 = 10;
    // SAFETY: the kernel's context; the helper takes a pointer that is not null, and returns null
    // while the handshake is under way.
    unsafe {
        let socket = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if socket.is_null() {
            return false;
        }
        let socket = generated::bpf_sk_fullsock(socket);
        !socket.is_null() && (*socket).state == LISTEN
    }
}

/// The key of a connection by its remote end and its local port, for use in place of a socket's
/// cookie: cookies count up from 1, and never get this large.
#[inline(always)]
fn peer_key(remote: [u32; 4], ports: u32) -> u64 {
    let mixed = remote[0].rotate_left(7) ^ remote[1].rotate_left(13) ^ remote[2].rotate_left(23);
    u64::from(mixed ^ remote[3]) << 32 | 1 << 63 | u64::from(ports)
}

/// The TCP segment in a packet, if it has payload. The headers are in the packet's linear part by
/// now; the payload may not be.
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
    // SAFETY: the whole fixed part is inside of the packet, as just checked; its fields may be
    // unaligned.
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
        remote_port: u16::from_be(if egress { destination } else { source }),
        seq: u32::from_be(seq),
        offset,
        len,
    })
}

/// The status line after `HTTP/1.1 100 Continue` in the same segment.
#[inline(always)]
fn after_continue(segment: &Segment<'_>, first: &First) -> Option<First> {
    const CONTINUE_LEN: u32 = b"HTTP/1.1 100 Continue\r\n\r\n".len() as u32;
    if first.status()? != 100 {
        return None;
    }
    let second = First::of(segment, CONTINUE_LEN)?;
    second.is_response().then_some(second)
}

/// The traced end of a connection closes it: sends a record of the request that has no response yet.
///
/// A function of its own: stack space is scarce.
#[inline(never)]
pub fn connection_ends(socket: Sock, peer_was_first: bool, reset: bool) {
    if DECISIONS.load().http == 0 {
        return;
    }
    let cookie = socket.cookie();
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
    let known = match EXCHANGES.get_ptr_mut(cookie) {
        Some(exchange) => Some((cookie, exchange)),
        None => ended_with_handshake(socket),
    };
    let Some((key, exchange)) = known else {
        tls::connection_ends(cookie, socket.0.0, end);
        return;
    };
    if exchange::is_open(exchange) {
        failed_requests::send(exchange, socket.0.0, &Ending::no_response(exchange, end, 0));
    }
    // SAFETY: a map value.
    if unsafe { (*exchange).outbound } != 0 {
        set_outbound_port(socket.local_port(), false);
    }
    let _ = EXCHANGES.remove(key);
}

/// As [`begun_with_handshake`], found by the socket.
#[inline(always)]
fn ended_with_handshake(socket: Sock) -> Option<(u64, *mut Exchange)> {
    let local = socket.local_port();
    if !is_proxy_port(local) {
        return None;
    }
    let remote: [u8; 16] = if socket.family() == AF_INET6 {
        socket.0.read_at(layout!(sock_v6_daddr))
    } else {
        [0; 16]
    };
    let word = |at: usize| {
        u32::from_ne_bytes([remote[at], remote[at + 1], remote[at + 2], remote[at + 3]])
    };
    let mut remote = [word(0), word(4), word(8), word(12)];
    if is_mapped(&remote) {
        remote = [0, 0, 0, socket.0.read_at(layout!(sock_daddr))];
    }
    let ports = u32::from(socket.remote_port()) << 16 | u32::from(local);
    let key = peer_key(remote, ports);
    Some((key, EXCHANGES.get_ptr_mut(key)?))
}

/// Whether a remote address is an IPv4 address mapped to IPv6, or zero (an IPv4 socket's): the
/// packets are then IPv4.
#[inline(always)]
fn is_mapped(remote: &[u32; 4]) -> bool {
    remote[0] == 0
        && remote[1] == 0
        && (remote[2] == 0 || remote[2] == 0xffff_u32.to_be())
        && (remote[2] != 0 || remote[3] == 0)
}
