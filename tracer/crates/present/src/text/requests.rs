//! Lines of failed requests. Of those with one cause the first twenty of a second have a line each;
//! the rest of that second are one line per template, shown when something later is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use tracer_model::{Confidence, FailedRequest, Failure, Finding, WallTime, template};

use super::{EFFECT, Text, address, counted, why};
use crate::cell::{cell, name};

/// Lines of one cause and second before the rest is summed up.
const MAX_LINES: u32 = 20;
/// Sums of one second; what has no room is summed up without a template.
const MAX_SUMS: usize = 64;
const PATH_COLUMNS: usize = 120;
const NS_PER_SECOND: i64 = 1_000_000_000;

/// What has the same template.
type Shape = (
    Option<u64>,
    String,
    Option<u16>,
    Failure,
    Option<String>,
    Option<String>,
);

/// The lines of the present second.
#[derive(Debug, Default)]
pub(super) struct Storm {
    second: i64,
    /// Lines shown, by incident.
    shown: BTreeMap<Option<u64>, u32>,
    sums: BTreeMap<Shape, (WallTime, FailedRequest)>,
}

impl Storm {
    /// Whether a finding ends the second whose requests are summed up.
    pub(super) fn is_over(&self, finding: &Finding) -> bool {
        let is_request = matches!(finding.body, tracer_model::Body::RequestFailed(_));
        !self.sums.is_empty() && (!is_request || second(finding.at) > self.second)
    }

    fn take(&mut self) -> Vec<(WallTime, FailedRequest)> {
        std::mem::take(&mut self.sums).into_values().collect()
    }

    /// Whether the request is summed up instead of shown.
    fn takes_in(&mut self, at: WallTime, request: &FailedRequest) -> bool {
        if second(at) > self.second {
            self.second = second(at);
            self.shown.clear();
        }
        let incident = request.because.as_ref().map(|because| because.incident);
        if self.shown.len() < MAX_SUMS || self.shown.contains_key(&incident) {
            let shown = self.shown.entry(incident).or_default();
            if *shown < MAX_LINES {
                *shown += 1;
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

impl<W: Write> Text<W> {
    pub(super) fn request_failed(&mut self, at: WallTime, request: &FailedRequest) {
        if !self.storm.takes_in(at, request) {
            self.request_line(at, request);
        }
    }

    /// Shows what was summed up.
    pub(super) fn storm_is_over(&mut self) {
        for (at, sum) in self.storm.take() {
            self.request_line(at, &sum);
        }
    }

    fn request_line(&mut self, at: WallTime, request: &FailedRequest) {
        let tag = match (request.status, request.failure) {
            (Some(status), _) => status.to_string(),
            (None, Failure::ClientGone) => "499".to_owned(),
            (None, _) => "NOANS".to_owned(),
        };
        self.event(at, &tag, EFFECT, &request.proxy.name, &rest(request));
    }
}

/// `GET /api/orders ← 203.0.113.9 → api.service 127.0.0.1:3000: refused (dead for …)`
fn rest(request: &FailedRequest) -> String {
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
    if let Some(failure) = in_words(request.failure) {
        let _ = write!(rest, ": {failure}");
    }
    if let Some(because) = &request.because {
        let _ = write!(rest, " ({})", why(because));
    }
    rest
}

fn in_words(failure: Failure) -> Option<&'static str> {
    Some(match failure {
        Failure::Refused => "refused",
        Failure::Timeout => "timed out",
        Failure::Unreachable => "unreachable",
        Failure::NoSocketFile => "no socket file",
        Failure::BacklogFull => "backlog full",
        Failure::PermissionDenied => "permission denied",
        Failure::Cut => "cut while it worked on it",
        Failure::Reset => "reset while it worked on it",
        Failure::NoLiveUpstreams => "no live upstreams",
        Failure::Answered => "answered so itself",
        Failure::ProxyClosed => "the proxy closed the connection",
        Failure::ProxyDied => "the proxy died",
        Failure::ClientGone => "the client went away",
        Failure::Unknown => return None,
    })
}
