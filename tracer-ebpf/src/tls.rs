//! HTTP/1 inside TLS: probes on OpenSSL's functions in proxies.
//!
//! The bytes that a proxy reads and writes through them are followed as plaintext on a connection
//! is. OpenSSL's functions don't show which connection a session belongs to; the first TLS record
//! that the thread sends after entering one of them does, from the handshake on.

use aya_ebpf::{
    helpers::generated,
    macros::{map, uprobe, uretprobe},
    maps::LruHashMap,
    programs::{ProbeContext, RetProbeContext, SkBuffContext},
};
use tracer_common::record::http_end;

use crate::{
    exchange::{self, Exchange},
    failed_requests::{self, Ending},
    http_message::{First, Payload},
    kernel_read::Address,
    maps::layout,
    proxies::is_proxy,
    sock::Sock,
    task::{current, current_is_exiting, current_pid_tgid},
};

/// A TLS session: an `SSL` object and its process.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Session {
    /// Address of the object; 0: none.
    ssl: u64,
    pid: u64,
}

/// The function that a thread entered last.
#[derive(Clone, Copy)]
#[repr(C)]
struct Call {
    /// The session it is called on; none once the function is known to have returned.
    session: Session,
    /// The second argument.
    buffer: u64,
    /// Where `SSL_read_ex` writes how much it read; 0: the return value is the length.
    count_at: u64,
    /// A socket that the thread sends on.
    socket: u64,
    /// Whether it has sent a TLS record of this session.
    sent: u64,
}

/// The connection of a session.
#[derive(Clone, Copy)]
#[repr(C)]
struct Connection {
    /// Address of its `struct sock`.
    socket: u64,
    /// That socket's cookie: shows that the address still belongs to it.
    cookie: u64,
}

/// By thread. Entries stay, so that the thread's next call costs less.
#[map]
static TLS_CALLS: LruHashMap<u64, Call> = LruHashMap::with_max_entries(1024, 0);

/// By session, from the first request on.
#[map]
static TLS_EXCHANGES: LruHashMap<Session, Exchange> = LruHashMap::with_max_entries(2048, 0);

#[map]
static TLS_CONNECTIONS: LruHashMap<Session, Connection> = LruHashMap::with_max_entries(4096, 0);

/// Sessions by their socket's cookie.
#[map]
static TLS_SESSIONS: LruHashMap<u64, Session> = LruHashMap::with_max_entries(4096, 0);

/// `TCP_CLOSE`, `TCP_CLOSE_WAIT`, `TCP_LAST_ACK`.
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;

/// `SSL_read(ssl, buf, num)`.
#[uprobe]
pub fn tls_read(ctx: ProbeContext) -> u32 {
    let _ = begins(&ctx, 0);
    0
}

/// `SSL_read_ex(ssl, buf, num, *readbytes)`.
#[uprobe]
pub fn tls_read_ex(ctx: ProbeContext) -> u32 {
    let _ = begins(&ctx, ctx.arg(3).unwrap_or(0));
    0
}

/// `SSL_do_handshake(ssl)`.
#[uprobe]
pub fn tls_handshake(ctx: ProbeContext) -> u32 {
    if let Some(call) = begins(&ctx, 0) {
        // A new session, maybe at the address of an old one whose end was not seen.
        forget_idle(&call.session);
    }
    0
}

/// `SSL_write(ssl, buf, num)`, `SSL_write_ex(ssl, buf, num, *written)`.
#[uprobe]
pub fn tls_write(ctx: ProbeContext) -> u32 {
    let _ = writes(&ctx);
    0
}

#[inline(always)]
fn writes(ctx: &ProbeContext) -> Option<()> {
    let call = begins(ctx, 0)?;
    let bytes = Bytes {
        address: call.buffer,
        len: ctx.arg(2)?,
    };
    follow(&call.session, &bytes, true)
}

/// `SSL_read` or `SSL_read_ex` returns.
#[uretprobe]
pub fn tls_read_return(ctx: RetProbeContext) -> u32 {
    let _ = has_read(&ctx);
    0
}

#[inline(always)]
fn has_read(ctx: &RetProbeContext) -> Option<()> {
    let call = ends()?;
    let mut len: u32 = ctx.ret();
    if call.count_at != 0 {
        let mut count = 0u64;
        // SAFETY: `count` has room for itself.
        let failed = unsafe {
            generated::bpf_probe_read_user((&raw mut count).cast(), 8, call.count_at as *const _)
        };
        len = if failed == 0 && len == 1 {
            count as u32
        } else {
            0
        };
    }
    let bytes = Bytes {
        address: call.buffer,
        len,
    };
    follow(&call.session, &bytes, false)
}

/// `SSL_free(ssl)`: a request without a response will not get one.
#[uprobe]
pub fn tls_free(ctx: ProbeContext) -> u32 {
    let thread = current_pid_tgid();
    if let Some(ssl) = ctx.arg(0)
        && is_proxy((thread >> 32) as u32)
    {
        let session = Session {
            ssl,
            pid: thread >> 32,
        };
        freed(&session);
    }
    0
}

#[inline(always)]
fn freed(session: &Session) {
    if let Some(exchange) = TLS_EXCHANGES.get_ptr_mut(session) {
        if exchange::is_open(exchange) {
            freed_while_open(session, exchange);
        }
        let _ = TLS_EXCHANGES.remove(session);
    }
    // The next session may lie at the same address.
    let _ = TLS_CONNECTIONS.remove(session);
}

#[inline(always)]
fn freed_while_open(session: &Session, exchange: *mut Exchange) {
    let socket = socket_of(session);
    let end = if current_is_exiting() {
        http_end::DIED
    } else {
        match Address(socket).read_at::<u8>(layout!(sock_state)) {
            CLOSE => http_end::PEER_RESET,
            CLOSE_WAIT | LAST_ACK => http_end::PEER_CLOSED,
            _ => http_end::CLOSED,
        }
    };
    failed_requests::send(exchange, socket, &Ending::no_response(exchange, end, 1));
}

/// Forgets a session's exchange, unless a request waits for its response.
#[inline(always)]
fn forget_idle(session: &Session) {
    if let Some(exchange) = TLS_EXCHANGES.get_ptr_mut(session)
        && !exchange::is_open(exchange)
    {
        let _ = TLS_EXCHANGES.remove(session);
    }
}

/// The running thread enters a function; None when its process is not a proxy.
#[inline(always)]
fn begins(ctx: &ProbeContext, count_at: u64) -> Option<&'static mut Call> {
    let thread = current_pid_tgid();
    let pid = thread >> 32;
    if !is_proxy(pid as u32) {
        return None;
    }
    let new = Call {
        session: Session {
            ssl: ctx.arg(0)?,
            pid,
        },
        buffer: ctx.arg(1)?,
        count_at,
        socket: 0,
        sent: 0,
    };
    let Some(call) = TLS_CALLS.get_ptr_mut(thread) else {
        // Fails only while others change the map.
        let _ = TLS_CALLS.insert(thread, new, 0);
        let call = TLS_CALLS.get_ptr_mut(thread)?;
        // SAFETY: a map value of the running thread.
        return Some(unsafe { &mut *call });
    };
    // SAFETY: a map value of the running thread.
    let call = unsafe { &mut *call };
    *call = new;
    Some(call)
}

/// The running thread leaves the function that it was inside of.
#[inline(always)]
fn ends() -> Option<Call> {
    // SAFETY: a map value of the running thread, copied.
    let call = unsafe { &mut *TLS_CALLS.get_ptr_mut(current_pid_tgid())? };
    if call.session.ssl == 0 {
        return None;
    }
    let was = *call;
    call.session.ssl = 0;
    Some(was)
}

/// Follows the bytes of a session, and sends a record when a response shows a failed request.
#[inline(always)]
fn follow(session: &Session, bytes: &Bytes, written: bool) -> Option<()> {
    if bytes.len as i32 <= 0 {
        return None;
    }
    let first = First::of(bytes, 0)?;
    let exchange = if let Some(known) = TLS_EXCHANGES.get_ptr_mut(session) {
        known
    } else {
        if written && !first.has_method() || !written && !first.may_be_request() {
            return None;
        }
        let new = exchange::entry(&TLS_EXCHANGES, session)?;
        // SAFETY: a map value.
        unsafe { (*new).outbound = u32::from(written) };
        new
    };
    // SAFETY: a map value; a session is used by one thread at a time. Nothing is retransmitted here,
    // so any next number will do.
    let (outbound, request_seq, response_seq) = unsafe {
        (
            (*exchange).outbound != 0,
            (*exchange).request_seq.wrapping_add(1),
            (*exchange).response_seq.wrapping_add(1),
        )
    };
    if outbound == written {
        exchange::request(exchange, &first, request_seq, bytes);
        return None;
    }
    if !first.is_response() {
        return None;
    }
    let (status, before) = exchange::response(exchange, &first, response_seq)?;
    let ending = Ending::response(status, before, 1);
    failed_requests::send(exchange, socket_of(session), &ending);
    Some(())
}

/// Bytes in the memory of the running process.
struct Bytes {
    address: u64,
    len: u32,
}

impl Payload for Bytes {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    unsafe fn copy(&self, offset: u32, to: *mut u8, len: u32) -> bool {
        let from = self.address.wrapping_add(u64::from(offset));
        // SAFETY: as promised by the caller; the helper refuses what can't be read.
        unsafe { generated::bpf_probe_read_user(to.cast(), len, from as *const _) == 0 }
    }
}

/// Address of a session's socket; 0 when it is not known, or is another by now.
#[inline(always)]
fn socket_of(session: &Session) -> u64 {
    let Some(connection) = TLS_CONNECTIONS.get_ptr(session) else {
        return 0;
    };
    // SAFETY: a map value, copied.
    let connection = unsafe { *connection };
    if Sock(Address(connection.socket)).cookie() == connection.cookie {
        connection.socket
    } else {
        0
    }
}

/// Whether a segment begins with a TLS record: change of cipher, alert, handshake or data.
#[inline(always)]
pub fn is_record(first: &First) -> bool {
    matches!(first.byte(0), 0x14..=0x17) && first.byte(1) == 3
}

/// The running thread sends a segment that begins with a TLS record: the session of the function
/// that it is inside of uses this connection.
#[inline(always)]
pub fn sends(ctx: &SkBuffContext) -> Option<()> {
    let task = current();
    // From its struct: this program type may not call the helper.
    let pid: u32 = task.read_at(layout!(task_tgid));
    let tid: u32 = task.read_at(layout!(task_pid));
    let call = TLS_CALLS.get_ptr_mut(u64::from(pid) << 32 | u64::from(tid))?;
    // SAFETY: a map value of the running thread; volatile, so that it happens. Read back as a number:
    // the verifier tracks the pointer only until it is in the map.
    unsafe {
        if (*call).session.ssl == 0 || (*call).sent != 0 {
            return None;
        }
        (&raw mut (*call).socket)
            .cast::<*mut aya_ebpf::bindings::bpf_sock>()
            .write_volatile((*ctx.skb.skb).__bindgen_anon_2.sk);
    }
    // SAFETY: the helper takes any socket buffer.
    connected(call, unsafe {
        generated::bpf_get_socket_cookie(ctx.skb.skb.cast())
    });
    Some(())
}

/// Remembers the connection of the call's session.
///
/// A function of its own: stack space is scarce.
#[inline(never)]
fn connected(call: *mut Call, cookie: u64) {
    // SAFETY: a map value of the running thread; volatile, so that what was stored as a pointer is
    // read as a number.
    let (call, socket) = unsafe { (&mut *call, (&raw const (*call).socket).read_volatile()) };
    if let Some(known) = TLS_SESSIONS.get_ptr(cookie) {
        // SAFETY: a map value, read only.
        let known = unsafe { &*known };
        // An acknowledgement that arrives meanwhile can make this thread send data that waited on
        // another connection.
        let same = known.ssl == call.session.ssl && known.pid == call.session.pid;
        call.sent |= u64::from(same);
        return;
    }
    // Both fail only while others change the maps.
    let _ = TLS_SESSIONS.insert(cookie, call.session, 0);
    let _ = TLS_CONNECTIONS.insert(call.session, Connection { socket, cookie }, 0);
    // Anything else that the thread sends before its next call may belong to another session.
    call.sent = 1;
}

/// The traced end of a connection closes it. Where its session was not freed before, the process was
/// killed.
#[inline(always)]
pub fn connection_ends(cookie: u64, socket: u64, end: u32) {
    let Some(session) = TLS_SESSIONS.get_ptr(cookie) else {
        return;
    };
    // SAFETY: a map value, copied.
    let session = unsafe { *session };
    let _ = TLS_SESSIONS.remove(cookie);
    let same = TLS_CONNECTIONS
        .get_ptr(session)
        // SAFETY: a map value, read only.
        .is_some_and(|known| unsafe { (*known).cookie } == cookie);
    if !same {
        return;
    }
    let _ = TLS_CONNECTIONS.remove(session);
    if let Some(exchange) = TLS_EXCHANGES.get_ptr_mut(session) {
        if exchange::is_open(exchange) {
            failed_requests::send(exchange, socket, &Ending::no_response(exchange, end, 1));
        }
        let _ = TLS_EXCHANGES.remove(session);
    }
}
