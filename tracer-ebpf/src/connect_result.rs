//! The result of connect(): failed connects of unix stream sockets, and those of TCP sockets that
//! failed before a SYN was sent (no route, no free port, not permitted).
//!
//! One rung of the ladder is loaded: fexit, else kprobe with kretprobe, else the tracepoint at the
//! system call's end (5.15+), else both of its tracepoints. The last two see only the user's
//! arguments, and cost every system call a little.

use aya_ebpf::{
    helpers::generated,
    macros::{fexit, kprobe, kretprobe, map, tracepoint},
    maps::LruHashMap,
    programs::{FExitContext, ProbeContext, RetProbeContext, TracePointContext},
};
use tracer_common::record::{UNIX_PATH_LEN, UnixConnectFailureKey, UnixConnectRecord, kind};

use crate::{
    connect_failures::{self, Remote, UNIX_CONNECT_FAILURES, is_failure_before_syn, was_counted},
    errno,
    kernel_read::Address,
    last_connect,
    maps::{Ring, header, layout, now, reserve_traffic, submit_batched},
    proxies::is_proxy,
    sock::{AF_INET, AF_INET6, AF_UNIX, Sock, from_ipv4},
    task::{current, current_actor, current_pid_tgid},
};

const EINPROGRESS: i32 = 115;
const SOCK_STREAM: u16 = 1;
const SOCK_SEQPACKET: u16 = 5;

/// A call of connect() under way, kept by the rungs that don't see the arguments at its end.
#[derive(Clone, Copy)]
#[repr(C)]
struct Call {
    /// The address argument.
    address: u64,
    /// Its length.
    len: u64,
    /// `struct socket`, or the file descriptor for the system call's tracepoints.
    socket: u64,
    /// When, ns.
    at_ns: u64,
}

/// By thread.
#[map]
static CALLS: LruHashMap<u64, Call> = LruHashMap::with_max_entries(2048, 0);

#[fexit(function = "unix_stream_connect")]
pub fn unix_connect_fexit(ctx: FExitContext) -> i32 {
    fexit_returned(&ctx);
    0
}

#[fexit(function = "inet_stream_connect")]
pub fn inet_connect_fexit(ctx: FExitContext) -> i32 {
    fexit_returned(&ctx);
    0
}

/// Both functions are `(struct socket *, address, int len, int flags) -> int`.
#[inline(always)]
fn fexit_returned(ctx: &FExitContext) {
    let call = Call {
        socket: ctx.arg(0),
        address: ctx.arg(1),
        len: ctx.arg(2),
        at_ns: now(),
    };
    returned(&call, Memory::Kernel, ctx.arg::<i32>(4));
}

#[kprobe]
pub fn connect_kprobe(ctx: ProbeContext) -> u32 {
    let (Some(socket), Some(address), Some(len)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2)) else {
        return 0;
    };
    begins(Call {
        socket,
        address,
        len,
        at_ns: now(),
    });
    0
}

#[kretprobe]
pub fn connect_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some(call) = take_call() {
        returned(&call, Memory::Kernel, ctx.ret::<i32>());
    }
    0
}

#[tracepoint]
pub fn connect_enter(ctx: TracePointContext) -> u32 {
    // Every system call's tracepoint has eight common bytes, then the number, then the arguments.
    let argument = |index: usize| -> u64 {
        // SAFETY: within the context, which the verifier checks.
        unsafe { ctx.read_at(16 + 8 * index).unwrap_or(0) }
    };
    begins(Call {
        socket: argument(0),
        address: argument(1),
        len: argument(2),
        at_ns: now(),
    });
    0
}

/// connect() returns. Its arguments are still in the registers that were saved when it began.
#[tracepoint]
pub fn connect_return(ctx: TracePointContext) -> u32 {
    // SAFETY: within the context, which the verifier checks.
    let value: i64 = unsafe { ctx.read_at(16).unwrap_or(0) };
    let result = value as i32;
    // The cheap checks first: most connects succeed, or go on in the background.
    if result == -EINPROGRESS || (result >= 0 && !is_proxy((current_pid_tgid() >> 32) as u32)) {
        return 0;
    }
    // SAFETY: the helpers have no preconditions; the running task's registers are there.
    let registers = Address(unsafe {
        let task = generated::bpf_get_current_task_btf();
        generated::bpf_task_pt_regs(task) as u64
    });
    let socket = socket_of(registers.read_at(layout!(registers_argument1)));
    if !is_of_interest(result, sock_of(socket).family()) {
        return 0;
    }
    let call = Call {
        socket: socket.0,
        address: registers.read_at(layout!(registers_argument2)),
        len: registers.read_at(layout!(registers_argument3)),
        at_ns: now(),
    };
    returned(&call, Memory::User, result);
    0
}

#[tracepoint]
pub fn connect_exit(ctx: TracePointContext) -> u32 {
    // SAFETY: within the context, which the verifier checks.
    let value: i64 = unsafe { ctx.read_at(16).unwrap_or(0) };
    let Some(mut call) = take_call() else {
        return 0;
    };
    call.socket = socket_of(call.socket).0;
    returned(&call, Memory::User, value as i32);
    0
}

#[inline(always)]
fn begins(call: Call) {
    // Fails only while others change the map.
    let _ = CALLS.insert(current_pid_tgid(), call, 0);
}

#[inline(always)]
fn take_call() -> Option<Call> {
    let thread = current_pid_tgid();
    // SAFETY: a map value of the running thread, copied before it is removed.
    let call = unsafe { *CALLS.get_ptr(thread)? };
    let _ = CALLS.remove(thread);
    Some(call)
}

/// The `struct socket` behind the running process's file descriptor `fd`.
#[inline(always)]
fn socket_of(fd: u64) -> Address {
    let files = current().follow(layout!(task_files));
    let table = files.follow(layout!(files_fdt)).follow(layout!(fdtable_fd));
    if fd > 1 << 20 {
        return Address::NULL;
    }
    table
        .follow(fd as u32 * 8)
        .follow(layout!(file_private_data))
}

/// The `struct sock` of a `struct socket`.
#[inline(always)]
fn sock_of(socket: Address) -> Sock {
    Sock(socket.follow(layout!(socket_sk)))
}

/// Where the address argument lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Kernel,
    User,
}

impl Memory {
    /// Reads up to `size` bytes; false when they can't be read.
    ///
    /// # Safety
    ///
    /// `to` must have room for `size` bytes.
    #[inline(always)]
    unsafe fn read(self, to: *mut u8, size: u32, from: u64) -> bool {
        // SAFETY: as promised by the caller.
        let failed = unsafe {
            match self {
                Self::Kernel => generated::bpf_probe_read_kernel(to.cast(), size, from as *const _),
                Self::User => generated::bpf_probe_read_user(to.cast(), size, from as *const _),
            }
        };
        failed == 0
    }
}

/// Whether this result on a socket of this family may matter.
#[inline(always)]
fn is_of_interest(result: i32, family: u16) -> bool {
    let error = result.unsigned_abs();
    match family {
        // A proxy's connect is remembered even when it succeeds.
        AF_UNIX => result >= 0 || is_unix_failure(error),
        // Failures after SYN_SENT are seen in the socket's state.
        AF_INET | AF_INET6 => {
            result < 0 && (is_failure_before_syn(error) || error == errno::EINVAL)
        }
        _ => false,
    }
}

#[inline(always)]
fn returned(call: &Call, memory: Memory, result: i32) {
    let thread = current_pid_tgid();
    let of_proxy = is_proxy((thread >> 32) as u32);
    if result >= 0 && !of_proxy {
        return;
    }
    let socket = Address(call.socket);
    let sock = sock_of(socket);
    let family = sock.family();
    if !is_of_interest(result, family) {
        return;
    }
    if of_proxy && family == AF_UNIX {
        remember_target(call, memory, thread, result);
    }
    if result >= 0 {
        return;
    }
    let error = result.unsigned_abs();
    let kind: u16 = socket.read_at(layout!(socket_type));
    match family {
        AF_UNIX if matches!(kind, SOCK_STREAM | SOCK_SEQPACKET) && is_unix_failure(error) => {
            unix_failed(call, memory, sock, error);
        }
        AF_INET | AF_INET6
            if (is_failure_before_syn(error) || is_blackhole(call, family, error))
                && sock.is_tcp()
                && !was_counted(sock) =>
        {
            tcp_failed(call, memory, sock, family, error);
        }
        _ => {}
    }
}

/// Remembers which unix socket a proxy's thread connects to, whether that fails or not.
#[inline(never)]
fn remember_target(call: &Call, memory: Memory, thread: u64, result: i32) {
    last_connect::remember(thread, call.at_ns, |target| {
        let len = path_len(call);
        let path = call.address.wrapping_add(2);
        // SAFETY: a map value, whose address has room for `len` bytes.
        unsafe {
            if !memory.read((&raw mut (*target).address).cast(), len, path) {
                return None;
            }
            (*target).family = AF_UNIX;
            (*target).port = 0;
            (*target).path_len = len;
            (*target).returned = 1;
            (*target).error = if result < 0 {
                result.unsigned_abs() as u16
            } else {
                0
            };
        }
        Some(())
    });
}

/// Length of the path in a call's address, after the family.
#[inline(always)]
fn path_len(call: &Call) -> u32 {
    let len = (call.len as u32).wrapping_sub(2);
    if len > UNIX_PATH_LEN as u32 {
        UNIX_PATH_LEN as u32
    } else {
        len
    }
}

/// Whether `error` is about the other end or the way there, and not about an interrupted or invalid
/// call.
#[inline(always)]
fn is_unix_failure(error: u32) -> bool {
    matches!(
        error,
        errno::EPERM
            | errno::ENOENT
            | errno::EAGAIN
            | errno::ENOMEM
            | errno::EACCES
            | errno::ENOTDIR
            | errno::ELOOP
            | errno::EPROTOTYPE
            | errno::ECONNRESET
            | errno::ECONNREFUSED
    )
}

#[inline(always)]
fn is_blackhole(call: &Call, family: u16, error: u32) -> bool {
    let whole = if family == AF_INET { 16 } else { 28 };
    error == errno::EINVAL && call.len as u32 >= whole
}

/// Counts a failed connect of a unix socket, and sends a record when one is due.
///
/// A function of its own: stack space is scarce.
#[inline(never)]
fn unix_failed(call: &Call, memory: Memory, sock: Sock, error: u32) {
    let at_ns = now();
    let actor = current_actor();
    let mut key = UnixConnectFailureKey {
        path: [0; UNIX_PATH_LEN],
        path_len: 0,
        pid: actor.pid,
        error,
        netns: sock.netns(),
    };
    let len = path_len(call);
    // SAFETY: `path` has room for `len` bytes.
    if !unsafe {
        memory.read(
            (&raw mut key.path).cast(),
            len,
            call.address.wrapping_add(2),
        )
    } {
        return;
    }
    key.path_len = len;
    let Some(total) = connect_failures::count(&UNIX_CONNECT_FAILURES, &key, &actor, at_ns) else {
        return;
    };
    let Some(mut entry) = reserve_traffic::<UnixConnectRecord>() else {
        connect_failures::not_sent(&UNIX_CONNECT_FAILURES, &key);
        return;
    };
    entry.write(UnixConnectRecord {
        header: header(kind::UNIX_CONNECT_FAILED, at_ns),
        actor,
        error,
        path_len: len,
        netns: key.netns,
        pad: 0,
        total,
        path: key.path,
        pad2: 0,
    });
    submit_batched(entry, Ring::Traffic, at_ns);
}

/// Counts a TCP connect that failed before a SYN was sent, and sends a record when one is due.
///
/// A function of its own: stack space is scarce.
#[inline(never)]
fn tcp_failed(call: &Call, memory: Memory, sock: Sock, family: u16, error: u32) {
    /// Size of `struct sockaddr_in6` without the scope; `struct sockaddr_in` is 16 bytes.
    const LEN: usize = 24;
    let mut address = [0u8; LEN];
    let len = if family == AF_INET { 16 } else { LEN as u32 };
    // SAFETY: `address` has room for either length.
    if !unsafe { memory.read((&raw mut address).cast(), len, call.address) } {
        return;
    }
    let mut remote = [0; 16];
    if u16::from_ne_bytes([address[0], address[1]]) == AF_INET {
        remote = from_ipv4(u32::from_ne_bytes([
            address[4], address[5], address[6], address[7],
        ]));
    } else {
        remote.copy_from_slice(&address[8..]);
    }
    let remote = Remote {
        address: remote,
        port: u16::from_be_bytes([address[2], address[3]]),
        family: u16::from_ne_bytes([address[0], address[1]]),
        netns: sock.netns(),
    };
    connect_failures::count_tcp(&current_actor(), &remote, Sock::NULL, error, call.at_ns);
}
