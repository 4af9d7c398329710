//! Decodes the records and counters of failed connects.

use std::time::Duration;

use tracer_common::record::{
    self, ConnectFailureKey, ConnectRecord, UnixConnectFailureKey, UnixConnectRecord,
};
use tracer_model::{ConnectFailed, Endpoint};

use super::address::{endpoint, remote};
use super::errno::{connect_error, unix_connect_error};
use super::party::actor;
use crate::counter_key::CounterKey;

/// A failed connect, and the key of the counter that counts it.
pub(super) fn tcp_failure(record: &ConnectRecord) -> (CounterKey, ConnectFailed) {
    let ends = &record.endpoints;
    let key = CounterKey::Tcp(ConnectFailureKey {
        remote: ends.remote,
        pid: record.actor.pid,
        netns: ends.netns,
        remote_port: ends.remote_port,
        family: ends.family,
        error: record.error,
    });
    let failure = ConnectFailed {
        owner: actor(&record.actor),
        netns: ends.netns,
        remote: remote(ends),
        error: connect_error(record.error),
        errno: record.error,
        elapsed: Duration::from_nanos(record.elapsed_ns),
        count: 0,
    };
    (key, failure)
}

/// The same for a unix socket.
pub(super) fn unix_failure(record: &UnixConnectRecord) -> (CounterKey, ConnectFailed) {
    let key = CounterKey::Unix(Box::new(UnixConnectFailureKey {
        path: record.path,
        path_len: record.path_len,
        pid: record.actor.pid,
        error: record.error,
        netns: record.netns,
    }));
    let failure = failure_of(&key, &record.actor);
    (key, failure)
}

/// A failure as far as its counter describes it.
pub(crate) fn failure_of(key: &CounterKey, owner: &record::Actor) -> ConnectFailed {
    let (netns, remote, error, errno) = match key {
        CounterKey::Tcp(key) => (
            key.netns,
            endpoint(key.family, &key.remote, key.remote_port),
            connect_error(key.error),
            key.error,
        ),
        CounterKey::Unix(key) => {
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
