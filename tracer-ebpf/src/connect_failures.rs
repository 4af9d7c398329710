//! Failed connects: each is counted, so that a storm is exact without a record for each, and a
//! record is sent for the first and then at most every 10 ms.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{HashMap, LruHashMap},
};
use tracer_common::record::{
    Actor, ConnectFailureKey, ConnectFailures, ConnectRecord, UnixConnectFailureKey, kind,
};

use crate::{
    errno,
    maps::{Ring, add, header, now, reserve_traffic, submit_batched},
    sock::Sock,
};

/// Failed TCP connects, counted.
#[map]
static CONNECT_FAILURES: HashMap<ConnectFailureKey, ConnectFailures> =
    HashMap::with_max_entries(4096, 0);

/// Failed unix connects, counted.
#[map]
pub static UNIX_CONNECT_FAILURES: HashMap<UnixConnectFailureKey, ConnectFailures> =
    HashMap::with_max_entries(1024, 0);

/// Sockets whose state change already counted a failed connect, by address, and when,
/// CLOCK_BOOTTIME ns: the hook at connect()'s return must not count it again. Only for errors that
/// connect() also returns before a SYN was sent.
#[map]
static COUNTED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(1024, 0);

/// Where a connect went.
pub struct Remote {
    pub address: [u8; 16],
    pub port: u16,
    pub family: u16,
    pub netns: u32,
}

impl Remote {
    #[inline(always)]
    pub fn of(socket: Sock) -> Self {
        let family = socket.family();
        Self {
            address: socket.remote_address(family),
            port: socket.remote_port(),
            family,
            netns: socket.netns(),
        }
    }
}

/// Counts a failed TCP connect, and sends a record when one is due. `socket` is null when it had no
/// local address yet.
#[inline(always)]
pub fn count_tcp(actor: &Actor, remote: &Remote, socket: Sock, error: u32, began_ns: u64) {
    let at_ns = now();
    let key = ConnectFailureKey {
        remote: remote.address,
        pid: actor.pid,
        netns: remote.netns,
        remote_port: remote.port,
        family: remote.family,
        error,
    };
    let Some(total) = count(&CONNECT_FAILURES, &key, actor, at_ns) else {
        return;
    };
    let Some(mut entry) = reserve_traffic::<ConnectRecord>() else {
        not_sent(&CONNECT_FAILURES, &key);
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
            (*record).endpoints.local = socket.local_address(key.family);
            (*record).endpoints.local_port = socket.local_port();
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

/// Remembers that the socket's state change counted its failure.
#[inline(always)]
pub fn remember_counted(socket: Sock) {
    // Fails only while others change the map.
    let _ = COUNTED.insert(socket.0.0, now(), 0);
}

/// Whether the socket's state change counted its failure, and forgets that.
#[inline(always)]
pub fn was_counted(socket: Sock) -> bool {
    /// From the failure until the thread that waits for it runs again. An entry that a call without
    /// waiting left behind must not hide the failure of another socket at the same address.
    const RETURNS_WITHIN_NS: u64 = 1_000_000_000;
    // SAFETY: a map value, copied at once.
    let Some(at_ns) = (unsafe { COUNTED.get(socket.0.0).copied() }) else {
        return false;
    };
    let _ = COUNTED.remove(socket.0.0);
    now().wrapping_sub(at_ns) < RETURNS_WITHIN_NS
}

/// Errors that connect() can return before a SYN is sent. Refused, timed out and reset are not
/// among them: a second connect() on a socket whose first one failed returns those again.
#[inline(always)]
pub fn is_failure_before_syn(error: u32) -> bool {
    matches!(
        error,
        errno::EPERM
            | errno::EAGAIN
            | errno::ENOMEM
            | errno::EACCES
            | errno::EADDRINUSE
            | errno::EADDRNOTAVAIL
            | errno::ENETDOWN
            | errno::ENETUNREACH
            | errno::ENOBUFS
            | errno::EHOSTUNREACH
    )
}

/// Records of a storm are at least this far apart.
const SEND_EVERY_NS: u64 = 10_000_000;
/// The total when the map was full, see [`ConnectRecord::total`].
const UNCOUNTED: u64 = 0;
/// `-EEXIST`.
const EXISTS: i32 = -17;

/// Counts one failure; gives the total for the record to send, when one is due.
#[inline(always)]
pub fn count<K>(
    map: &HashMap<K, ConnectFailures>,
    key: &K,
    actor: &Actor,
    now_ns: u64,
) -> Option<u64> {
    if let Some(failures) = map.get_ptr_mut(key) {
        return one_more(failures, now_ns);
    }
    let first = ConnectFailures {
        total: 1,
        sent_ns: now_ns,
        last_ns: now_ns,
        actor: *actor,
    };
    match map.insert(key, first, u64::from(BPF_NOEXIST)) {
        Ok(()) => Some(1),
        // Another processor was faster.
        Err(EXISTS) => match map.get_ptr_mut(key) {
            Some(failures) => one_more(failures, now_ns),
            None => Some(UNCOUNTED),
        },
        Err(_) => Some(UNCOUNTED),
    }
}

#[inline(always)]
fn one_more(failures: *mut ConnectFailures, now_ns: u64) -> Option<u64> {
    // SAFETY: a map value. The total is added to atomically; two processors that find a record due
    // at once send two, with totals of which the larger counts.
    unsafe {
        add(&raw mut (*failures).total, 1);
        (*failures).last_ns = now_ns;
        if now_ns.wrapping_sub((*failures).sent_ns) < SEND_EVERY_NS {
            return None;
        }
        (*failures).sent_ns = now_ns;
        Some((&raw const (*failures).total).read_volatile())
    }
}

/// The record found no room in the ring: the next failure tries again.
#[inline(always)]
pub fn not_sent<K>(map: &HashMap<K, ConnectFailures>, key: &K) {
    if let Some(failures) = map.get_ptr_mut(key) {
        // SAFETY: a map value; a plain store.
        unsafe { (*failures).sent_ns = 0 };
    }
}
