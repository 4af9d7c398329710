//! One incident as it unfolds: cause, effects, recovery.

use std::sync::Arc;

use tracer_model::{Endpoint, FailedRequest, IncidentState, WallTime, template};

/// Steps kept of each part of an incident's story; further ones are counted.
const MAX_STEPS: usize = 32;
/// Kinds of failed requests kept while it is open.
const MAX_TEMPLATES: usize = 50;

/// Something that happened in an incident.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// When first.
    pub(crate) at: WallTime,
    /// Who and what, not yet escaped.
    pub(crate) text: String,
    /// How often.
    pub(crate) count: u64,
    /// Where it happened, if steps at different places are to be distinguished.
    address: Option<Endpoint>,
}

/// Steps of one kind, and how many there was no room for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    pub(crate) list: Vec<Step>,
    pub(crate) more: u64,
}

impl Steps {
    pub(super) fn add(&mut self, at: WallTime, text: String) {
        self.count(at, text, None, 1);
    }

    /// Adds a step; if the same happened at the same address before, only counts it.
    pub(super) fn count(
        &mut self,
        at: WallTime,
        text: String,
        address: Option<&Endpoint>,
        count: u64,
    ) {
        let same = |step: &&mut Step| step.address.as_ref() == address && step.text == text;
        if address.is_some()
            && let Some(known) = self.list.iter_mut().find(same)
        {
            known.count = known.count.saturating_add(count);
        } else if self.list.len() < MAX_STEPS {
            self.list.push(Step {
                at,
                text,
                count,
                address: address.cloned(),
            });
        } else {
            self.more = self.more.saturating_add(count);
        }
    }
}

/// Failed requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedKind {
    pub(crate) method: Option<String>,
    pub(crate) template: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) count: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Incident {
    pub(crate) id: u64,
    pub(crate) service: Arc<str>,
    /// The cause in words; empty while it is unknown.
    pub(crate) summary: String,
    pub(crate) open: bool,
    pub(crate) opened: WallTime,
    pub(crate) closed: Option<WallTime>,
    pub(crate) down_ms: Option<f64>,
    pub(crate) deaths: u64,
    pub(crate) crash_loop: bool,
    pub(crate) requests_failed: u64,
    pub(crate) connects_failed: u64,
    pub(crate) connections_cut: u64,
    pub(crate) advice: Vec<String>,
    pub(crate) causes: Steps,
    pub(crate) effects: Steps,
    pub(crate) recovery: Steps,
    /// Most first.
    pub(crate) failed: Vec<FailedKind>,
}

impl Incident {
    pub(super) fn new(id: u64, service: &Arc<str>, at: WallTime) -> Self {
        Self {
            id,
            service: Arc::clone(service),
            summary: String::new(),
            open: true,
            opened: at,
            closed: None,
            down_ms: None,
            deaths: 0,
            crash_loop: false,
            requests_failed: 0,
            connects_failed: 0,
            connections_cut: 0,
            advice: Vec::new(),
            causes: Steps::default(),
            effects: Steps::default(),
            recovery: Steps::default(),
            failed: Vec::new(),
        }
    }

    /// Takes over what analysis reports of it.
    pub(super) fn update(&mut self, incident: &tracer_model::Incident) {
        self.summary.clone_from(&incident.summary);
        self.open = incident.state == IncidentState::Open;
        self.opened = incident.opened;
        self.closed = incident.closed;
        self.down_ms = incident.down_ms;
        self.deaths = self.deaths.max(incident.deaths);
        self.crash_loop = incident.crash_loop;
        self.advice.clone_from(&incident.advice);
        // Analysis reports an incident when it opens and when it closes. In between, the effects are
        // counted here.
        if !self.open {
            self.requests_failed = incident.requests_failed;
            self.connects_failed = incident.connects_failed;
            self.connections_cut = incident.connections_cut;
        }
        if !incident.requests_by_template.is_empty() {
            self.failed = incident
                .requests_by_template
                .iter()
                .map(|kind| FailedKind {
                    method: kind.method.clone(),
                    template: kind.template.clone(),
                    status: kind.status,
                    count: kind.count,
                })
                .collect();
        }
    }

    /// A request failed because of it.
    pub(super) fn request_failed(&mut self, request: &FailedRequest) {
        self.requests_failed = self.requests_failed.saturating_add(request.count);
        let new = FailedKind {
            method: request.method.clone(),
            template: request.path.as_deref().map(template),
            status: request.status,
            count: 0,
        };
        let same = |kind: &FailedKind| {
            kind.method == new.method && kind.template == new.template && kind.status == new.status
        };
        let index = match self.failed.iter().position(same) {
            Some(index) => index,
            None if self.failed.len() < MAX_TEMPLATES => {
                self.failed.push(new);
                self.failed.len() - 1
            }
            None => return,
        };
        if let Some(kind) = self.failed.get_mut(index) {
            kind.count = kind.count.saturating_add(request.count);
        }
        // Stable: kinds of equal count keep their order.
        self.failed
            .sort_by_key(|kind| std::cmp::Reverse(kind.count));
    }
}
