//! Records as the kernel programs send them, damaged records, and bytes that are not a record.

use proptest::prelude::*;
use tracer_common::record::{
    ConnectRecord, ExecRecord, ExitRecord, OomVictimRecord, SignaledExitRecord, UnixConnectRecord,
};
use tracer_model::{Comm, ConnectError, Exit, OomScope, ProcessKey};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::*;

const PAGE: u64 = 4096;
const OPTIONS: DecodeOptions = DecodeOptions {
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

fn observed(record: &(impl IntoBytes + Immutable)) -> What {
    // As in the ring buffer, padding follows.
    let mut bytes = record.as_bytes().to_vec();
    bytes.extend([0xff; 4]);
    match decode(&bytes, OPTIONS) {
        Ok(Decoded::Observed(observation)) => {
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
    exit.oom_victim = 1;
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
fn an_exit_has_its_status_and_peak_memory() {
    let mut record = zeroed(kind::EXIT, |r: &mut ExitRecord| &mut r.header);
    fill_in(&mut record);
    let What::Exited(exit) = observed(&record) else {
        panic!("another kind");
    };
    check(&exit);
    assert_eq!(
        (exit.oom_trigger, exit.stop, exit.other),
        (None, None, None)
    );
}

#[test]
fn an_exit_after_signals_has_the_last_ones_and_the_trigger_of_the_oom_kill() {
    let mut record = zeroed(kind::EXIT_SIGNALED, |r: &mut SignaledExitRecord| {
        &mut r.exit.header
    });
    fill_in(&mut record.exit);
    record.stop.at_ns = 6;
    record.stop.signal = 9;
    record.stop.code = 0x80;
    record.oom_at_ns = 5;
    record.trigger.pid = 43;
    let What::Exited(exit) = observed(&record) else {
        panic!("another kind");
    };
    check(&exit);
    assert_eq!(exit.oom_trigger.map(|by| by.key.pid), Some(43));
    assert_eq!(exit.stop.map(|s| (s.signal, s.code)), Some((9, 0x80)));
    assert_eq!(exit.other, None);
}

#[test]
fn an_oom_victim_known_only_by_its_pid_has_no_other_facts() {
    let mut record = zeroed(kind::OOM_VICTIM, |r: &mut OomVictimRecord| &mut r.header);
    record.victim.pid = 42;
    let What::OomVictim(victim) = observed(&record) else {
        panic!("another kind");
    };
    assert_eq!(victim.task.key.pid, 42);
    assert_eq!(victim.scope, None);
    assert_eq!(victim.full_cgroup, None);
    assert_eq!(victim.anon_bytes, None);
}

#[test]
fn the_constraint_decides_whether_the_scope_of_an_oom_kill_is_a_cgroup() {
    let mut record = zeroed(kind::OOM_VICTIM, |r: &mut OomVictimRecord| &mut r.header);
    record.scope.known = 1;
    record.scope.total_pages = 10;
    record.scope.cgroup = 5;
    let scope = |record: &OomVictimRecord| match observed(record) {
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
fn arguments_are_split_and_their_length_is_not_trusted() {
    let mut record = zeroed(kind::EXEC, |r: &mut ExecRecord| &mut r.header);
    let args = |record: &ExecRecord| match observed(record) {
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
fn failed_connects_have_an_address_and_an_error() {
    let mut record = zeroed(kind::CONNECT_FAILED, |r: &mut ConnectRecord| &mut r.header);
    record.endpoints.family = 2;
    record.endpoints.remote[..4].copy_from_slice(&[127, 0, 0, 1]);
    record.endpoints.remote_port = 3000;
    record.total = 17;
    let decoded = |record: &ConnectRecord| match decode(record.as_bytes(), OPTIONS) {
        Ok(Decoded::ConnectFailed { total, failure, .. }) => {
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
        assert_eq!(decoded(&record), ("127.0.0.1:3000".into(), error, 17));
    }
    // IPv4 through an IPv6 socket.
    record.endpoints.family = 10;
    record.endpoints.remote = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    assert_eq!(decoded(&record).0, "10.0.0.1:3000");
}

#[test]
fn failed_unix_connects_have_a_path_and_an_error() {
    let mut record = zeroed(kind::UNIX_CONNECT_FAILED, |r: &mut UnixConnectRecord| {
        &mut r.header
    });
    record.path[..12].copy_from_slice(b"/run/fpm.soc");
    let decoded = |record: &UnixConnectRecord| match decode(record.as_bytes(), OPTIONS) {
        Ok(Decoded::ConnectFailed { failure, .. }) => (failure.remote.to_string(), failure.error),
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
        assert_eq!(decoded(&record), ("unix:/run/fpm.soc".into(), error));
    }
    record.path[0] = 0;
    record.path_len = 4;
    assert_eq!(decoded(&record).0, "unix:@run");
}

#[test]
fn bytes_that_are_not_a_record_are_malformed() {
    assert_eq!(decode(&[], OPTIONS), Err(Malformed));
    assert_eq!(decode(&[0; 15], OPTIONS), Err(Malformed));
    assert_eq!(
        decode(&[0xff; 512], OPTIONS),
        Err(Malformed),
        "unknown kind"
    );
    let record = zeroed(kind::EXIT, |r: &mut ExitRecord| &mut r.header);
    let bytes = record.as_bytes();
    assert_eq!(decode(&bytes[..bytes.len() - 1], OPTIONS), Err(Malformed));
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
        let _ = decode(&bytes, OPTIONS);
    }
}
