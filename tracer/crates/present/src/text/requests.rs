//! Lines of failed requests. In each second, the first twenty of each incident have a line of their
//! own. The rest of that second is summed up, one line per template, printed before the next finding
//! that does not belong to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tracer_model::wording::{self, counted};
use tracer_model::{Body, Confidence, FailedRequest, Failure, Finding, WallTime, template};

use super::lines::address;
use crate::cell::{cell, name};

/// Lines of one incident and second before the rest is summed up.
const MAX_LINES: u32 = 20;
/// Sums of one second. A request for which there is no room is summed up without its template.
const MAX_SUMS: usize = 64;
const PATH_COLUMNS: usize = 120;
const NS_PER_SECOND: i64 = 1_000_000_000;

/// What the requests of one sum have in common.
type Shape = (
    Option<u64>,
    String,
    Option<u16>,
    Failure,
    Option<String>,
    Option<String>,
);

/// The failed requests of the present second.
#[derive(Debug, Default)]
pub(super) struct Storm {
    second: i64,
    /// Lines printed, by incident.
    printed: BTreeMap<Option<u64>, u32>,
    sums: BTreeMap<Shape, (WallTime, FailedRequest)>,
}

impl Storm {
    /// Whether a finding ends the second whose requests are summed up.
    pub(super) fn is_over(&self, finding: &Finding) -> bool {
        let is_request = matches!(finding.body, Body::RequestFailed(_));
        !self.sums.is_empty() && (!is_request || second(finding.at) > self.second)
    }

    /// The sums so far, which are then forgotten.
    pub(super) fn drain(&mut self) -> Vec<(WallTime, FailedRequest)> {
        std::mem::take(&mut self.sums).into_values().collect()
    }

    /// Counts a request; whether it was summed up, and so gets no line of its own.
    pub(super) fn sum_up(&mut self, at: WallTime, request: &FailedRequest) -> bool {
        if second(at) > self.second {
            self.second = second(at);
            self.printed.clear();
        }
        let incident = request.because.as_ref().map(|because| because.incident);
        if self.printed.len() < MAX_SUMS || self.printed.contains_key(&incident) {
            let printed = self.printed.entry(incident).or_default();
            if *printed < MAX_LINES {
                *printed += 1;
                return false;
            }
        }
        let mut sum = FailedRequest {
            client: None,
            forwarded_for: None,
            path: request.path.as_deref().map(template),
            ..request.clone()
        };
        let shape = |sum: &FailedRequest| {
            let (method, path) = (sum.method.clone(), sum.path.clone());
            let proxy = sum.proxy.name.to_string();
            (incident, proxy, sum.status, sum.failure, method, path)
        };
        let mut key = shape(&sum);
        if self.sums.len() >= MAX_SUMS && !self.sums.contains_key(&key) {
            (sum.method, sum.path) = (None, None);
            key = shape(&sum);
        }
        let count = self.sums.get(&key).map_or(0, |(_, known)| known.count);
        sum.count = sum.count.saturating_add(count);
        self.sums.insert(key, (at, sum));
        true
    }
}

fn second(at: WallTime) -> i64 {
    at.0.div_euclid(NS_PER_SECOND)
}

/// A request's status as the tag of its line.
pub(super) fn tag(request: &FailedRequest) -> String {
    match (request.status, request.failure) {
        (Some(status), _) => status.to_string(),
        (None, Failure::ClientGone) => "499".to_owned(),
        (None, _) => "NOANS".to_owned(),
    }
}

/// `GET /x ← 203.0.113.9 → api 127.0.0.1:3000: connection refused (upstream died 4.37 ms earlier: …)`
pub(super) fn rest(request: &FailedRequest) -> String {
    let mut rest = String::new();
    let path = request.path.as_deref().map(|path| cell(path, PATH_COLUMNS));
    // Writing to a String can't fail.
    let _ = match (request.method.as_deref().map(name), path) {
        (Some(method), Some(path)) => write!(rest, "{method} {path}"),
        (None, Some(path)) => write!(rest, "{path}"),
        (Some(method), None) => write!(rest, "{method}"),
        (None, None) if request.count == 1 => write!(rest, "a request"),
        (None, None) => write!(rest, "{}", counted(request.count, "request", "requests")),
    };
    if request.count > 1 && !rest.starts_with(|c: char| c.is_ascii_digit()) {
        let _ = write!(rest, " ×{}", request.count);
    }
    if let Some(client) = request.forwarded_for.as_ref().or(request.client.as_ref()) {
        let _ = write!(rest, " ← {}", name(client));
    }
    if let Some(upstream) = &request.upstream {
        rest.push_str(match request.confidence {
            Some(Confidence::Guess) => " → probably ",
            _ => " → ",
        });
        if let Some(service) = upstream.service.as_deref() {
            let _ = write!(rest, "{} ", name(service));
        }
        rest.push_str(&address(&upstream.address));
    }
    let death = request.because.as_ref().and_then(|because| because.cause);
    if let Some(failure) = wording::failure(request.failure, request.status, death) {
        let _ = write!(rest, ": {failure}");
    }
    if let Some(because) = &request.because {
        let _ = write!(rest, " ({})", wording::behind(request.failure, because));
    }
    rest
}
