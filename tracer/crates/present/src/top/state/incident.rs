//! One incident as it unfolds: cause, effects, recovery.

use std::sync::Arc;

use tracer_model::{Endpoint, FailedRequest, IncidentState, WallTime, template};

/// Steps kept of each part of an incident's story; what is more is counted.
const MAX_STEPS: usize = 32;
/// Kinds of lost requests kept while it is open.
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
    /// Where it happened, when that tells it from others.
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

    /// The same thing again only counts.
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

/// Lost requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
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
    /// The cause in words, empty until it is known.
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
    pub(crate) lost: Vec<Lost>,
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
            lost: Vec::new(),
        }
    }

    /// As analysis has it now.
    pub(super) fn told(&mut self, incident: &tracer_model::Incident) {
        self.summary.clone_from(&incident.summary);
        self.open = incident.state == IncidentState::Open;
        self.opened = incident.opened;
        self.closed = incident.closed;
        self.down_ms = incident.down_ms;
        self.deaths = self.deaths.max(incident.deaths);
        self.crash_loop = incident.crash_loop;
        self.advice.clone_from(&incident.advice);
        // While it is open its findings are counted here, and analysis tells of it only at its ends.
        if !self.open {
            self.requests_failed = incident.requests_failed;
            self.connects_failed = incident.connects_failed;
            self.connections_cut = incident.connections_cut;
        }
        if !incident.requests_by_template.is_empty() {
            self.lost = incident
                .requests_by_template
                .iter()
                .map(|lost| Lost {
                    method: lost.method.clone(),
                    template: lost.template.clone(),
                    status: lost.status,
                    count: lost.count,
                })
                .collect();
        }
    }

    /// A request failed because of it.
    pub(super) fn lost(&mut self, request: &FailedRequest) {
        self.requests_failed = self.requests_failed.saturating_add(request.count);
        let new = Lost {
            method: request.method.clone(),
            template: request.path.as_deref().map(template),
            status: request.status,
            count: 0,
        };
        let same = |lost: &Lost| {
            lost.method == new.method && lost.template == new.template && lost.status == new.status
        };
        let index = match self.lost.iter().position(same) {
            Some(index) => index,
            None if self.lost.len() < MAX_TEMPLATES => {
                self.lost.push(new);
                self.lost.len() - 1
            }
            None => return,
        };
        if let Some(lost) = self.lost.get_mut(index) {
            lost.count = lost.count.saturating_add(request.count);
        }
        // Stable: kinds that are as many stay in their order.
        self.lost.sort_by_key(|lost| std::cmp::Reverse(lost.count));
    }
}
