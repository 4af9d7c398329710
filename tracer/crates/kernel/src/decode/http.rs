//! Decodes the records and counters of failed HTTP requests.

use tracer_common::record::{
    ConnectTarget, HTTP_HEAD_LEN, HttpRecord, HttpUnsentKey, UNIX_PATH_LEN, http_end,
};
use tracer_model::{
    Connected, Endpoint, HttpCounted, HttpEnd, HttpExchange, Side, Timestamp, What, Witness,
};

use super::address::{AF_INET, AF_INET6, AF_UNIX, endpoint, local, remote};
use super::bytes::Malformed;
use super::errno::unix_connect_error;
use super::http_head::{self, Head};
use super::party::actor;

/// The kernel program copies in steps of this: a head with less room left may have been longer.
const STEP: usize = 64;

/// Decodes a record. None: its bytes are not a request.
pub(super) fn exchange(record: &HttpRecord, show_query: bool) -> Result<Option<What>, Malformed> {
    let len = usize::try_from(record.head_len)
        .unwrap_or(HTTP_HEAD_LEN)
        .min(HTTP_HEAD_LEN);
    let full = len > HTTP_HEAD_LEN - STEP;
    let request = match http_head::parse(&record.head[..len], full, record.answered, show_query) {
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

/// The upstream that the process had connected to, if any.
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
        endpoint(target.family, &bytes, target.port)
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

/// Failed requests that the kernel counted without sending records.
pub(crate) fn counted(key: &HttpUnsentKey, count: u64) -> What {
    // A TLS session without a known connection has no family: its address is `[::]:0`.
    let family = if key.family == AF_INET {
        AF_INET
    } else {
        AF_INET6
    };
    What::HttpCounted(Box::new(HttpCounted {
        netns: key.netns,
        local: endpoint(family, &key.local, key.local_port),
        status: u16::try_from(key.status).unwrap_or(0),
        count,
    }))
}
