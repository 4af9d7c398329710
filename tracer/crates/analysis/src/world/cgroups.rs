//! Cgroups by id and containers by id and address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use tracer_model::{ContainerFacts, Endpoint};

const MAX_CGROUPS: usize = 16_384;
const MAX_CONTAINERS: usize = 4096;
/// Shortest abbreviated container id.
const SHORT_ID: usize = 12;

/// A cgroup's path and limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// From the root of its hierarchy.
    pub path: Box<str>,
    /// Memory limit, bytes.
    pub limit_bytes: Option<u64>,
}

/// All known cgroups.
#[derive(Debug, Default)]
pub struct Cgroups(BTreeMap<u64, Cgroup>);

impl Cgroups {
    /// Adds a cgroup. Ids grow, so the lowest is the oldest; it goes first if there are too many.
    pub fn insert(&mut self, id: u64, path: &str, limit_bytes: Option<u64>) {
        self.0.insert(
            id,
            Cgroup {
                path: path.into(),
                limit_bytes,
            },
        );
        if self.0.len() > MAX_CGROUPS {
            self.0.pop_first();
        }
    }

    /// The cgroup with that id.
    pub fn get(&self, id: u64) -> Option<&Cgroup> {
        self.0.get(&id)
    }

    /// The limit of the cgroup at a path.
    pub fn limit_of(&self, path: &str) -> Option<u64> {
        self.0
            .values()
            .rev()
            .find(|cgroup| &*cgroup.path == path)
            .and_then(|cgroup| cgroup.limit_bytes)
    }
}

/// All known containers.
#[derive(Debug, Default)]
pub struct Containers(BTreeMap<Box<str>, ContainerFacts>);

impl Containers {
    /// Adds a container.
    pub fn insert(&mut self, facts: ContainerFacts) {
        if self.0.len() < MAX_CONTAINERS || self.0.contains_key(&facts.id) {
            self.0.insert(facts.id.clone(), facts);
        }
    }

    /// Finds a container by its full or abbreviated id.
    pub fn get(&self, id: &str) -> Option<&ContainerFacts> {
        self.0.get(id).or_else(|| {
            (id.len() >= SHORT_ID)
                .then(|| {
                    self.0
                        .range::<str, _>((
                            std::ops::Bound::Included(id),
                            std::ops::Bound::Unbounded,
                        ))
                        .next()
                })
                .flatten()
                .filter(|(known, _)| known.starts_with(id))
                .map(|(_, facts)| facts)
        })
    }

    /// The container behind an address, and the address inside the container. The address is one of
    /// the container's own or a published port.
    pub fn serving(&self, remote: &Endpoint) -> Option<(&ContainerFacts, Endpoint)> {
        let Endpoint::Tcp(remote) = remote else {
            return None;
        };
        self.0.values().find_map(|facts| {
            if facts.addresses.contains(&remote.ip()) {
                return Some((facts, Endpoint::Tcp(*remote)));
            }
            let (_, inside) = facts
                .published
                .iter()
                .find(|(host, _)| is_published_at(*host, *remote))?;
            let ip = facts
                .addresses
                .first()
                .copied()
                .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
            Some((facts, Endpoint::Tcp(SocketAddr::new(ip, *inside))))
        })
    }
}

fn is_published_at(host: SocketAddr, remote: SocketAddr) -> bool {
    host.port() == remote.port()
        && (host.ip() == remote.ip() || (host.ip().is_unspecified() && remote.ip().is_loopback()))
}
