//! Turns the bytes of a record into an observation. Pure, and total: bytes that are not a record are
//! rejected as [`Malformed`], never trusted.
//!
//! `process`, `socket`, `connect` and `http` decode the records; `party`, `address` and `errno` what
//! several of them contain.

mod address;
mod bytes;
mod connect;
mod errno;
mod http;
mod http_head;
mod party;
mod process;
mod socket;
#[cfg(test)]
mod tests;

use tracer_common::record::{Header, kind};
use tracer_model::{ConnectFailed, Observation, Timestamp, What};

use self::bytes::prefix;
use super::counter_key::CounterKey;

pub(super) use self::bytes::Malformed;
pub(super) use self::connect::failure_of;
pub(super) use self::http::counted as counted_requests;

/// A decoded record.
#[derive(Debug, PartialEq)]
pub(super) enum Decoded {
    /// An observation, complete.
    Observed(Observation),
    /// The record of a request whose bytes turn out not to be one.
    NotHttp { at: Timestamp },
    /// A failed connect; how many it stands for is up to [`super::tally`].
    ConnectFailed {
        at: Timestamp,
        /// The counter that counts it.
        counter: CounterKey,
        /// What the counter had reached.
        total: u64,
        failure: ConnectFailed,
    },
}

/// What a record does not contain, but decoding it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecodeOptions {
    /// Bytes in a page.
    pub(super) page_bytes: u64,
    /// Keep the query strings of requests.
    pub(super) show_query: bool,
}

/// Decodes one record.
pub(super) fn decode(bytes: &[u8], options: DecodeOptions) -> Result<Decoded, Malformed> {
    let page_bytes = options.page_bytes;
    let header = prefix::<Header>(bytes)?;
    let at = Timestamp(header.at_ns);
    let what = match header.kind {
        kind::EXIT => What::Exited(process::exit(&prefix(bytes)?, page_bytes)),
        kind::EXIT_SIGNALED => process::signaled_exit(&prefix(bytes)?, page_bytes),
        kind::OOM_VICTIM => process::oom_victim(&prefix(bytes)?, page_bytes),
        kind::FORK => process::fork(&prefix(bytes)?),
        kind::EXEC => process::exec(&prefix(bytes)?),
        kind::CGROUP => process::cgroup(&prefix(bytes)?),
        kind::LISTEN_UP => socket::listener_up(&prefix(bytes)?),
        kind::LISTEN_DOWN => socket::listener_down(&prefix(bytes)?),
        kind::CUT => socket::cut(&prefix(bytes)?),
        kind::HTTP => match http::exchange(&prefix(bytes)?, options.show_query)? {
            Some(what) => what,
            None => return Ok(Decoded::NotHttp { at }),
        },
        kind::CONNECT_FAILED => {
            let record = prefix(bytes)?;
            return Ok(connect_failed(
                at,
                connect::tcp_failure(&record),
                record.total,
            ));
        }
        kind::UNIX_CONNECT_FAILED => {
            let record = prefix(bytes)?;
            return Ok(connect_failed(
                at,
                connect::unix_failure(&record),
                record.total,
            ));
        }
        _ => return Err(Malformed),
    };
    Ok(Decoded::Observed(Observation { at, what }))
}

fn connect_failed(
    at: Timestamp,
    (counter, failure): (CounterKey, ConnectFailed),
    total: u64,
) -> Decoded {
    Decoded::ConnectFailed {
        at,
        counter,
        total,
        failure,
    }
}
