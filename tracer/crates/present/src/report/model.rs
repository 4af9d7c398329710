//! What a report says, whichever form it takes. Only data: `build` fills it, the writers show it.
//!
//! Text in here is raw, as the findings had it: every writer escapes all of it in its own way.

use serde::Serialize;

use tracer_model::{
    Cause, Death, Failure, Hook, IncidentState, LostRequest, LostRequests, Service, WallTime,
};

use crate::deploy::model::Verdict;

/// Value of `v` in a report's JSON.
pub const REPORT_VERSION: u32 = 1;

/// A list that was kept short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capped<T> {
    /// The first of them.
    pub items: Vec<T>,
    /// How many more there were.
    pub left_out: u64,
}

impl<T> Default for Capped<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            left_out: 0,
        }
    }
}

impl<T> Capped<T> {
    /// Whether there was nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.left_out == 0
    }

    /// Keeps `item` unless there are `most` already.
    pub(super) fn push(&mut self, item: T, most: usize) {
        if self.items.len() < most {
            self.items.push(item);
        } else {
            self.left_out += 1;
        }
    }

    /// Forgets all but the first `most`.
    pub(super) fn truncate(&mut self, most: usize) {
        let over = self.items.len().saturating_sub(most);
        self.items.truncate(most);
        self.left_out = self.left_out.saturating_add(over as u64);
    }
}

/// A postmortem.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub v: u32,
    /// When the first finding was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<WallTime>,
    /// When the last was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<WallTime>,
    /// Runs of the tracer, in order.
    pub sessions: Capped<Session>,
    /// The verdict on a deployment, when it is one's record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Box<Verdict>>,
    /// Instants that somebody marked.
    #[serde(skip_serializing_if = "Capped::is_empty")]
    pub marks: Capped<Note>,
    /// Sums over everything.
    pub totals: Totals,
    /// Services that lost something: most requests lost first, then longest down.
    pub services: Capped<ServiceLosses>,
    /// Incidents, in order. When there are too many, those that cost least are left out.
    pub incidents: Capped<IncidentReport>,
    /// Deaths that belong to no incident.
    pub deaths: Capped<DeathAt>,
    /// Failed requests that belong to no incident, most first.
    pub failures: Capped<FailureGroup>,
    /// What was not seen.
    pub unseen: Vec<Unseen>,
    /// What the picture shows.
    #[serde(skip)]
    pub lanes: Capped<Lane>,
}

/// One run of the tracer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Session {
    /// When its hooks were armed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<WallTime>,
    /// When it stopped; left out when its end was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<WallTime>,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The boot's id, where the input tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// `uname -r`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Version of the tracer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Hooks and how they were got.
    pub hooks: Vec<Hook>,
}

/// Sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Incidents.
    pub incidents: u64,
    /// Of those, how many were not over when the findings ended.
    pub incidents_open: u64,
    /// Deaths that nobody asked for.
    pub deaths: u64,
    /// Of those, how many the kernel's OOM killer caused.
    pub oom_kills: u64,
    /// Processes that ended as they should.
    pub clean_exits: u64,
    /// Requests that failed.
    pub requests_failed: u64,
    /// Of those, how many a death explains.
    pub because_of_deaths: u64,
    /// Connects that failed.
    pub connects_failed: u64,
    /// Connections cut.
    pub connections_cut: u64,
    /// Time that services were down, all added up, ms.
    pub down_ms: f64,
    /// Events lost.
    pub events_lost: u64,
}

/// A mark in the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    /// When.
    pub at: WallTime,
    /// What it says.
    pub label: String,
}

/// What a service lost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceLosses {
    /// Its name.
    pub name: String,
    /// Requests that were meant for it and failed (of a proxy: those without a known upstream).
    pub requests_failed: u64,
    /// How long it was down, ms.
    pub down_ms: f64,
    /// Incidents.
    pub incidents: u64,
    /// Whether one of them was not over when the findings ended.
    pub open: bool,
    /// Deaths that nobody asked for.
    pub deaths: u64,
    /// Connects to it that failed.
    pub connects_failed: u64,
    /// Connections of it that were cut.
    pub connections_cut: u64,
    /// Causes of its deaths, most frequent first.
    pub causes: Vec<Cause>,
}

/// A death and when it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeathAt {
    /// When.
    pub at: WallTime,
    /// What.
    #[serde(flatten)]
    pub death: Box<Death>,
}

/// An incident, told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IncidentReport {
    /// The run of the tracer it was in, counted from 1.
    pub session: usize,
    /// Its number in that run.
    pub id: u64,
    /// The service.
    pub service: Service,
    /// Cause of the first death.
    pub cause: Cause,
    /// That cause in words.
    pub summary: String,
    /// When it began.
    pub opened: WallTime,
    /// When the service was back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<WallTime>,
    /// Closed, or open when the findings ended.
    pub state: IncidentState,
    /// How long it was down; while it is open, until the findings ended, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_ms: Option<f64>,
    /// Whether the service died again and again while it tried to come back.
    pub crash_loop: bool,
    /// Processes lost.
    pub deaths_total: u64,
    /// The first of them.
    pub deaths: Capped<DeathAt>,
    /// Cause, effects, recovery.
    pub timeline: Timeline,
    /// Requests lost.
    pub requests: RequestsLost,
    /// Connects that failed because of it.
    pub connects_failed: u64,
    /// Connections cut.
    pub connections_cut: u64,
    /// Earlier deaths of the same service with the same cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alike: Option<Alike>,
    /// Memory of the first death.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStory>,
    /// What was not seen of it.
    pub unseen: Vec<Unseen>,
    /// What to do, most useful first.
    pub advice: Vec<String>,
}

impl IncidentReport {
    /// The first death.
    pub fn first_death(&self) -> Option<&Death> {
        self.deaths.items.first().map(|first| &*first.death)
    }
}

/// Which part of an incident a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A death, and what announced it.
    Cause,
    /// What came of it.
    Effect,
    /// The way back.
    Recovery,
}

/// The steps of an incident; of a very long one, the middle is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Timeline {
    /// The first.
    pub first: Vec<Step>,
    /// How many between are left out.
    pub left_out: u64,
    /// The last; empty when nothing was left out.
    pub last: Vec<Step>,
}

/// A line of an incident's timeline; like effects of one stretch are one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When (the first of them).
    pub at: WallTime,
    /// When the last of them was, when there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<WallTime>,
    /// From the first step to this one, ms.
    pub after_ms: f64,
    /// Cause, effect or recovery.
    pub phase: Phase,
    /// How many.
    pub count: u64,
    /// What happened.
    pub what: String,
}

/// Requests that an incident cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RequestsLost {
    /// All of them.
    pub count: u64,
    /// By method, path template and status, most first.
    pub by_template: Capped<LostRequests>,
    /// The first of them.
    pub list: Capped<LostRequest>,
}

/// Deaths before an incident that look like its first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alike {
    /// How many.
    pub count: u64,
    /// The newest of them, oldest first.
    pub latest: Vec<AlikeDeath>,
    /// The usual time from one to the next (the median), this one included, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<f64>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlikeDeath {
    /// When.
    pub at: WallTime,
    /// How long the process had lived, ms.
    pub uptime_ms: u64,
    /// The memory it had: anonymous where known, else peak resident, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
}

/// Memory against its limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryStory {
    /// What it had: anonymous memory where known, else peak resident, bytes.
    pub used_bytes: u64,
    /// Peak resident set, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// The limit, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// The cgroup that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_cgroup: Option<String>,
    /// Used of the limit, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// The story in sentences.
    pub sentences: Vec<String>,
}

/// Failed requests of one kind that belong to no incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailureGroup {
    /// The proxy.
    pub proxy: String,
    /// The upstream's service or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How they failed.
    pub failure: Failure,
    /// How many.
    pub count: u64,
    /// The first.
    pub first: WallTime,
    /// The last.
    pub last: WallTime,
}

/// Something that was not seen, and so is missing from the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unseen {
    /// What kind of gap.
    pub gap: Gap,
    /// In words.
    pub what: String,
}

/// Kinds of gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// Nothing on this machine could have seen it.
    Blind,
    /// A hook was not got.
    Hook,
    /// Events were lost.
    Lost,
    /// Lines of proxies' logs were not read.
    Logs,
    /// The input is damaged or ends early.
    Input,
}

/// A service in the picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lane {
    /// Its name.
    pub service: String,
    /// Deaths.
    pub deaths: Capped<Mark>,
    /// Marks that somebody put; in a lane of their own.
    pub notes: Vec<Mark>,
    /// When it was down.
    pub downs: Capped<Span>,
    /// Requests that failed.
    pub requests: Vec<Tick>,
    /// Connects that failed and connections that were cut.
    pub connections: Vec<Tick>,
}

/// A death in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When.
    pub at: WallTime,
    /// What to say about it.
    pub what: String,
}

/// A time during which a service was down.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Since when.
    pub from: WallTime,
    /// Until when; none when it was not over.
    pub to: Option<WallTime>,
}

/// Effects so close together that one tick stands for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The first.
    pub at: WallTime,
    /// The last.
    pub until: WallTime,
    /// How many.
    pub count: u64,
    /// What it was, when it is only one (or one kind).
    pub what: Option<Box<str>>,
}
