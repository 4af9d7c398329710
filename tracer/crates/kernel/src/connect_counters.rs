//! The maps in which the kernel programs count failed connects. When to look at which counter is up
//! to [`super::tally`].

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use tracer_common::record::{ConnectFailureKey, ConnectFailures, UnixConnectFailureKey};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::counter_key::CounterKey;
use super::error::StartError;
use super::object::take_map;

const TCP_KEY: usize = size_of::<ConnectFailureKey>();
const UNIX_KEY: usize = size_of::<UnixConnectFailureKey>();
const COUNTER: usize = size_of::<ConnectFailures>();

/// See the module.
pub(super) struct ConnectCounters {
    tcp: HashMap<MapData, [u8; TCP_KEY], [u8; COUNTER]>,
    unix: HashMap<MapData, [u8; UNIX_KEY], [u8; COUNTER]>,
}

impl ConnectCounters {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        Ok(Self {
            tcp: take_map(ebpf, "CONNECT_FAILURES")?,
            unix: take_map(ebpf, "UNIX_CONNECT_FAILURES")?,
        })
    }

    /// The counter with this key. None: it was freed, or this failure was not counted.
    pub(super) fn get(&self, key: &CounterKey) -> Option<ConnectFailures> {
        let counter = match key {
            CounterKey::Tcp(key) => self.tcp.get(&bytes_of(key)?, 0),
            CounterKey::Unix(key) => self.unix.get(&bytes_of(&**key)?, 0),
        };
        ConnectFailures::read_from_bytes(&counter.ok()?).ok()
    }

    /// Frees the counter with this key, if there is one.
    pub(super) fn free(&mut self, key: &CounterKey) {
        let _ = match key {
            CounterKey::Tcp(key) => bytes_of(key).map(|key| self.tcp.remove(&key)),
            CounterKey::Unix(key) => bytes_of(&**key).map(|key| self.unix.remove(&key)),
        };
    }

    /// The keys of all counters.
    pub(super) fn keys(&self) -> Vec<CounterKey> {
        let tcp = self.tcp.keys().flatten().filter_map(|key| {
            let key = ConnectFailureKey::read_from_bytes(&key).ok()?;
            Some(CounterKey::Tcp(key))
        });
        let unix = self.unix.keys().flatten().filter_map(|key| {
            let key = UnixConnectFailureKey::read_from_bytes(&key).ok()?;
            Some(CounterKey::Unix(Box::new(key)))
        });
        tcp.chain(unix).collect()
    }
}

fn bytes_of<const N: usize>(key: &(impl IntoBytes + Immutable)) -> Option<[u8; N]> {
    key.as_bytes().try_into().ok()
}
