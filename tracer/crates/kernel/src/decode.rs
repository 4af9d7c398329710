//! From the bytes of a record to what was seen. Total: bytes that are no record are told apart,
//! never trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tracer_common::record::{
    self, CgroupRecord, ConnectRecord, CutRecord, Endpoints, ExecRecord, ExitRecord, ForkRecord,
    Header, ListenRecord, OomMarkRecord, RefusalKey, SignaledExitRecord, UnixConnectRecord,
    UnixRefusalKey, kind,
};
use tracer_model::{
    Actor, Comm, ConnectError, ConnectFailed, Endpoint, Exit, ExitStatus, FullCgroup, Listener,
    Observation, OomScope, OomVictim, ProcessKey, SignalSent, SocketId, TaskFacts, Timestamp, What,
};
use zerocopy::{FromBytes, FromZeros, Immutable, KnownLayout};

use super::http;
use super::tally::Counted;

/// Bytes that are not a record of a known kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A decoded record.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    /// To be passed on as it is.
    Seen(Observation),
    /// What looked like a request, and was none.
    Nothing { at: Timestamp },
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

/// What records don't say about themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Bytes in a page.
    pub(super) page_bytes: u64,
    /// Keep the query strings of requests.
    pub(super) show_query: bool,
}

/// Reads one record.
pub(super) fn decode(bytes: &[u8], reading: Reading) -> Result<Decoded, Malformed> {
    let page_bytes = reading.page_bytes;
    let header = prefix::<Header>(bytes)?;
    let at = Timestamp(header.at_ns);
    let what = match header.kind {
        kind::EXIT => What::Exited(exit(&prefix(bytes)?, page_bytes)),
        kind::EXIT_SIGNALED => signaled_exit(&prefix(bytes)?, page_bytes),
        kind::OOM_MARK => oom_mark(&prefix(bytes)?, page_bytes),
        kind::LISTEN_UP => listener_up(&prefix(bytes)?),
        kind::LISTEN_DOWN => listener_down(&prefix(bytes)?),
        kind::FORK => fork(&prefix(bytes)?),
        kind::EXEC => exec(&prefix(bytes)?),
        kind::CGROUP => cgroup(&prefix(bytes)?),
        kind::CUT => cut(&prefix(bytes)?),
        kind::HTTP => match http::decode::exchange(&prefix(bytes)?, reading.show_query)? {
            Some(what) => what,
            None => return Ok(Decoded::Nothing { at }),
        },
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

fn signal(signal: &record::Signal) -> Option<Box<SignalSent>> {
    (signal.at_ns != 0).then(|| {
        Box::new(SignalSent {
            at: Timestamp(signal.at_ns),
            signal: signal.signal,
            code: signal.code,
            sender: actor(&signal.sender),
        })
    })
}

fn exit(record: &ExitRecord, page_bytes: u64) -> Exit {
    Exit {
        task: task(&record.task),
        parent: ProcessKey::from_ns(record.task.ppid, record.parent_start_ns),
        status: ExitStatus::from_wait_status(record.status),
        peak_bytes: record.peak_rss_pages.saturating_mul(page_bytes),
        oom_victim: record.oom_marked != 0,
        oom_trigger: None,
        stop: None,
        other: None,
    }
}

fn signaled_exit(record: &SignaledExitRecord, page_bytes: u64) -> What {
    What::Exited(Exit {
        oom_trigger: (record.oom_at_ns != 0).then(|| Box::new(actor(&record.trigger))),
        stop: signal(&record.stop),
        other: signal(&record.other),
        ..exit(&record.exit, page_bytes)
    })
}

fn oom_mark(record: &OomMarkRecord, page_bytes: u64) -> What {
    /// `CONSTRAINT_MEMCG`.
    const MEMCG: u32 = 3;
    let bytes = |pages: u64| pages.saturating_mul(page_bytes);
    let scope = &record.scope;
    let memory = &record.memory;
    let has_memory = memory.anon_pages != 0 || memory.file_pages != 0;
    What::OomVictim(Box::new(OomVictim {
        task: task(&record.victim),
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

pub(super) fn local(ends: &Endpoints) -> Endpoint {
    endpoint(ends.family, &ends.local, ends.local_port)
}

pub(super) fn remote(ends: &Endpoints) -> Endpoint {
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
            count: 0,
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
        count: 0,
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
pub(super) fn unix_connect_error(errno: u32) -> ConnectError {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    const PAGE: u64 = 4096;
    const READING: Reading = Reading {
        page_bytes: PAGE,
        show_query: false,
    };

    fn zeroed<T: FromZeros>(kind: u32, header: impl FnOnce(&mut T) -> &mut Header) -> T {
        let mut record = T::new_zeroed();
        *header(&mut record) = Header {
            at_ns: 7_000_000_000,
            kind,
            cpu: 1,
        };
        record
    }

    fn seen(record: &(impl IntoBytes + Immutable)) -> What {
        // As in the ring: bytes of rounding follow.
        let mut bytes = record.as_bytes().to_vec();
        bytes.extend([0xff; 4]);
        match decode(&bytes, READING) {
            Ok(Decoded::Seen(observation)) => {
                assert_eq!(observation.at, Timestamp(7_000_000_000));
                observation.what
            }
            other => panic!("{other:?}"),
        }
    }

    fn fill_in(exit: &mut ExitRecord) {
        exit.task.pid = 42;
        exit.task.start_ns = 1_234_567_890;
        exit.task.comm = *b"node\0\0\0\0\0\0\0\0\0\0\0\0";
        exit.status = 9;
        exit.oom_marked = 1;
        exit.peak_rss_pages = 3;
    }

    fn check(exit: &Exit) {
        let key = ProcessKey {
            pid: 42,
            start_ticks: 123,
        };
        assert_eq!(exit.task.key, key);
        assert_eq!(exit.task.comm, Comm::new("node"));
        assert_eq!(exit.status.signal(), Some(9));
        assert_eq!(exit.peak_bytes, 3 * PAGE);
        assert!(exit.oom_victim);
    }

    #[test]
    fn an_exit_tells_status_and_peak() {
        let mut record = zeroed(kind::EXIT, |r: &mut ExitRecord| &mut r.header);
        fill_in(&mut record);
        let What::Exited(exit) = seen(&record) else {
            panic!("another kind");
        };
        check(&exit);
        assert_eq!(
            (exit.oom_trigger, exit.stop, exit.other),
            (None, None, None)
        );
    }

    #[test]
    fn one_after_signals_tells_the_last_of_them_and_who_caused_the_oom_kill() {
        let mut record = zeroed(kind::EXIT_SIGNALED, |r: &mut SignaledExitRecord| {
            &mut r.exit.header
        });
        fill_in(&mut record.exit);
        record.stop.at_ns = 6;
        record.stop.signal = 9;
        record.stop.code = 0x80;
        record.oom_at_ns = 5;
        record.trigger.pid = 43;
        let What::Exited(exit) = seen(&record) else {
            panic!("another kind");
        };
        check(&exit);
        assert_eq!(exit.oom_trigger.map(|by| by.key.pid), Some(43));
        assert_eq!(exit.stop.map(|s| (s.signal, s.code)), Some((9, 0x80)));
        assert_eq!(exit.other, None);
    }

    #[test]
    fn a_victim_known_only_by_its_pid_has_nothing_else() {
        let mut record = zeroed(kind::OOM_MARK, |r: &mut OomMarkRecord| &mut r.header);
        record.victim.pid = 42;
        let What::OomVictim(victim) = seen(&record) else {
            panic!("another kind");
        };
        assert_eq!(victim.task.key.pid, 42);
        assert_eq!(victim.scope, None);
        assert_eq!(victim.full_cgroup, None);
        assert_eq!(victim.anon_bytes, None);
    }

    #[test]
    fn the_scope_of_a_kill_is_a_cgroup_only_by_its_constraint() {
        let mut record = zeroed(kind::OOM_MARK, |r: &mut OomMarkRecord| &mut r.header);
        record.scope.known = 1;
        record.scope.total_pages = 10;
        record.scope.cgroup = 5;
        let scope = |record: &OomMarkRecord| match seen(record) {
            What::OomVictim(victim) => victim.scope,
            other => panic!("{other:?}"),
        };
        assert_eq!(scope(&record), Some(OomScope::Global));
        record.scope.constraint = 3;
        assert_eq!(
            scope(&record),
            Some(OomScope::Cgroup {
                id: 5,
                path: None,
                limit_bytes: Some(10 * PAGE),
            })
        );
    }

    #[test]
    fn arguments_are_split_and_lengths_are_not_trusted() {
        let mut record = zeroed(kind::EXEC, |r: &mut ExecRecord| &mut r.header);
        let args = |record: &ExecRecord| match seen(record) {
            What::Executed { args, .. } => args.join("|"),
            other => panic!("{other:?}"),
        };
        record.args[..10].copy_from_slice(b"node\0\0a\xff\0x");
        record.args_len = 9;
        assert_eq!(args(&record), "node||a\u{fffd}");
        record.args_len = 0;
        assert_eq!(args(&record), "");
        record.args_len = u32::MAX;
        assert!(args(&record).starts_with("node||"));
    }

    #[test]
    fn failed_connects_are_told_by_address_and_error() {
        let mut record = zeroed(kind::CONNECT_FAILED, |r: &mut ConnectRecord| &mut r.header);
        record.endpoints.family = 2;
        record.endpoints.remote[..4].copy_from_slice(&[127, 0, 0, 1]);
        record.endpoints.remote_port = 3000;
        record.total = 17;
        let told = |record: &ConnectRecord| match decode(record.as_bytes(), READING) {
            Ok(Decoded::Failed { total, failure, .. }) => {
                (failure.remote.to_string(), failure.error, total)
            }
            other => panic!("{other:?}"),
        };
        for (errno, error) in [
            (0, ConnectError::Timeout),
            (110, ConnectError::Timeout),
            (111, ConnectError::Refused),
            (104, ConnectError::Reset),
            (101, ConnectError::Unreachable),
            (113, ConnectError::Unreachable),
            (99, ConnectError::NoLocalPort),
            (13, ConnectError::PermissionDenied),
            (u32::MAX, ConnectError::Other),
        ] {
            record.error = errno;
            assert_eq!(told(&record), ("127.0.0.1:3000".into(), error, 17));
        }
        // IPv4 through an IPv6 socket.
        record.endpoints.family = 10;
        record.endpoints.remote = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        assert_eq!(told(&record).0, "10.0.0.1:3000");
    }

    #[test]
    fn failed_unix_connects_are_told_by_path_and_error() {
        let mut record = zeroed(kind::UNIX_CONNECT_FAILED, |r: &mut UnixConnectRecord| {
            &mut r.header
        });
        record.path[..12].copy_from_slice(b"/run/fpm.soc");
        let told = |record: &UnixConnectRecord| match decode(record.as_bytes(), READING) {
            Ok(Decoded::Failed { failure, .. }) => (failure.remote.to_string(), failure.error),
            other => panic!("{other:?}"),
        };
        record.path_len = u32::MAX;
        for (errno, error) in [
            (2, ConnectError::NoSocketFile),
            (11, ConnectError::BacklogFull),
            (13, ConnectError::PermissionDenied),
            (111, ConnectError::Refused),
        ] {
            record.error = errno;
            assert_eq!(told(&record), ("unix:/run/fpm.soc".into(), error));
        }
        record.path[0] = 0;
        record.path_len = 4;
        assert_eq!(told(&record).0, "unix:@run");
    }

    #[test]
    fn what_is_no_record_is_malformed() {
        assert_eq!(decode(&[], READING), Err(Malformed));
        assert_eq!(decode(&[0; 15], READING), Err(Malformed));
        assert_eq!(
            decode(&[0xff; 512], READING),
            Err(Malformed),
            "unknown kind"
        );
        let record = zeroed(kind::EXIT, |r: &mut ExitRecord| &mut r.header);
        let bytes = record.as_bytes();
        assert_eq!(decode(&bytes[..bytes.len() - 1], READING), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            kind in 0u32..24,
            mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            if let Some(field) = bytes.get_mut(8..12) {
                field.copy_from_slice(&kind.to_ne_bytes());
            }
            let _ = decode(&bytes, READING);
        }
    }
}
