//! Decodes socket addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracer_common::record::Endpoints;
use tracer_model::Endpoint;

pub(super) const AF_UNIX: u16 = 1;
pub(super) const AF_INET: u16 = 2;
pub(super) const AF_INET6: u16 = 10;

/// As in the kernel programs, an address of any family but `AF_INET6` is in the first four bytes.
pub(super) fn endpoint(family: u16, address: &[u8; 16], port: u16) -> Endpoint {
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
