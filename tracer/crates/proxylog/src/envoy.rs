//! Envoy's access log: its default text format, the one that Istio sets, and JSON with Istio's names.
//!
//! `[2026-11-27T21:09:08.572Z] "GET /down/x HTTP/1.1" 503 UF 0 98 0 - "-" "curl/7.88.1"
//! "6ed29cdc-…" "shop.example" "127.0.0.1:9102"`
//!
//! One line per request, written when it is over. What went wrong is in the response flags (`UF`);
//! where the format has it, the transport's failure (`delayed_connect_error:_Connection_refused`)
//! says more. Envoy collects lines for up to ten seconds, so that a request's time is taken from its
//! line. The default format does not have the client: the X-Forwarded-For in it may be the client's
//! own claim, and Envoy puts an address of the machine in it for clients on the same one.
//!
//! Any other format is not read. Nothing in a line is escaped: it is read from both ends.

mod json;
mod request;
mod text;

use std::time::Duration;

use tracer_model::ProxyKind;

use crate::line::Line;
use crate::profile::{Fact, FailuresIn, LineFor, Profile};

pub(crate) const PROFILE: Profile = Profile {
    kind: ProxyKind::Envoy,
    programs: &["envoy"],
    failures_in: FailuresIn::AccessLog,
    line_for: LineFor::Request,
    says: &[
        Fact::Status,
        Fact::UpstreamAddress,
        Fact::UpstreamName,
        Fact::Reason,
        Fact::Client,
        Fact::ClientPort,
        Fact::Request,
        Fact::Host,
        Fact::Time,
        Fact::Elapsed,
        Fact::Answered,
        Fact::ClientGone,
    ],
    // The default format.
    anonymous: true,
    // `--file-flush-interval-msec`, and a little.
    delay: Duration::from_secs(12),
    read: parse,
    is_elsewhere: |_| false,
    memory: None,
};

fn parse(line: &str, show_query: bool) -> Line {
    if line.starts_with('{') {
        json::parse(line, show_query)
    } else {
        text::parse(line, show_query)
    }
}
