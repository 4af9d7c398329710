//! From the bytes of a record to what was seen. Total: bytes that are no record are told apart,
//! never trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tracer_common::record::{
    self, CgroupRecord, ConnectRecord, CutRecord, Endpoints, ExecRecord, ExitRecord, ForkRecord,
    Header, ListenRecord, OomMarkRecord, RefusalKey, UnixConnectRecord, UnixRefusalKey, kind,
};
use zerocopy::{FromBytes, FromZeros, Immutable, KnownLayout};

use super::tally::Counted;
use crate::model::{
    Actor, Comm, ConnectError, ConnectFailed, Endpoint, Exit, ExitStatus, FullCgroup, Listener,
    Observation, OomMark, OomScope, ProcessKey, SignalSent, SocketId, TaskFacts, Timestamp, What,
};

/// Bytes that are not a record of a known kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A decoded record.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    /// To be passed on as it is.
    Seen(Observation),
    /// A failed connect, to be counted first.
    Failed {
        at: Timestamp,
        /// What it is counted by.
        by: Counted,
        /// As in the record.
        total: u64,
        failure: ConnectFailed,
    },
}

/// Reads one record.
pub(super) fn decode(bytes: &[u8], page_bytes: u64) -> Result<Decoded, Malformed> {
    let header = prefix::<Header>(bytes)?;
    let at = Timestamp(header.at_ns);
    let what = match header.kind {
        kind::EXIT => exit(&prefix(bytes)?, page_bytes),
        kind::OOM_MARK => oom_mark(&prefix(bytes)?, page_bytes),
        kind::LISTEN_UP => listener_up(&prefix(bytes)?),
        kind::LISTEN_DOWN => listener_down(&prefix(bytes)?),
        kind::FORK => fork(&prefix(bytes)?),
        kind::EXEC => exec(&prefix(bytes)?),
        kind::CGROUP => cgroup(&prefix(bytes)?),
        kind::CUT => cut(&prefix(bytes)?),
        kind::CONNECT_FAILED => return Ok(connect_failed(at, &prefix(bytes)?)),
        kind::UNIX_CONNECT_FAILED => return Ok(unix_connect_failed(at, &prefix(bytes)?)),
        _ => return Err(Malformed),
    };
    Ok(Decoded::Seen(Observation { at, what }))
}

/// The ring rounds sizes up, so that bytes may follow.
fn prefix<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_prefix(bytes)
        .map(|(record, _)| record)
        .map_err(|_| Malformed)
}

fn task(task: &record::Task) -> TaskFacts {
    TaskFacts {
        key: ProcessKey::from_ns(task.pid, task.start_ns),
        ppid: task.ppid,
        ns_pid: task.ns_pid,
        uid: task.uid,
        cgroup: task.cgroup,
        comm: Comm(task.comm),
    }
}

pub(super) fn actor(actor: &record::Actor) -> Actor {
    Actor {
        key: ProcessKey::from_ns(actor.pid, actor.start_ns),
        tid: actor.tid,
        comm: Comm(actor.comm),
        uid: actor.uid,
    }
}

fn signal(signal: &record::Signal) -> Option<SignalSent> {
    (signal.at_ns != 0).then(|| SignalSent {
        at: Timestamp(signal.at_ns),
        signal: signal.signal,
        code: signal.code,
        sender: actor(&signal.sender),
    })
}

fn exit(record: &ExitRecord, page_bytes: u64) -> What {
    What::Exited(Box::new(Exit {
        task: task(&record.task),
        parent: ProcessKey::from_ns(record.task.ppid, record.parent_start_ns),
        status: ExitStatus::from_wait_status(record.status),
        peak_bytes: record.peak_rss_pages.saturating_mul(page_bytes),
        oom_marked: record.oom_marked != 0,
        stop: signal(&record.stop),
        fault: signal(&record.fault),
    }))
}

fn oom_mark(record: &OomMarkRecord, page_bytes: u64) -> What {
    /// `CONSTRAINT_MEMCG`.
    const MEMCG: u32 = 3;
    let bytes = |pages: u64| pages.saturating_mul(page_bytes);
    let scope = &record.scope;
    let memory = &record.memory;
    let has_memory = memory.anon_pages != 0 || memory.file_pages != 0;
    What::OomMarked(Box::new(OomMark {
        victim: task(&record.victim),
        trigger: actor(&record.trigger),
        trigger_cgroup: record.trigger_cgroup,
        scope: (scope.known != 0).then(|| {
            if scope.constraint == MEMCG {
                OomScope::Cgroup {
                    id: scope.cgroup,
                    path: None,
                    limit_bytes: Some(bytes(scope.total_pages)),
                }
            } else {
                OomScope::Global
            }
        }),
        full_cgroup: (memory.full_cgroup != 0).then(|| FullCgroup {
            id: memory.full_cgroup,
            limit_bytes: bytes(memory.full_limit_pages),
            usage_bytes: bytes(memory.full_usage_pages),
        }),
        anon_bytes: has_memory.then(|| bytes(memory.anon_pages)),
        file_bytes: has_memory.then(|| bytes(memory.file_pages)),
    }))
}

fn fork(record: &ForkRecord) -> What {
    What::Forked {
        child: task(&record.child),
        parent: ProcessKey::from_ns(record.child.ppid, record.parent_start_ns),
    }
}

fn exec(record: &ExecRecord) -> What {
    let used = (record.args_len as usize).min(record.args.len());
    let args = &record.args[..used];
    let args = args.strip_suffix(b"\0").unwrap_or(args);
    What::Executed {
        task: task(&record.task),
        args: if args.is_empty() {
            Box::default()
        } else {
            args.split(|&byte| byte == 0)
                .map(|arg| String::from_utf8_lossy(arg).into())
                .collect()
        },
    }
}

fn cgroup(record: &CgroupRecord) -> What {
    let used = (record.path_len as usize).min(record.path.len());
    What::Cgroup {
        id: record.id,
        path: String::from_utf8_lossy(&record.path[..used]).into(),
        memory_limit_bytes: None,
    }
}

const AF_INET6: u16 = 10;

fn endpoint(family: u16, address: &[u8; 16], port: u16) -> Endpoint {
    let ip = if family == AF_INET6 {
        IpAddr::V6(Ipv6Addr::from(*address))
    } else {
        let [a, b, c, d, ..] = *address;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    Endpoint::tcp(ip, port)
}

fn local(ends: &Endpoints) -> Endpoint {
    endpoint(ends.family, &ends.local, ends.local_port)
}

fn remote(ends: &Endpoints) -> Endpoint {
    endpoint(ends.family, &ends.remote, ends.remote_port)
}

fn listener_up(record: &ListenRecord) -> What {
    What::ListenerUp(Listener {
        socket: SocketId::Kernel(record.socket),
        netns: record.endpoints.netns,
        address: local(&record.endpoints),
        holders: Box::new([actor(&record.actor).key]),
    })
}

fn listener_down(record: &ListenRecord) -> What {
    What::ListenerDown {
        socket: SocketId::Kernel(record.socket),
        netns: record.endpoints.netns,
        address: local(&record.endpoints),
        by: actor(&record.actor),
        exiting: record.exiting != 0,
    }
}

fn cut(record: &CutRecord) -> What {
    What::ConnectionCut {
        owner: actor(&record.actor),
        netns: record.endpoints.netns,
        local: local(&record.endpoints),
        remote: remote(&record.endpoints),
    }
}

fn connect_failed(at: Timestamp, record: &ConnectRecord) -> Decoded {
    let ends = &record.endpoints;
    Decoded::Failed {
        at,
        by: Counted::Tcp(RefusalKey {
            remote: ends.remote,
            pid: record.actor.pid,
            netns: ends.netns,
            remote_port: ends.remote_port,
            family: ends.family,
            error: record.error,
        }),
        total: record.total,
        failure: ConnectFailed {
            owner: actor(&record.actor),
            netns: ends.netns,
            remote: remote(ends),
            error: connect_error(record.error),
            errno: record.error,
            elapsed: Duration::from_nanos(record.elapsed_ns),
            total: 0,
        },
    }
}

fn unix_connect_failed(at: Timestamp, record: &UnixConnectRecord) -> Decoded {
    let key = UnixRefusalKey {
        path: record.path,
        path_len: record.path_len,
        pid: record.actor.pid,
        error: record.error,
        netns: record.netns,
    };
    Decoded::Failed {
        at,
        failure: failure_of(&Counted::Unix(Box::new(key)), &record.actor),
        by: Counted::Unix(Box::new(key)),
        total: record.total,
    }
}

/// What is known of a failure from what it is counted by.
pub(super) fn failure_of(by: &Counted, owner: &record::Actor) -> ConnectFailed {
    let (netns, remote, error, errno) = match by {
        Counted::Tcp(key) => (
            key.netns,
            endpoint(key.family, &key.remote, key.remote_port),
            connect_error(key.error),
            key.error,
        ),
        Counted::Unix(key) => {
            let used = (key.path_len as usize).min(key.path.len());
            let remote = Endpoint::unix(&key.path[..used]);
            (key.netns, remote, unix_connect_error(key.error), key.error)
        }
    };
    ConnectFailed {
        owner: actor(owner),
        netns,
        remote,
        error,
        errno,
        elapsed: Duration::ZERO,
        total: 0,
    }
}

/// What an errno of a TCP connect means; 0: its owner gave up.
fn connect_error(errno: u32) -> ConnectError {
    match i32::try_from(errno).unwrap_or(i32::MAX) {
        0 | libc::ETIMEDOUT => ConnectError::Timeout,
        libc::ECONNREFUSED => ConnectError::Refused,
        libc::ECONNRESET | libc::EPIPE => ConnectError::Reset,
        libc::EHOSTUNREACH
        | libc::ENETUNREACH
        | libc::EHOSTDOWN
        | libc::ENETDOWN
        | libc::ENONET
        | libc::ENOPROTOOPT
        | libc::EPROTO => ConnectError::Unreachable,
        libc::EACCES | libc::EPERM => ConnectError::PermissionDenied,
        libc::EADDRNOTAVAIL | libc::EAGAIN => ConnectError::NoLocalPort,
        _ => ConnectError::Other,
    }
}

/// What an errno of a unix stream connect means.
fn unix_connect_error(errno: u32) -> ConnectError {
    match i32::try_from(errno).unwrap_or(i32::MAX) {
        libc::ECONNREFUSED => ConnectError::Refused,
        libc::ENOENT | libc::ENOTDIR => ConnectError::NoSocketFile,
        libc::EAGAIN => ConnectError::BacklogFull,
        libc::EACCES | libc::EPERM => ConnectError::PermissionDenied,
        libc::ECONNRESET => ConnectError::Reset,
        _ => ConnectError::Other,
    }
}

/// A count in the kernel, by its bytes.
pub(super) fn refusal(bytes: &[u8]) -> record::Refusal {
    record::Refusal::read_from_bytes(bytes).unwrap_or_else(|_| record::Refusal::new_zeroed())
}
