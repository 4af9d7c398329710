//! Collects the findings of one incident.

use std::collections::{BTreeMap, BTreeSet};

use tracer_model::quantity::bytes;
use tracer_model::{
    Cause, ConnectFailure, Cut, FailedRequest, Incident, IncidentState, ListenerChange,
    LostRequest, LostRequests, WallTime, printable, template, wording,
};

use super::super::formatting::{ms, ms_between};
use super::super::model::{
    Alike, Capped, DeathAt, IncidentReport, MemoryStory, Phase, RequestsFailed,
};
use super::bounded::text;
use super::key::IncidentKey;
use super::memory;
use super::steps::Steps;

/// How many deaths are listed.
const MAX_DEATHS: usize = 20;
/// How many requests are listed.
const MAX_REQUESTS: usize = 100;
/// How many templates are kept apart.
const MAX_TEMPLATES: usize = 50;
/// How many addresses are followed.
const MAX_ADDRESSES: usize = 64;

type TemplateKey = (Option<String>, Option<String>, Option<u16>);

/// An incident so far.
#[derive(Debug)]
pub(super) struct Story {
    key: IncidentKey,
    began: WallTime,
    newest: Option<Box<Incident>>,
    deaths: Capped<DeathAt>,
    steps: Steps,
    alike: Option<Alike>,
    memory: Option<MemoryStory>,
    /// Addresses where nothing listens.
    down: BTreeSet<String>,
    /// Whether it has listeners, which show when it recovers.
    listens: bool,
    connects_failed: u64,
    connections_cut: u64,
    requests: u64,
    list: Vec<LostRequest>,
    templates: BTreeMap<TemplateKey, u64>,
}

impl Story {
    pub(super) fn new(key: IncidentKey, began: WallTime) -> Self {
        Self {
            key,
            began,
            newest: None,
            deaths: Capped::default(),
            steps: Steps::default(),
            alike: None,
            memory: None,
            down: BTreeSet::new(),
            listens: false,
            connects_failed: 0,
            connections_cut: 0,
            requests: 0,
            list: Vec::new(),
            templates: BTreeMap::new(),
        }
    }

    /// What it cost, for comparison; open incidents weigh most.
    pub(super) fn weight(&self) -> (bool, u64, u64, u64) {
        let open = self
            .newest
            .as_ref()
            .is_none_or(|newest| newest.state == IncidentState::Open);
        let newest = self.newest.as_deref();
        let requests = newest.map_or(0, |it| it.requests_failed).max(self.requests);
        let deaths = newest.map_or(0, |it| it.deaths);
        let connects = newest.map_or(0, |it| it.connects_failed);
        (open, requests, connects, deaths)
    }

    pub(super) fn death(&mut self, death: DeathAt, oom: Option<DeathAt>, alike: Option<Alike>) {
        if self.deaths.items.is_empty() {
            self.memory = memory::story(&death.death, alike.as_ref());
            self.alike = alike;
        }
        if let Some(oom) = oom {
            self.steps.once(oom.at, Phase::Cause, chosen(&oom));
        }
        let process = &death.death.process;
        let what = format!(
            "{}[{}] {}",
            printable(&process.comm),
            process.pid,
            printable(&death.death.why)
        );
        self.steps.once(death.at, Phase::Cause, what);
        self.deaths.push(death, MAX_DEATHS);
    }

    pub(super) fn listener(&mut self, at: WallTime, change: &ListenerChange, up: bool) {
        self.listens = true;
        let address = text(&change.address.to_string());
        if !up {
            let what = format!("{} stopped listening", printable(&address));
            self.steps.once(at, Phase::Effect, what);
            if self.down.len() < MAX_ADDRESSES {
                self.down.insert(address);
            }
            return;
        }
        self.down.remove(&address);
        let mut what = format!("{} listening again", printable(&address));
        if let Some(down_ms) = change.down_ms {
            what = format!("{what} after {}", ms(down_ms));
        }
        if let Some(process) = &change.process {
            what = format!("{what}, {}[{}]", printable(&process.comm), process.pid);
        }
        self.steps.once(at, Phase::Recovery, what);
    }

    pub(super) fn connect_failed(&mut self, at: WallTime, failure: &ConnectFailure) {
        self.connects_failed += failure.count;
        self.steps.connect_failed(at, failure);
    }

    pub(super) fn cut(&mut self, at: WallTime, cut: &Cut) {
        self.connections_cut += cut.count;
        self.steps.cut(at, cut);
    }

    pub(super) fn request(&mut self, at: WallTime, request: &FailedRequest) {
        self.requests += request.count;
        self.steps.request(at, request);
        if request.count > 1 {
            // Counted, not shown in detail: there is nothing to list.
            return;
        }
        let path = request.path.as_deref().map(text);
        let method = request.method.as_deref().map(text);
        let key = (
            method.clone(),
            path.as_deref().map(template),
            request.status,
        );
        if self.templates.len() < MAX_TEMPLATES || self.templates.contains_key(&key) {
            *self.templates.entry(key).or_default() += 1;
        }
        if self.list.len() < MAX_REQUESTS {
            self.list.push(LostRequest {
                at,
                client: request.client.as_deref().map(text),
                method,
                path,
                status: request.status,
                failure: request.failure,
            });
        }
    }

    pub(super) fn incident(&mut self, incident: &Incident) {
        if incident.state == IncidentState::Closed
            && let Some(at) = incident.closed
        {
            let what = match incident.down_ms {
                Some(down_ms) => format!("recovered, down for {}", ms(down_ms)),
                None => "closed; the service was never down".to_owned(),
            };
            self.steps.once(at, Phase::Recovery, what);
        }
        self.newest = Some(Box::new(incident.clone()));
    }

    /// The incident's part of the report; `to` is the time of the last finding. None if its beginning is
    /// not among the findings, and so its service is unknown.
    pub(super) fn finish(self, to: WallTime) -> Option<IncidentReport> {
        let newest = self.newest.as_deref();
        let first = self.deaths.items.first();
        let service = newest
            .map(|it| &it.service)
            .or_else(|| first.map(|it| &it.death.service))?
            .clone();
        let cause = newest
            .map(|it| it.cause)
            .or_else(|| first.map(|it| it.death.cause))
            .unwrap_or(Cause::Unknown);
        let opened = newest.map_or(self.began, |it| it.opened);
        let state = newest.map_or(IncidentState::Open, |it| it.state);
        let still_down = state == IncidentState::Open && !(self.listens && self.down.is_empty());
        let down_ms = if still_down {
            Some(ms_between(opened, to))
        } else {
            newest.and_then(|it| it.down_ms)
        };
        let deaths_total = newest.map_or(0, |it| it.deaths).max(listed(&self.deaths));
        let count = newest.map_or(0, |it| it.requests_failed).max(self.requests);
        let requests = requests(count, newest, self.requests, self.list, self.templates);
        Some(IncidentReport {
            session: self.key.0,
            id: self.key.1,
            cause,
            summary: newest
                .map_or_else(|| wording::cause(cause).to_owned(), |it| text(&it.summary)),
            opened,
            closed: newest.and_then(|it| it.closed),
            state,
            down_ms,
            crash_loop: newest.is_some_and(|it| it.crash_loop),
            deaths_total,
            deaths: self.deaths,
            timeline: self.steps.finish(),
            requests,
            connects_failed: newest
                .map_or(0, |it| it.connects_failed)
                .max(self.connects_failed),
            connections_cut: newest
                .map_or(0, |it| it.connections_cut)
                .max(self.connections_cut),
            alike: self.alike,
            memory: self.memory,
            unseen: Vec::new(),
            advice: newest.map_or_else(Vec::new, |it| {
                it.advice.iter().map(|advice| text(advice)).collect()
            }),
            service,
        })
    }
}

fn listed(deaths: &Capped<DeathAt>) -> u64 {
    deaths.items.len() as u64 + deaths.left_out
}

/// The list in the incident's own finding if that counts more requests (the first findings may be
/// missing here), else the list made from single findings (the last may be missing there).
fn requests(
    count: u64,
    newest: Option<&Incident>,
    seen: u64,
    list: Vec<LostRequest>,
    templates: BTreeMap<TemplateKey, u64>,
) -> RequestsFailed {
    let (list, mut by_template) = match newest {
        Some(it) if it.requests_failed > seen => {
            (it.requests.clone(), it.requests_by_template.clone())
        }
        _ => {
            let templates = templates
                .into_iter()
                .map(|((method, template, status), count)| LostRequests {
                    method,
                    template,
                    status,
                    count,
                })
                .collect();
            (list, templates)
        }
    };
    by_template.sort_by_key(|kind| std::cmp::Reverse(kind.count));
    let in_templates: u64 = by_template.iter().map(|kind| kind.count).sum();
    RequestsFailed {
        count,
        list: Capped {
            left_out: count.saturating_sub(list.len() as u64),
            items: list,
        },
        by_template: Capped {
            items: by_template,
            left_out: count.saturating_sub(in_templates),
        },
    }
}

/// Describes the OOM killer's choice.
fn chosen(oom: &DeathAt) -> String {
    let death = &oom.death;
    let process = &death.process;
    let mut what = format!(
        "the OOM killer chose {}[{}]",
        printable(&process.comm),
        process.pid
    );
    if let Some(limit) = death.memory.limit_bytes {
        what = format!("{what}: limit {} reached", bytes(limit));
    }
    if let Some(trigger) = death.trigger.as_ref().filter(|it| it.pid != process.pid) {
        what = format!(
            "{what}, triggered by {}[{}]",
            printable(&trigger.comm),
            trigger.pid
        );
    }
    what
}
