//! From the records of failed requests to observations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tracer_common::record::{
    ConnectTarget, HTTP_HEAD_LEN, HttpRecord, HttpUnsentKey, UNIX_PATH_LEN, http_end,
};
use tracer_model::{
    Connected, Endpoint, HttpCounted, HttpEnd, HttpExchange, Side, Timestamp, What, Witness,
};

use super::head::{self, Head};
use crate::decode::{Malformed, actor, local, remote, unix_connect_error};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// The kernel copies in steps of this: a head with less room left may have been longer.
const STEP: usize = 64;

/// What a record tells; None when there was no request.
pub(crate) fn exchange(record: &HttpRecord, show_query: bool) -> Result<Option<What>, Malformed> {
    let len = usize::try_from(record.head_len)
        .unwrap_or(HTTP_HEAD_LEN)
        .min(HTTP_HEAD_LEN);
    let full = len > HTTP_HEAD_LEN - STEP;
    let request = match head::parse(&record.head[..len], full, record.answered, show_query) {
        Head::Request(request) => Some(request),
        Head::Beyond => None,
        Head::Other => return Ok(None),
    };
    let end = match record.end {
        http_end::STATUS => HttpEnd::Status(u16::try_from(record.status).map_err(|_| Malformed)?),
        http_end::CLOSED => HttpEnd::Closed,
        http_end::DIED => HttpEnd::Died,
        http_end::PEER_CLOSED => HttpEnd::PeerClosed,
        http_end::PEER_RESET => HttpEnd::PeerReset,
        _ => return Err(Malformed),
    };
    let known = matches!(record.endpoints.family, AF_INET | AF_INET6);
    Ok(Some(What::Http(Box::new(HttpExchange {
        witness: if record.tls == 0 {
            Witness::Http
        } else {
            Witness::Tls
        },
        side: if record.outbound == 0 {
            Side::Inbound
        } else {
            Side::Outbound
        },
        actor: actor(&record.actor),
        netns: record.endpoints.netns,
        local: known.then(|| local(&record.endpoints)),
        remote: known.then(|| remote(&record.endpoints)),
        request,
        began: Timestamp(record.began_ns),
        end,
        connected: connected(&record.connected),
    }))))
}

fn connected(target: &ConnectTarget) -> Option<Connected> {
    if target.at_ns == 0 {
        return None;
    }
    let remote = if target.family == AF_UNIX {
        let len = usize::try_from(target.path_len)
            .unwrap_or(UNIX_PATH_LEN)
            .min(UNIX_PATH_LEN);
        Endpoint::unix(&target.address[..len])
    } else {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&target.address[..16]);
        Endpoint::tcp(ip(&bytes, target.family), target.port)
    };
    let result = match target.error {
        0 => Ok(()),
        errno => Err(unix_connect_error(errno.into())),
    };
    Some(Connected {
        at: Timestamp(target.at_ns),
        remote,
        result: (target.returned != 0).then_some(result),
    })
}

/// Requests that were only counted.
pub(crate) fn counted(key: &HttpUnsentKey, count: u64) -> What {
    What::HttpCounted(Box::new(HttpCounted {
        netns: key.netns,
        local: Endpoint::tcp(ip(&key.local, key.family), key.local_port),
        status: u16::try_from(key.status).unwrap_or(0),
        count,
    }))
}

fn ip(bytes: &[u8; 16], family: u16) -> IpAddr {
    if family == AF_INET {
        IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes))
    }
}
