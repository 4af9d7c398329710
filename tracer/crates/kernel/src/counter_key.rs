//! The key by which the kernel counts failed connects: process, address and error.

use std::cmp::Ordering;

use tracer_common::record::{ConnectFailureKey, UnixConnectFailureKey};
use tracer_model::Pid;
use zerocopy::IntoBytes;

/// The key of one counter. Keys are ordered by pid first, so that those of one process are
/// neighbours.
#[derive(Clone, Debug)]
pub(super) enum CounterKey {
    Tcp(ConnectFailureKey),
    Unix(Box<UnixConnectFailureKey>),
}

impl CounterKey {
    /// The process whose connects failed.
    pub(super) fn pid(&self) -> Pid {
        match self {
            Self::Tcp(key) => key.pid,
            Self::Unix(key) => key.pid,
        }
    }

    /// The smallest key that this process can have.
    pub(super) fn first_of(pid: Pid) -> Self {
        Self::Tcp(ConnectFailureKey {
            remote: [0; 16],
            pid,
            netns: 0,
            remote_port: 0,
            family: 0,
            error: 0,
        })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Tcp(key) => key.as_bytes(),
            Self::Unix(key) => key.as_bytes(),
        }
    }
}

impl PartialEq for CounterKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for CounterKey {}

impl PartialOrd for CounterKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CounterKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.pid(), self.bytes()).cmp(&(other.pid(), other.bytes()))
    }
}
