//! HTTP/1 inside TLS: probes on OpenSSL's functions in proxies.
//!
//! What a proxy reads and writes through them is followed as plaintext on a connection is. Which
//! connection it belongs to OpenSSL's functions don't tell: a TLS record that the thread sends while
//! it is inside one of them does, from the handshake on.

use aya_ebpf::{
    helpers::generated,
    macros::{map, uprobe, uretprobe},
    maps::LruHashMap,
    programs::{ProbeContext, RetProbeContext, SkBuffContext},
};
use tracer_common::record::http_end;

use crate::{
    exchange::{self, Exchange, First, Payload, has_method, is_answer, is_proxy, may_be_request},
    kernel_read::Address,
    maps::layout,
    task::{current, current_is_exiting, current_pid_tgid},
};

/// A TLS session: the `SSL` object, in the process that has it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Session {
    /// 0: none.
    ssl: u64,
    pid: u64,
}

/// A thread inside one of the functions.
#[derive(Clone, Copy)]
#[repr(C)]
struct Call {
    /// Whose, as long as it lasts.
    session: Session,
    /// The second argument.
    buffer: u64,
    /// Where `SSL_read_ex` tells how much it read; 0: by what it returns.
    count_at: u64,
    /// A socket that the thread sends on.
    socket: u64,
    /// A failed request whose answer is being written, not reported yet: its status, else 0.
    status: u32,
    /// Answers before it.
    answered: u32,
}

/// The connection of a session.
#[derive(Clone, Copy)]
#[repr(C)]
struct Connection {
    /// Address of its `struct sock`.
    socket: u64,
    /// The same socket's cookie: by which is seen that it still is that one.
    cookie: u64,
}

/// By thread. Entries stay, so that the next call costs less.
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
        // A new session where an old one lay whose end was not seen.
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
        address: ctx.arg(1)?,
        len: ctx.arg(2)?,
    };
    let (exchange, status, answered) = follow(&call.session, &bytes, true)?;
    let socket = socket_of(&call.session);
    if socket == 0 {
        // Told when the bytes leave, or the call returns.
        call.status = status;
        call.answered = answered;
    } else {
        exchange::report(exchange, socket, &exchange::answered(status, answered, 1));
    }
    Some(())
}

/// What `SSL_read` and `SSL_read_ex` return.
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
    let (exchange, status, answered) = follow(&call.session, &bytes, false)?;
    let ending = exchange::answered(status, answered, 1);
    exchange::report(exchange, socket_of(&call.session), &ending);
    Some(())
}

/// The end of the calls whose result does not matter.
#[uretprobe]
pub fn tls_return(_: RetProbeContext) -> u32 {
    let _ = has_written();
    0
}

#[inline(always)]
fn has_written() -> Option<()> {
    let call = ends()?;
    if call.status != 0 {
        let exchange = TLS_EXCHANGES.get_ptr_mut(&call.session)?;
        let ending = exchange::answered(call.status, call.answered, 1);
        exchange::report(exchange, 0, &ending);
    }
    Some(())
}

/// `SSL_free(ssl)`: a request that has no answer gets none any more.
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
    let Some(exchange) = TLS_EXCHANGES.get_ptr_mut(session) else {
        return;
    };
    if exchange::is_open(exchange) {
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
        exchange::report(exchange, socket, &exchange::unanswered(exchange, end, 1));
    }
    let _ = TLS_EXCHANGES.remove(session);
}

/// Forgets what is known of a session without an open request.
#[inline(always)]
fn forget_idle(session: &Session) {
    if let Some(exchange) = TLS_EXCHANGES.get_ptr_mut(session)
        && !exchange::is_open(exchange)
    {
        let _ = TLS_EXCHANGES.remove(session);
    }
}

/// The running thread enters a function. None when it is no proxy's; also when it is known to be
/// inside that call: the same file may have the hooks twice where containers share a layer of their
/// file systems, and then every hook runs twice in a row.
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
        status: 0,
        answered: 0,
    };
    let Some(call) = TLS_CALLS.get_ptr_mut(thread) else {
        // Fails only when the map is being changed by others.
        let _ = TLS_CALLS.insert(thread, new, 0);
        let call = TLS_CALLS.get_ptr_mut(thread)?;
        // SAFETY: a map value of the running thread.
        return Some(unsafe { &mut *call });
    };
    // SAFETY: a map value of the running thread.
    let call = unsafe { &mut *call };
    if call.session.ssl == new.session.ssl && call.buffer == new.buffer {
        return None;
    }
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

/// Follows what goes through a session; gives the failed request that an answer tells of, its status
/// and the number of answers before it.
#[inline(always)]
fn follow(session: &Session, bytes: &Bytes, written: bool) -> Option<(*mut Exchange, u32, u32)> {
    let first = bytes.first()?;
    let exchange = if let Some(known) = TLS_EXCHANGES.get_ptr_mut(session) {
        known
    } else {
        if written && !has_method(&first) || !written && !may_be_request(&first) {
            return None;
        }
        let new = exchange::entry(&TLS_EXCHANGES, session)?;
        // SAFETY: a map value.
        unsafe { (*new).outbound = u32::from(written) };
        new
    };
    // SAFETY: a map value; a session is used by one thread at a time. Nothing here comes twice, so
    // any next number does.
    let (outbound, request_seq, answer_seq) = unsafe {
        (
            (*exchange).outbound != 0,
            (*exchange).request_seq.wrapping_add(1),
            (*exchange).answer_seq.wrapping_add(1),
        )
    };
    if outbound == written {
        exchange::request(exchange, &first, request_seq, bytes);
        return None;
    }
    if !is_answer(&first) {
        return None;
    }
    let (status, before) = exchange::answer(exchange, &first, answer_seq)?;
    Some((exchange, status, before))
}

/// Bytes in the memory of the running process.
struct Bytes {
    address: u64,
    len: u32,
}

impl Bytes {
    /// None when there are none.
    #[inline(always)]
    fn first(&self) -> Option<First> {
        if self.len as i32 <= 0 {
            return None;
        }
        let mut first: First = [0; 12];
        let len = if self.len >= 12 { 12 } else { 1 };
        // SAFETY: `first` has room for either length.
        unsafe { self.copy(0, (&raw mut first).cast(), len) }.then_some(first)
    }
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

/// The socket of a session, if it is known and still the same; else 0.
#[inline(always)]
fn socket_of(session: &Session) -> u64 {
    let Some(connection) = TLS_CONNECTIONS.get_ptr(session) else {
        return 0;
    };
    // SAFETY: a map value, copied.
    let connection = unsafe { *connection };
    let cookie: u64 = Address(connection.socket).read_at(layout!(sock_cookie));
    if cookie == connection.cookie {
        connection.socket
    } else {
        0
    }
}

/// Whether a segment begins with a TLS record: change of cipher, alert, handshake or data.
#[inline(always)]
pub fn is_record(first: &First) -> bool {
    matches!(first[0], 0x14..=0x17) && first[1] == 3
}

/// The running thread sends a segment that begins with a TLS record: when it is inside of one of the
/// functions, that session is on this connection.
#[inline(always)]
pub fn sends(ctx: &SkBuffContext) -> Option<()> {
    // SAFETY: the helper takes any socket buffer.
    let cookie = unsafe { generated::bpf_get_socket_cookie(ctx.skb.skb.cast()) };
    let call = current_call()?;
    // As a number: the verifier tracks the pointer only until it is in the map.
    // SAFETY: a map value of the running thread; volatile, so that it happens.
    unsafe {
        (&raw mut (*call).socket)
            .cast::<*mut aya_ebpf::bindings::bpf_sock>()
            .write_volatile((*ctx.skb.skb).__bindgen_anon_2.sk);
    }
    connected(call, cookie);
    answer_leaves(call);
    Some(())
}

/// The call that the running thread is inside of, without the helper that this kind of program
/// lacks.
#[inline(always)]
fn current_call() -> Option<*mut Call> {
    let task = current();
    let pid: u32 = task.read_at(layout!(task_tgid));
    let tid: u32 = task.read_at(layout!(task_pid));
    let call = TLS_CALLS.get_ptr_mut(u64::from(pid) << 32 | u64::from(tid))?;
    // SAFETY: a map value of the running thread.
    unsafe { (*call).session.ssl != 0 }.then_some(call)
}

/// The socket that was stored in a call as a pointer, as a number.
#[inline(always)]
fn stored_socket(call: *const Call) -> u64 {
    // SAFETY: a map value of the running thread; volatile, so that it is read.
    unsafe { (&raw const (*call).socket).read_volatile() }
}

/// Remembers the connection of the call's session. A function of its own: stack space is scarce.
#[inline(never)]
fn connected(call: *const Call, cookie: u64) {
    // SAFETY: a map value of the running thread, read only.
    let session = unsafe { &(*call).session };
    // SAFETY: a map value, read only.
    let known = TLS_CONNECTIONS
        .get_ptr(session)
        .is_some_and(|known| unsafe { (*known).cookie } == cookie);
    if !known {
        let connection = Connection {
            socket: stored_socket(call),
            cookie,
        };
        // Both fail only when the maps are being changed by others.
        let _ = TLS_CONNECTIONS.insert(session, connection, 0);
        let _ = TLS_SESSIONS.insert(cookie, session, 0);
    }
}

/// Reports the failed request whose answer is being sent. A function of its own: stack space is
/// scarce.
#[inline(never)]
fn answer_leaves(call: *mut Call) {
    let socket = stored_socket(call);
    // SAFETY: a map value of the running thread.
    let call = unsafe { &mut *call };
    let status = call.status;
    if status == 0 {
        return;
    }
    call.status = 0;
    if let Some(exchange) = TLS_EXCHANGES.get_ptr_mut(&call.session) {
        exchange::report(
            exchange,
            socket,
            &exchange::answered(status, call.answered, 1),
        );
    }
}

/// The traced end of a connection closes it, and no session was freed before: its process was
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
        .get_ptr(&session)
        // SAFETY: a map value, read only.
        .is_some_and(|known| unsafe { (*known).cookie } == cookie);
    if !same {
        return;
    }
    let _ = TLS_CONNECTIONS.remove(&session);
    if let Some(exchange) = TLS_EXCHANGES.get_ptr_mut(&session) {
        if exchange::is_open(exchange) {
            exchange::report(exchange, socket, &exchange::unanswered(exchange, end, 1));
        }
        let _ = TLS_EXCHANGES.remove(&session);
    }
}
