//! TCP: failed connects, listeners that come and go, connections cut by their owner's death.

use core::mem::offset_of;

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use tracer_common::record::{
    Actor, ConnectFailureKey, ConnectRecord, ConnectTarget, CutRecord, Endpoints, ListenRecord,
    kind, lost,
};

use crate::{
    again::Event,
    connecting::{self, Connecting},
    exchange::{is_proxy, remember_connect},
    http,
    kernel_read::Address,
    maps::{
        CONNECT_FAILURES, DECISIONS, Ring, TOLD, header, layout, now, reserve_death,
        reserve_traffic, submit_batched, submit_now,
    },
    refusals,
    task::{current_actor, current_is_exiting, current_pid_tgid},
};

const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const FIN_WAIT1: i32 = 4;
const CLOSE: i32 = 7;
const CLOSE_WAIT: i32 = 8;
const LAST_ACK: i32 = 9;
const LISTEN: i32 = 10;

pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
pub const IPPROTO_TCP: u16 = 6;

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn tcp_state(ctx: RawTracePointContext) -> i32 {
    if let Some(change) = Change::of(&ctx) {
        change.event().runs();
        change.tell();
    }
    0
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn tcp_state_second(ctx: RawTracePointContext) -> i32 {
    if let Some(change) = Change::of(&ctx)
        && change.event().was_skipped(lost::TRAFFIC)
    {
        change.tell();
    }
    0
}

/// A change of a TCP socket's state that something is made of.
#[derive(Clone, Copy)]
struct Change {
    socket: Address,
    old: i32,
    new: i32,
}

impl Change {
    #[inline(always)]
    fn of(ctx: &RawTracePointContext) -> Option<Self> {
        let socket = Address(ctx.arg(0));
        let old: i32 = ctx.arg(1);
        let new: i32 = ctx.arg(2);
        let cut = matches!(
            (old, new),
            (_, FIN_WAIT1 | LAST_ACK) | (ESTABLISHED | CLOSE_WAIT, CLOSE)
        );
        if !cut && old != SYN_SENT && new != SYN_SENT && old != LISTEN && new != LISTEN {
            return None;
        }
        (socket.read_at::<u16>(layout!(sock_protocol)) == IPPROTO_TCP).then_some(Self {
            socket,
            old,
            new,
        })
    }

    #[inline(always)]
    fn event(self) -> Event {
        /// As told to [`Event::new`].
        const STATE: u64 = 5;
        Event::new(STATE, self.socket, self.new as u32)
    }

    // What each change needs is a function of its own: together they need more stack than there is.
    #[inline(always)]
    fn tell(self) {
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
                    new == CLOSE && socket.read_at::<u32>(layout!(sock_err)) != 0,
                );
            }
        }
    }
}

/// In the context of connect(): the only moment at which the owner is surely the one that runs.
#[inline(never)]
fn connect_begins(socket: Address) {
    let begun = Connecting {
        actor: current_actor(),
        at_ns: now(),
    };
    connecting::begins(socket, &begun);
    remember_target(begun.at_ns, socket);
}

/// In softirq or in the peer's context.
#[inline(always)]
fn connected(socket: Address) {
    // None when tracing began after the connect.
    let Some(begun) = connecting::of(socket) else {
        return;
    };
    // SAFETY: a map value of this socket, whose lock is held.
    if is_proxy(unsafe { (*begun).actor.pid }) {
        http::outbound_connection(socket.read_at(layout!(sock_num)), true);
    }
    connecting::ends(socket);
}

/// Remembers where a proxy's thread connects to.
#[inline(never)]
fn remember_target(at_ns: u64, socket: Address) {
    remember_connect(current_pid_tgid(), at_ns, |target| {
        let family: u16 = socket.read_at(layout!(sock_family));
        // SAFETY: a map value; the address has more than these sixteen bytes, and any bytes are
        // words.
        unsafe {
            (*target).family = family;
            (*target).port = u16::from_be(socket.read_at(layout!(sock_dport)));
            (*target).path_len = 0;
            // As words, which it is aligned for.
            let remote: [u64; 2] = core::mem::transmute(remote_address(socket, family));
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

/// Often in softirq, or in the peer's context.
#[inline(never)]
fn connect_failed(socket: Address) {
    let Some(begun) = connecting::of(socket) else {
        return;
    };
    // SAFETY: a map value of this socket, whose lock is held, until it is removed.
    failed(socket, unsafe { &*begun });
    connecting::ends(socket);
}

#[inline(always)]
fn failed(socket: Address, begun: &Connecting) {
    let connect_returns = DECISIONS.load().connect_returns == 1;
    let error: u32 = socket.read_at(layout!(sock_err));
    if error == 0 {
        // Its owner is dying, or never got as far as to send: connect() then returns the reason.
        if current_is_exiting() || (connect_returns && fails_inside_connect(socket)) {
            return;
        }
    } else if connect_returns && is_failure_before_syn(error) {
        // Fails only when the map is being changed by others.
        let _ = TOLD.insert(socket.0, now(), 0);
    }
    let remote = Remote::of(socket);
    report_connect(&begun.actor, &remote, socket, error, begun.at_ns);
}

/// Whether `socket` fails while its protocol's connect function still runs: what succeeds in there
/// makes it a connecting one.
#[inline(always)]
fn fails_inside_connect(socket: Address) -> bool {
    const SS_UNCONNECTED: u32 = 1;
    let handle = socket.follow(layout!(sock_socket));
    handle.read_at::<u32>(layout!(socket_state)) == SS_UNCONNECTED
}

/// Whether the state of `socket` has told why connect() fails; asked once.
#[inline(always)]
pub fn was_told(socket: Address) -> bool {
    /// From the failure until the thread that waits for it runs again. What a call that did not
    /// wait left behind must not hide the failure of another socket at the same address.
    const RETURNS_WITHIN_NS: u64 = 1_000_000_000;
    // SAFETY: a map value, copied at once.
    let Some(at_ns) = (unsafe { TOLD.get(socket.0).copied() }) else {
        return false;
    };
    let _ = TOLD.remove(socket.0);
    now().wrapping_sub(at_ns) < RETURNS_WITHIN_NS
}

/// Errors that connect() can return before a SYN is sent. Refused, timed out and reset are not
/// among them: a second connect() on a socket whose first one failed returns those again.
#[inline(always)]
pub fn is_failure_before_syn(error: u32) -> bool {
    const EPERM: u32 = 1;
    const EAGAIN: u32 = 11;
    const ENOMEM: u32 = 12;
    const EACCES: u32 = 13;
    const EADDRINUSE: u32 = 98;
    const EADDRNOTAVAIL: u32 = 99;
    const ENETDOWN: u32 = 100;
    const ENETUNREACH: u32 = 101;
    const ENOBUFS: u32 = 105;
    const EHOSTUNREACH: u32 = 113;
    matches!(
        error,
        EPERM
            | EAGAIN
            | ENOMEM
            | EACCES
            | EADDRINUSE
            | EADDRNOTAVAIL
            | ENETDOWN
            | ENETUNREACH
            | ENOBUFS
            | EHOSTUNREACH
    )
}

/// Where a connect went.
pub struct Remote {
    pub address: [u8; 16],
    pub port: u16,
    pub family: u16,
    pub netns: u32,
}

impl Remote {
    #[inline(always)]
    fn of(socket: Address) -> Self {
        let family = socket.read_at(layout!(sock_family));
        Self {
            address: remote_address(socket, family),
            port: u16::from_be(socket.read_at(layout!(sock_dport))),
            family,
            netns: netns_of(socket),
        }
    }
}

/// Counts a failed connect of `socket`, null before it had a local address, and sends a record
/// when one is due.
#[inline(always)]
pub fn report_connect(actor: &Actor, remote: &Remote, socket: Address, error: u32, began_ns: u64) {
    let at_ns = now();
    let key = ConnectFailureKey {
        remote: remote.address,
        pid: actor.pid,
        netns: remote.netns,
        remote_port: remote.port,
        family: remote.family,
        error,
    };
    let Some(total) = refusals::count(&CONNECT_FAILURES, &key, actor, at_ns) else {
        return;
    };
    let Some(mut entry) = reserve_traffic::<ConnectRecord>() else {
        refusals::not_sent(&CONNECT_FAILURES, &key);
        return;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the record is in the ring, for this program alone until it is submitted; every field
    // is written. There is no room for it on the stack.
    unsafe {
        (*record).header = header(kind::CONNECT_FAILED, at_ns);
        (*record).actor = *actor;
        // Read only now: most failures of a storm are only counted.
        (*record).endpoints.local = [0; 16];
        (*record).endpoints.local_port = 0;
        if !socket.is_null() {
            (*record).endpoints.local = local_address(socket, key.family);
            (*record).endpoints.local_port = socket.read_at(layout!(sock_num));
        }
        (*record).endpoints.remote = key.remote;
        (*record).endpoints.remote_port = key.remote_port;
        (*record).endpoints.family = key.family;
        (*record).endpoints.pad = 0;
        (*record).endpoints.netns = key.netns;
        (*record).endpoints.pad2 = 0;
        (*record).error = error;
        (*record).pad = 0;
        (*record).elapsed_ns = at_ns.wrapping_sub(began_ns);
        (*record).total = total;
    }
    submit_batched(entry, Ring::Traffic, at_ns);
}

#[inline(never)]
fn listener(socket: Address, kind: u32) {
    let endpoints = endpoints(socket);
    // listen() without bind(): the port comes after the state. Nothing that others are told to
    // connect to is made so. A port that the kernel chose in bind() is given back before the state:
    // such a listener's end is told by the socket alone.
    if endpoints.local_port == 0 && kind == kind::LISTEN_UP {
        return;
    }
    let Some(mut entry) = reserve_death::<ListenRecord>() else {
        return;
    };
    entry.write(ListenRecord {
        header: header(kind, now()),
        socket: socket.0,
        endpoints,
        actor: current_actor(),
        exiting: u32::from(current_is_exiting()),
        pad: 0,
    });
    submit_now(entry);
}

#[inline(never)]
fn connection_closed(socket: Address, new: i32) {
    if !current_is_exiting() {
        return;
    }
    // A reset that arrives while some process happens to exit is not that process's doing.
    if new == CLOSE && socket.read_at::<u32>(layout!(sock_err)) != 0 {
        return;
    }
    let at_ns = now();
    let Some(mut entry) = reserve_traffic::<CutRecord>() else {
        return;
    };
    entry.write(CutRecord {
        header: header(kind::CUT, at_ns),
        actor: current_actor(),
        endpoints: endpoints(socket),
    });
    submit_batched(entry, Ring::Traffic, at_ns);
}

/// Inode number of the network namespace of `socket`.
#[inline(always)]
pub fn netns_of(socket: Address) -> u32 {
    socket.follow(layout!(sock_net)).read_at(layout!(net_inum))
}

/// Local address of `socket`, as in [`Endpoints::local`].
#[inline(always)]
pub fn local_address(socket: Address, family: u16) -> [u8; 16] {
    if family == AF_INET6 {
        socket.read_at(layout!(sock_v6_rcv_saddr))
    } else {
        from_ipv4(socket.read_at(layout!(sock_rcv_saddr)))
    }
}

/// Remote address of `socket`, as in [`Endpoints::remote`].
#[inline(always)]
pub fn remote_address(socket: Address, family: u16) -> [u8; 16] {
    if family == AF_INET6 {
        socket.read_at(layout!(sock_v6_daddr))
    } else {
        from_ipv4(socket.read_at(layout!(sock_daddr)))
    }
}

#[inline(always)]
pub fn endpoints(socket: Address) -> Endpoints {
    let family: u16 = socket.read_at(layout!(sock_family));
    Endpoints {
        local: local_address(socket, family),
        remote: remote_address(socket, family),
        local_port: socket.read_at(layout!(sock_num)),
        remote_port: u16::from_be(socket.read_at(layout!(sock_dport))),
        family,
        pad: 0,
        netns: netns_of(socket),
        pad2: 0,
    }
}

/// An IPv4 address in the first four of sixteen bytes. `address` is as it lies in memory.
#[inline(always)]
pub fn from_ipv4(address: u32) -> [u8; 16] {
    // Through words: an array of bytes would be cleared by a loop.
    let words = [u64::from(address.to_le()).to_le(), 0];
    // SAFETY: two words are sixteen bytes, and any bytes are a valid array of them.
    unsafe { core::mem::transmute(words) }
}
