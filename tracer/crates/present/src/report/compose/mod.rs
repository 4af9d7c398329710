//! Composes a report from a stream of findings, in one pass and in bounded memory.
//!
//! Every list has a limit; items beyond it are counted. If there are too many incidents, the
//! stories of the least costly ones are dropped, but their numbers stay in the totals.

mod bounded;
mod failures;
mod gaps;
mod history;
mod key;
mod lanes;
mod memory;
mod services;
mod statistics;
mod steps;
mod story;
mod ticks;

use std::collections::{BTreeMap, VecDeque};

use tracer_model::{
    Body, Cause, ConnectFailure, Cut, Death, End, FailedRequest, Finding, Incident, IncidentState,
    ListenerChange, Start, WallTime,
};

use self::bounded::{death_at, text};
use self::failures::Failures;
use self::gaps::Gaps;
use self::history::History;
use self::key::IncidentKey;
use self::lanes::Lanes;
use self::services::Services;
use self::story::Story;
use super::model::{
    Capped, DeathAt, IncidentReport, Mark, REPORT_VERSION, Report, Session, Totals,
};

/// How many sessions are listed.
const MAX_SESSIONS: usize = 64;
/// How many incidents are reported in full.
const MAX_INCIDENTS: usize = 200;
/// How many deaths without an incident are listed.
const MAX_DEATHS: usize = 200;
/// How many marks are listed.
const MAX_MARKS: usize = 200;
/// How many OOM victims may wait for their death to be reported.
const MAX_PENDING: usize = 64;

/// Takes findings and composes a report.
#[derive(Debug, Default)]
pub struct Composer {
    from: Option<WallTime>,
    to: Option<WallTime>,
    sessions: Capped<Session>,
    /// Number of the current session, from 1.
    session: usize,
    boot_id: Option<String>,
    totals: Totals,
    stories: BTreeMap<IncidentKey, Story>,
    /// Incidents whose stories were dropped.
    dropped: u64,
    /// OOM victims whose death is not reported yet, newest last.
    pending: VecDeque<DeathAt>,
    deaths: Capped<DeathAt>,
    failures: Failures,
    history: History,
    services: Services,
    lanes: Lanes,
    marks: Capped<Mark>,
    gaps: Gaps,
}

impl Composer {
    /// A composer that has seen no findings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The boot id of the sessions that follow.
    pub fn boot_id(&mut self, id: &str) {
        self.boot_id = Some(text(id));
    }

    /// Notes that the input is damaged or ends early: `what` says where, in one sentence.
    pub fn damaged(&mut self, what: &str) {
        self.gaps.damaged(text(what));
    }

    /// Takes the next finding.
    pub fn finding(&mut self, finding: &Finding) {
        let at = finding.at;
        // An incident may have begun before the first finding; nothing happens after the last.
        self.from = self.from.or(Some(at));
        self.to = self.to.max(Some(at));
        match &finding.body {
            Body::Start(start) => self.start(at, start),
            Body::Oom(death) => self.oom(at, death),
            Body::Death(death) => self.death(at, death),
            Body::ListenerDown(change) => self.listener(at, change, false),
            Body::ListenerUp(change) => self.listener(at, change, true),
            Body::ConnectFailed(failure) => self.connect_failed(at, failure),
            Body::ConnectionCut(cut) => self.cut(at, cut),
            Body::RequestFailed(request) => self.request(at, request),
            Body::Incident(incident) => self.incident(at, incident),
            Body::Mark(mark) => {
                let label = text(&mark.label);
                self.marks.push(Mark { at, label }, MAX_MARKS);
            }
            Body::Lost(lost) => {
                self.totals.events_lost += lost.count;
                self.gaps.lost(lost, at);
            }
            Body::End(end) => self.end(at, end),
        }
    }

    fn start(&mut self, at: WallTime, start: &Start) {
        self.end_session();
        self.session += 1;
        self.gaps.started(start);
        let session = Session {
            started: Some(at),
            ended: None,
            host: Some(text(&start.host)),
            boot_id: self.boot_id.clone(),
            kernel: Some(text(&start.kernel)),
            version: Some(text(&start.version)),
            hooks: start.hooks.clone(),
        };
        self.sessions.push(session, MAX_SESSIONS);
    }

    fn end(&mut self, at: WallTime, end: &End) {
        self.gaps.ended(end);
        let current = self.sessions.items.last_mut();
        if let Some(session) = current.filter(|_| self.sessions.left_out == 0) {
            session.ended = Some(at);
        }
        self.end_session();
    }

    /// OOM victims that are still pending will not be reported dead: the session is over.
    fn end_session(&mut self) {
        for chosen in self.pending.drain(..) {
            self.gaps.unconfirmed(&chosen);
        }
    }

    fn oom(&mut self, at: WallTime, death: &Death) {
        if self.pending.len() == MAX_PENDING
            && let Some(oldest) = self.pending.pop_front()
        {
            self.gaps.unconfirmed(&oldest);
        }
        self.pending.push_back(death_at(at, death));
    }

    fn death(&mut self, at: WallTime, death: &Death) {
        let pid = death.process.pid;
        let chosen = self
            .pending
            .iter()
            .position(|oom| oom.death.process.pid == pid)
            .and_then(|index| self.pending.remove(index));
        let service = self.services.of(&death.service.name);
        if death.cause == Cause::Clean {
            self.totals.clean_exits += 1;
        } else {
            self.totals.deaths += 1;
            service.died(death.cause);
        }
        if matches!(death.cause, Cause::OomCgroup | Cause::OomGlobal) {
            self.totals.oom_kills += 1;
        }
        self.lanes.death(at, death);
        let entry = death_at(at, death);
        match death.incident {
            Some(id) => {
                let alike = self.history.before(&entry, (self.session, id));
                let story = self.story(at, id);
                story.death(entry.clone(), chosen, alike);
            }
            None => self.deaths.push(entry.clone(), MAX_DEATHS),
        }
        let incident = death.incident.map(|id| (self.session, id));
        self.history.push(&entry, incident);
    }

    fn listener(&mut self, at: WallTime, change: &ListenerChange, up: bool) {
        let Some(id) = change.incident else { return };
        self.lanes.listener(at, change, up);
        self.story(at, id).listener(at, change, up);
    }

    fn connect_failed(&mut self, at: WallTime, failure: &ConnectFailure) {
        self.totals.connects_failed += failure.count;
        if let Some(service) = failure.upstream.service.as_deref() {
            self.services.of(service).connects_failed += failure.count;
        }
        self.lanes.connect_failed(at, failure);
        if let Some(because) = &failure.because {
            self.story(at, because.incident).connect_failed(at, failure);
        }
    }

    fn cut(&mut self, at: WallTime, cut: &Cut) {
        self.totals.connections_cut += cut.count;
        self.services.of(&cut.service.name).connections_cut += cut.count;
        self.lanes.cut(at, cut);
        if let Some(id) = cut.incident {
            self.story(at, id).cut(at, cut);
        }
    }

    fn request(&mut self, at: WallTime, request: &FailedRequest) {
        self.totals.requests_failed += request.count;
        let upstream = request.upstream.as_ref();
        let meant_for = upstream
            .and_then(|upstream| upstream.service.as_deref())
            .unwrap_or(&request.proxy.name);
        self.services.of(meant_for).requests_failed += request.count;
        self.lanes.request(at, meant_for, request);
        if let Some(because) = &request.because {
            self.totals.because_of_deaths += request.count;
            self.story(at, because.incident).request(at, request);
        } else {
            self.failures.push(at, request);
        }
    }

    fn incident(&mut self, at: WallTime, incident: &Incident) {
        self.lanes.incident(incident);
        self.story(at, incident.id).incident(incident);
    }

    /// The story of an incident of this session; a new one if the incident is new.
    fn story(&mut self, at: WallTime, id: u64) -> &mut Story {
        let key = (self.session, id);
        if !self.stories.contains_key(&key) && self.stories.len() >= MAX_INCIDENTS {
            self.drop_one();
        }
        self.stories
            .entry(key)
            .or_insert_with(|| Story::new(key, at))
    }

    /// Drops the story of the least costly incident; one that is closed if there is any.
    fn drop_one(&mut self) {
        let least = self
            .stories
            .iter()
            .min_by_key(|(key, story)| (story.weight(), **key))
            .map(|(key, _)| *key);
        if let Some(story) = least.and_then(|key| self.stories.remove(&key))
            && let Some(report) = story.finish(self.to.unwrap_or_default())
        {
            self.dropped += 1;
            count(&mut self.totals, &mut self.services, &report);
        }
    }

    /// Returns the report.
    pub fn finish(mut self) -> Report {
        self.end_session();
        let to = self.to.unwrap_or_default();
        let mut incidents = Capped {
            items: Vec::new(),
            left_out: self.dropped,
        };
        for story in std::mem::take(&mut self.stories).into_values() {
            let Some(mut report) = story.finish(to) else {
                continue;
            };
            count(&mut self.totals, &mut self.services, &report);
            let until = report.closed.unwrap_or(to);
            report.unseen = self.gaps.within(report.opened, until);
            incidents.items.push(report);
        }
        incidents
            .items
            .sort_by_key(|report| (report.opened, report.session, report.id));
        let cut_short = self.session > 0 && !self.gaps.has_end();
        let lanes = self.lanes.finish(to, &self.marks.items);
        Report {
            v: REPORT_VERSION,
            from: self.from,
            to: self.to,
            sessions: self.sessions,
            deployment: None,
            marks: self.marks,
            totals: self.totals,
            services: self.services.finish(),
            incidents,
            deaths: self.deaths,
            failures: self.failures.finish(),
            unseen: self.gaps.finish(cut_short),
            lanes,
        }
    }
}

/// Adds an incident to the totals.
fn count(totals: &mut Totals, services: &mut Services, report: &IncidentReport) {
    let down = report.down_ms.unwrap_or(0.0);
    let open = report.state == IncidentState::Open;
    totals.incidents += 1;
    totals.incidents_open += u64::from(open);
    totals.down_ms += down;
    let service = services.of(&report.service.name);
    service.incidents += 1;
    service.down_ms += down;
    service.open |= open;
}
