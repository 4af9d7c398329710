//! The contents of a report, independent of its format. Only data: `compose` fills it, the writers
//! show it.
//!
//! Text is raw, as in the findings. Every writer escapes all of it as its format requires.

use serde::Serialize;

use tracer_model::{
    Cause, Death, Failure, Hook, IncidentState, LostRequest, LostRequests, Service, WallTime,
};

use crate::deploy::model::Verdict;

/// Value of `v` in a report's JSON.
pub const REPORT_VERSION: u32 = 1;

/// A list of limited length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capped<T> {
    /// The first items.
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
    /// Whether there was no item at all.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.left_out == 0
    }

    /// Adds `item`; if there are already `most`, only counts it.
    pub(super) fn push(&mut self, item: T, most: usize) {
        if self.items.len() < most {
            self.items.push(item);
        } else {
            self.left_out += 1;
        }
    }

    /// Keeps only the first `most` items and counts the others.
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
    /// Time of the first finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<WallTime>,
    /// Time of the last finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<WallTime>,
    /// The sessions, in order.
    pub sessions: Capped<Session>,
    /// The verdict, if this is the report of a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Box<Verdict>>,
    /// Deployment marks.
    #[serde(skip_serializing_if = "Capped::is_empty")]
    pub marks: Capped<Mark>,
    /// Totals over everything.
    pub totals: Totals,
    /// Services that something happened to: most failed requests first, then longest down.
    pub services: Capped<ServiceTotals>,
    /// Incidents, in order. If there are too many, the least costly ones are left out.
    pub incidents: Capped<IncidentReport>,
    /// Deaths without an incident.
    pub deaths: Capped<DeathAt>,
    /// Failed requests that no incident explains, most first.
    pub failures: Capped<FailureGroup>,
    /// Blind spots and losses.
    pub unseen: Vec<Unseen>,
    /// The lanes of the graphical timeline.
    #[serde(skip)]
    pub lanes: Capped<Lane>,
}

/// A session: one run of the tracer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Session {
    /// When its hooks were armed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<WallTime>,
    /// When it stopped; left out if the session has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<WallTime>,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The boot id, if the input has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// `uname -r`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Version of the tracer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The hooks and how they were armed.
    pub hooks: Vec<Hook>,
}

/// Totals over everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Incidents.
    pub incidents: u64,
    /// Of those, how many were open at the last finding.
    pub incidents_open: u64,
    /// Deaths, without requested stops.
    pub deaths: u64,
    /// Of those, how many the kernel's OOM killer caused.
    pub oom_kills: u64,
    /// Requested stops and clean exits.
    pub clean_exits: u64,
    /// Requests that failed.
    pub requests_failed: u64,
    /// Of those, how many a death explains.
    pub because_of_deaths: u64,
    /// Connects that failed.
    pub connects_failed: u64,
    /// Connections cut.
    pub connections_cut: u64,
    /// Time that services were down, summed over services, ms.
    pub down_ms: f64,
    /// Events lost.
    pub events_lost: u64,
}

/// A deployment mark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// When.
    pub at: WallTime,
    /// What it says.
    pub label: String,
}

/// Totals of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceTotals {
    /// Its name.
    pub name: String,
    /// Failed requests that were meant for it (for a proxy: those whose upstream is unknown).
    pub requests_failed: u64,
    /// How long it was down, ms.
    pub down_ms: f64,
    /// Incidents.
    pub incidents: u64,
    /// Whether one of them was open at the last finding.
    pub open: bool,
    /// Deaths, without requested stops.
    pub deaths: u64,
    /// Connects to it that failed.
    pub connects_failed: u64,
    /// Its connections that were cut.
    pub connections_cut: u64,
    /// Causes of its deaths, most frequent first.
    pub causes: Vec<Cause>,
}

/// A death and its time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeathAt {
    /// When.
    pub at: WallTime,
    /// The death.
    #[serde(flatten)]
    pub death: Box<Death>,
}

/// An incident in a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IncidentReport {
    /// Its session, counted from 1.
    pub session: usize,
    /// Its id in that session.
    pub id: u64,
    /// The service.
    pub service: Service,
    /// Cause of the first death.
    pub cause: Cause,
    /// The cause in words.
    pub summary: String,
    /// When it began.
    pub opened: WallTime,
    /// When the service recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<WallTime>,
    /// Closed, or open at the last finding.
    pub state: IncidentState,
    /// How long the service was down, ms; if it is still down, until the last finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_ms: Option<f64>,
    /// Whether the service kept dying as it restarted.
    pub crash_loop: bool,
    /// How many processes died.
    pub deaths_total: u64,
    /// The first of these deaths.
    pub deaths: Capped<DeathAt>,
    /// Cause, effects, recovery.
    pub timeline: Timeline,
    /// Requests that failed because of it.
    pub requests: RequestsFailed,
    /// Connects that failed because of it.
    pub connects_failed: u64,
    /// Connections cut.
    pub connections_cut: u64,
    /// Earlier deaths of the same service with the same cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alike: Option<Alike>,
    /// The memory story of the first death.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStory>,
    /// What was lost while it was open.
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

/// Which part of an incident a step belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A death, or the OOM killer's choice before it.
    Cause,
    /// An effect of a death.
    Effect,
    /// A step of the recovery.
    Recovery,
}

/// The steps of an incident. The middle of a very long one is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Timeline {
    /// The first steps.
    pub first: Vec<Step>,
    /// How many steps are left out after them.
    pub left_out: u64,
    /// The last steps; empty if nothing was left out.
    pub last: Vec<Step>,
}

/// A line of an incident's timeline. Similar effects that follow each other are one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When; if merged, the time of the first.
    pub at: WallTime,
    /// If merged, the time of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<WallTime>,
    /// Time since the first step, ms.
    pub after_ms: f64,
    /// Cause, effect or recovery.
    pub phase: Phase,
    /// How many.
    pub count: u64,
    /// What happened.
    pub what: String,
}

/// Requests that failed because of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RequestsFailed {
    /// All of them.
    pub count: u64,
    /// By method, path template and status, most first.
    pub by_template: Capped<LostRequests>,
    /// The first of them.
    pub list: Capped<LostRequest>,
}

/// Earlier deaths of the same service with the same cause as an incident's first death.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alike {
    /// How many.
    pub count: u64,
    /// The latest of them, oldest first.
    pub latest: Vec<AlikeDeath>,
    /// The median time from one to the next, including the incident's own, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<f64>,
}

/// An earlier death.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlikeDeath {
    /// When.
    pub at: WallTime,
    /// Uptime of the process, ms.
    pub uptime_ms: u64,
    /// Memory it used: anonymous if known, else peak resident, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
}

/// How much memory a dead process used, and its limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryStory {
    /// Memory used: anonymous if known, else peak resident, bytes.
    pub used_bytes: u64,
    /// Peak resident set, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// The limit, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// The cgroup that has the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_cgroup: Option<String>,
    /// Used of the limit, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// The story in sentences.
    pub sentences: Vec<String>,
}

/// Failed requests of one kind that no incident explains.
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

/// Something that is missing from the report because it was not observed or was lost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unseen {
    /// The kind of gap.
    pub gap: Gap,
    /// In words.
    pub what: String,
}

/// Kinds of gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// A blind spot: it cannot be observed on this machine.
    Blind,
    /// A hook was not armed.
    Hook,
    /// Events were lost.
    Lost,
    /// Proxy log lines could not be read.
    Logs,
    /// The input is damaged or ends early.
    Input,
}

/// A lane of the graphical timeline: a service, or the deployment marks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lane {
    /// Its name.
    pub service: String,
    /// Deaths.
    pub deaths: Capped<Event>,
    /// Deployment marks; they have a lane of their own.
    pub marks: Vec<Mark>,
    /// Its outages.
    pub downs: Capped<Span>,
    /// Requests that failed.
    pub requests: Vec<Tick>,
    /// Connects that failed and connections that were cut.
    pub connections: Vec<Tick>,
}

/// An event in a lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: WallTime,
    /// What happened.
    pub what: String,
}

/// A period during which a service was down.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Since when.
    pub from: WallTime,
    /// Until when; None if it was still down.
    pub to: Option<WallTime>,
}

/// One or more effects that are drawn as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The first.
    pub at: WallTime,
    /// The last.
    pub until: WallTime,
    /// How many.
    pub count: u64,
    /// What happened, unless several effects were merged.
    pub what: Option<Box<str>>,
}
