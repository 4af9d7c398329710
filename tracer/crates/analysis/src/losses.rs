//! Counts failed requests: per incident, with the first ones in detail, and per service.

use std::collections::BTreeMap;

use tracer_model::{LostRequest, LostRequests, Service, ServiceLoss, template};

use super::world::{ServiceKey, key_of};

/// Requests of an incident that are kept in detail.
const MAX_FIRST: usize = 100;
/// Templates that an incident counts separately; further requests are counted without a template.
const MAX_TEMPLATES: usize = 128;
/// Templates that a finding lists.
const SHOWN_TEMPLATES: usize = 50;
/// Services that are ranked; requests of further services are only in the totals.
const MAX_RANKED: usize = 4096;
/// Services that a finding lists.
const SHOWN_RANKS: usize = 20;

/// Method, template, status.
type Shape = (Option<String>, Option<String>, Option<u16>);

/// The requests that failed because of one incident.
#[derive(Default)]
pub(super) struct Lost {
    count: u64,
    first: Vec<LostRequest>,
    shapes: BTreeMap<Shape, u64>,
}

impl Lost {
    /// Counts `request`; `count` is more than 1 for requests without details.
    pub(super) fn add(&mut self, request: LostRequest, count: u64) {
        self.count = self.count.saturating_add(count);
        let mut shape = (
            request.method.clone(),
            request.path.as_deref().map(template),
            request.status,
        );
        if self.shapes.len() >= MAX_TEMPLATES && !self.shapes.contains_key(&shape) {
            shape = (None, None, request.status);
        }
        let shape = self.shapes.entry(shape).or_default();
        *shape = shape.saturating_add(count);
        if self.first.len() < MAX_FIRST && count == 1 {
            self.first.push(request);
        }
    }

    /// Their exact number.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The first of them.
    pub(super) fn first(&self) -> Vec<LostRequest> {
        self.first.clone()
    }

    /// All of them by template, most first.
    pub(super) fn by_template(&self) -> Vec<LostRequests> {
        let mut all: Vec<_> = self.shapes.iter().collect();
        all.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        all.truncate(SHOWN_TEMPLATES);
        all.into_iter()
            .map(|((method, template, status), count)| LostRequests {
                method: method.clone(),
                template: template.clone(),
                status: *status,
                count: *count,
            })
            .collect()
    }
}

/// Services by failed requests.
#[derive(Default)]
pub(super) struct Ranking(BTreeMap<ServiceKey, ServiceLoss>);

impl Ranking {
    /// Counts requests that were meant for `service`. `explained`: a death explains them.
    pub(super) fn add(&mut self, service: &Service, count: u64, explained: bool) {
        let key = key_of(service);
        if self.0.len() >= MAX_RANKED && !self.0.contains_key(&key) {
            return;
        }
        let loss = self.0.entry(key).or_insert_with(|| ServiceLoss {
            service: service.clone(),
            requests_failed: 0,
            because_of_deaths: 0,
        });
        loss.requests_failed = loss.requests_failed.saturating_add(count);
        if explained {
            loss.because_of_deaths = loss.because_of_deaths.saturating_add(count);
        }
    }

    /// Most first.
    pub(super) fn most(&self) -> Vec<ServiceLoss> {
        let mut all: Vec<&ServiceLoss> = self.0.values().collect();
        // Stable: services with equal numbers stay in the order of their names.
        all.sort_by_key(|loss| std::cmp::Reverse(loss.requests_failed));
        all.into_iter().take(SHOWN_RANKS).cloned().collect()
    }
}
