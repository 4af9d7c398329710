//! JSON, with the names that Istio gives.

use std::borrow::Cow;

use serde::Deserialize;

use super::request::{Request, are_flags, line_about, went_well};
use crate::line::Line;
use crate::text::split_once;

/// A value that may be null.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Envoy writes numbers, and wrote them as texts.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Number(u64),
    Text(&'a str),
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    start_time: Option<Text<'a>>,
    #[serde(borrow)]
    method: Option<Text<'a>>,
    #[serde(borrow)]
    path: Option<Text<'a>>,
    #[serde(borrow)]
    protocol: Option<Text<'a>>,
    #[serde(borrow)]
    authority: Option<Text<'a>>,
    #[serde(borrow)]
    x_forwarded_for: Option<Text<'a>>,
    #[serde(borrow)]
    response_code: Number<'a>,
    #[serde(borrow)]
    response_flags: Option<Text<'a>>,
    #[serde(borrow)]
    response_code_details: Option<Text<'a>>,
    #[serde(borrow)]
    upstream_transport_failure_reason: Option<Text<'a>>,
    #[serde(borrow)]
    duration: Option<Number<'a>>,
    #[serde(borrow)]
    upstream_host: Option<Text<'a>>,
    #[serde(borrow)]
    upstream_cluster: Option<Text<'a>>,
    #[serde(borrow)]
    downstream_remote_address: Option<Text<'a>>,
}

impl Number<'_> {
    fn value(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

/// As the text formats write it.
fn value_of<'a>(value: Option<&'a Text<'_>>) -> &'a str {
    value.map_or("-", |text| &text.0)
}

pub(super) fn parse(line: &str, show_query: bool) -> Line {
    let (Some((_, code)), Some((_, flags)), true) = (
        split_once(line, b"\"response_code\":"),
        split_once(line, b"\"response_flags\":"),
        line.ends_with('}'),
    ) else {
        return Line::Unreadable;
    };
    let digits = code.bytes().take_while(u8::is_ascii_digit).count();
    let status = code[..digits].parse().unwrap_or(0);
    if flags.starts_with("\"-\"") && went_well(status, "-") {
        return Line::Ignored;
    }
    let Ok(record) = serde_json::from_str::<Record<'_>>(line) else {
        return Line::Unreadable;
    };
    let Some(Ok(status)) = record.response_code.value().map(u16::try_from) else {
        return Line::Unreadable;
    };
    let request = Request {
        start: value_of(record.start_time.as_ref()),
        method: value_of(record.method.as_ref()),
        target: value_of(record.path.as_ref()),
        protocol: value_of(record.protocol.as_ref()),
        host: value_of(record.authority.as_ref()),
        forwarded_for: value_of(record.x_forwarded_for.as_ref()),
        status,
        flags: value_of(record.response_flags.as_ref()),
        details: value_of(record.response_code_details.as_ref()),
        transport: value_of(record.upstream_transport_failure_reason.as_ref()),
        elapsed: record.duration.and_then(Number::value),
        upstream: value_of(record.upstream_host.as_ref()),
        cluster: value_of(record.upstream_cluster.as_ref()),
        client: value_of(record.downstream_remote_address.as_ref()),
    };
    if are_flags(request.flags) {
        line_about(&request, show_query)
    } else {
        Line::Unreadable
    }
}
