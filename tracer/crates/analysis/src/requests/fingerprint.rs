//! Fingerprints: hashes of what log lines and exchanges of one request have in common, so that they
//! are found among thousands that wait.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::IpAddr;

use ahash::RandomState;
use tracer_model::{Pid, Request};

use crate::world::ServiceKey;

/// The hash of properties that things may have in common. Equal fingerprints prove nothing; things
/// without a common fingerprint do not belong together.
pub(super) type Fingerprint = u64;

/// The fingerprints of one thing.
pub(super) type Fingerprints = [Option<Fingerprint>; 5];

/// A thing that is not found by any fingerprint.
pub(super) const NONE: Fingerprints = [None; 5];

/// Fingerprints are hashes: tables need not hash them again.
pub(super) type AsIs = BuildHasherDefault<AsIsHasher>;

/// See [`AsIs`].
#[derive(Default)]
pub(super) struct AsIsHasher(u64);

impl Hasher for AsIsHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, fingerprint: Fingerprint) {
        self.0 = fingerprint;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Where to look for what belongs to a thing.
pub(super) enum Search {
    /// Under these fingerprints.
    Under([Option<Fingerprint>; 6]),
    /// Everywhere.
    Everywhere,
}

/// Makes fingerprints, with random keys.
#[derive(Default)]
pub(super) struct Fingerprinter(RandomState);

/// Hashes that most fingerprints of a line or an exchange begin with, so that its request is hashed
/// once.
#[derive(Clone, Copy)]
pub(super) struct Stems {
    /// Of the proxy's requests, where the request itself is unknown.
    pub bare: Fingerprint,
    /// Of the proxy's requests with this method and beginning of the target; equal to `bare` if they
    /// are unknown.
    pub request: Fingerprint,
    /// Whether they are known.
    pub has_request: bool,
}

/// What a fingerprint covers besides a stem. None: unknown.
#[derive(Hash)]
pub(super) enum Common {
    /// The client.
    Request(Option<IpAddr>),
    /// A client that the line does not have.
    Anybody,
    /// The other end of the client's connection.
    Client(Option<(IpAddr, u16)>),
    /// The client in X-Forwarded-For.
    Forwarded(IpAddr),
    /// Lines that have neither a request with its client nor a client with its port.
    Bare,
    /// Worker and connection.
    Continued(Pid, Option<Pid>, Option<u64>),
}

impl Fingerprinter {
    pub(super) fn stems(&self, key: &ServiceKey, request: Option<&Request>) -> Stems {
        let bare = self.0.hash_one(key);
        let beginning = request.and_then(beginning);
        Stems {
            bare,
            request: beginning.map_or(bare, |beginning| self.0.hash_one((bare, beginning))),
            has_request: beginning.is_some(),
        }
    }

    pub(super) fn hash(&self, stem: Fingerprint, common: &Common) -> Fingerprint {
        self.0.hash_one((stem, common))
    }
}

/// A request's method and the beginning of its target, whose end either side may have truncated;
/// None if less than that was kept.
fn beginning(request: &Request) -> Option<(&str, &[u8])> {
    const KEPT: usize = 64;
    let target = match request.target.strip_suffix('…') {
        Some(stem) if stem.len() < KEPT => return None,
        _ => request.target.as_bytes(),
    };
    Some((&request.method, &target[..target.len().min(KEPT)]))
}
