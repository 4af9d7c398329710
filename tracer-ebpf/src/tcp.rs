//! TCP: failed connects, listeners that come and go, connections cut by their owner's death.

use core::mem::offset_of;

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use tracer_common::record::{ConnectTarget, CutRecord, ListenRecord, kind, lost};

use crate::{
    connect_failures::{self, Remote, is_failure_before_syn},
    connect_slots::{self, Connecting},
    http,
    kernel_read::Address,
    last_connect,
    maps::{
        DECISIONS, Ring, header, layout, now, reserve_death, reserve_traffic, submit_batched,
        submit_now,
    },
    proxies::{is_proxy, set_outbound_port},
    skips::Event,
    sock::Sock,
    task::{current_actor, current_is_exiting, current_pid_tgid},
};

const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const FIN_WAIT1: i32 = 4;
const CLOSE: i32 = 7;
const CLOSE_WAIT: i32 = 8;
const LAST_ACK: i32 = 9;
const LISTEN: i32 = 10;

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn tcp_state(ctx: RawTracePointContext) -> i32 {
    if let Some(change) = Change::of(&ctx) {
        change.event().leave_receipt();
        change.handle();
    }
    0
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn tcp_state_second(ctx: RawTracePointContext) -> i32 {
    if let Some(change) = Change::of(&ctx)
        && change.event().was_skipped(lost::TRAFFIC)
    {
        change.handle();
    }
    0
}

/// A change of a TCP socket's state that matters.
#[derive(Clone, Copy)]
struct Change {
    socket: Sock,
    old: i32,
    new: i32,
}

impl Change {
    #[inline(always)]
    fn of(ctx: &RawTracePointContext) -> Option<Self> {
        let socket = Sock(Address(ctx.arg(0)));
        let old: i32 = ctx.arg(1);
        let new: i32 = ctx.arg(2);
        let closes = matches!(
            (old, new),
            (_, FIN_WAIT1 | LAST_ACK) | (ESTABLISHED | CLOSE_WAIT, CLOSE)
        );
        if !closes && old != SYN_SENT && new != SYN_SENT && old != LISTEN && new != LISTEN {
            return None;
        }
        socket.is_tcp().then_some(Self { socket, old, new })
    }

    #[inline(always)]
    fn event(self) -> Event {
        /// This hook's number for [`Event::new`].
        const STATE: u64 = 5;
        Event::new(STATE, self.socket.0, self.new as u32)
    }

    // Each kind of change has a function of its own: together they need more stack than there is.
    #[inline(always)]
    fn handle(self) {
        let Self { socket, old, new } = self;
        match (old, new) {
            (_, SYN_SENT) => connect_begins(socket),
            (SYN_SENT, CLOSE) => connect_failed(socket),
            (SYN_SENT, _) => connected(socket),
            (_, LISTEN) => listener(socket, kind::LISTEN_UP),
            (LISTEN, CLOSE) => listener(socket, kind::LISTEN_DOWN),
            (LISTEN, _) => {}
            _ => {
                connection_closed(socket, new);
                http::connection_ends(
                    socket,
                    old == CLOSE_WAIT,
                    new == CLOSE && socket.error() != 0,
                );
            }
        }
    }
}

/// Runs in the context of connect(): the only moment at which the running process is surely the
/// socket's owner.
#[inline(never)]
fn connect_begins(socket: Sock) {
    let begun = Connecting {
        actor: current_actor(),
        at_ns: now(),
    };
    connect_slots::begins(socket, &begun);
    remember_target(begun.at_ns, socket);
}

/// Runs in softirq or in the peer's context.
#[inline(always)]
fn connected(socket: Sock) {
    // None when tracing began after the connect.
    let Some(begun) = connect_slots::of(socket) else {
        return;
    };
    // SAFETY: a map value of this socket, whose lock is held.
    if is_proxy(unsafe { (*begun).actor.pid }) {
        set_outbound_port(socket.local_port(), true);
    }
    connect_slots::ends(socket);
}

/// Remembers where a proxy's thread connects to.
#[inline(never)]
fn remember_target(at_ns: u64, socket: Sock) {
    last_connect::remember(current_pid_tgid(), at_ns, |target| {
        let family = socket.family();
        // SAFETY: a map value; the address has more than these sixteen bytes, and any bytes are
        // words.
        unsafe {
            (*target).family = family;
            (*target).port = socket.remote_port();
            (*target).path_len = 0;
            // As words, which it is aligned for.
            let remote: [u64; 2] = core::mem::transmute(socket.remote_address(family));
            target
                .byte_add(offset_of!(ConnectTarget, address))
                .cast::<[u64; 2]>()
                .write(remote);
            (*target).returned = 0;
            (*target).error = 0;
        }
        Some(())
    });
}

/// Runs often in softirq, or in the peer's context.
#[inline(never)]
fn connect_failed(socket: Sock) {
    let Some(begun) = connect_slots::of(socket) else {
        return;
    };
    // SAFETY: a map value of this socket, whose lock is held, until it is removed.
    failed(socket, unsafe { &*begun });
    connect_slots::ends(socket);
}

#[inline(always)]
fn failed(socket: Sock, begun: &Connecting) {
    let connect_returns = DECISIONS.load().connect_returns == 1;
    let error = socket.error();
    if error == 0 {
        // Its owner is dying, or connect() failed before it sent anything and returns the reason.
        if current_is_exiting() || (connect_returns && fails_inside_connect(socket)) {
            return;
        }
    } else if connect_returns && is_failure_before_syn(error) {
        connect_failures::remember_counted(socket);
    }
    let remote = Remote::of(socket);
    connect_failures::count_tcp(&begun.actor, &remote, socket, error, begun.at_ns);
}

/// Whether the socket fails while its protocol's connect function still runs: only when that
/// function succeeds does its `struct socket` leave the unconnected state.
#[inline(always)]
fn fails_inside_connect(socket: Sock) -> bool {
    const SS_UNCONNECTED: u32 = 1;
    let handle = socket.0.follow(layout!(sock_socket));
    handle.read_at::<u32>(layout!(socket_state)) == SS_UNCONNECTED
}

#[inline(never)]
fn listener(socket: Sock, kind: u32) {
    let endpoints = socket.endpoints();
    // listen() without bind(): the port is chosen after the state change. Nobody is configured to
    // connect to such a port. A port that the kernel chose in bind() is freed before the state
    // change, so the end of such a listener is known by its socket alone.
    if endpoints.local_port == 0 && kind == kind::LISTEN_UP {
        return;
    }
    let Some(mut entry) = reserve_death::<ListenRecord>() else {
        return;
    };
    entry.write(ListenRecord {
        header: header(kind, now()),
        socket: socket.0.0,
        endpoints,
        actor: current_actor(),
        exiting: u32::from(current_is_exiting()),
        pad: 0,
    });
    submit_now(entry);
}

#[inline(never)]
fn connection_closed(socket: Sock, new: i32) {
    if !current_is_exiting() {
        return;
    }
    // A reset that arrives while some process happens to exit is not that process's doing.
    if new == CLOSE && socket.error() != 0 {
        return;
    }
    let at_ns = now();
    let Some(mut entry) = reserve_traffic::<CutRecord>() else {
        return;
    };
    entry.write(CutRecord {
        header: header(kind::CUT, at_ns),
        actor: current_actor(),
        endpoints: socket.endpoints(),
    });
    submit_batched(entry, Ring::Traffic, at_ns);
}
