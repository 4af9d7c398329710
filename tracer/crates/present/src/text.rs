//! Findings as lines for people: what a tired person needs at 3 a.m., one line per thing.
//!
//! A death has no line of its own when the line of its OOM kill already said all of it. An incident
//! is shown when it closes.

mod lines;
mod requests;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use jiff::tz::TimeZone;
use tracer_model::quantity::{bytes, duration};
use tracer_model::wording::{self, counted, milliseconds};
use tracer_model::{
    Body, Cause, ConnectError, ConnectFailure, Cut, Death, End, FailedRequest, Finding, Incident,
    IncidentState, ListenerChange, LostEvents, Party, Pid, Ring, Start, WallTime,
};

use self::lines::{BAD, EFFECT, GOOD, LOSS, Lines, QUIET, RULE, address};
use crate::cell::{SENTENCE_COLUMNS, cell, name};

/// How many announced OOM kills wait for their confirmation.
const MAX_ANNOUNCED: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    lines: Lines,
    announced: VecDeque<Announced>,
    storm: requests::Storm,
}

/// An OOM kill whose line was printed.
#[derive(Debug)]
struct Announced {
    pid: Pid,
    cause: Cause,
    limit_bytes: Option<u64>,
}

impl<W: Write> Text<W> {
    /// To `out`, with times of `zone`.
    pub fn new(out: W, colour: bool, zone: TimeZone) -> Self {
        Self {
            out,
            lines: Lines::new(colour, zone),
            announced: VecDeque::new(),
            storm: requests::Storm::default(),
        }
    }

    /// Where the lines were written to.
    pub(super) fn out_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes the lines of one finding, if it has any, at once.
    pub fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        self.lines.clear();
        if self.storm.is_over(finding) {
            for (at, sum) in self.storm.drain() {
                self.request_line(at, &sum);
            }
        }
        let at = finding.at;
        match &finding.body {
            Body::Start(start) => self.start(start),
            Body::Oom(death) => self.oom(at, death),
            Body::Death(death) => self.death(at, death),
            Body::ListenerDown(change) => self.down(at, change),
            Body::ListenerUp(change) => self.up(at, change),
            Body::ConnectFailed(failure) => self.connect_failed(at, failure),
            Body::ConnectionCut(cut) => self.cut(at, cut),
            Body::RequestFailed(request) => {
                if !self.storm.sum_up(at, request) {
                    self.request_line(at, request);
                }
            }
            Body::Incident(incident) => self.incident(incident),
            Body::Mark(mark) => {
                let label = cell(&mark.label, SENTENCE_COLUMNS);
                self.lines.event(at, "MARK", RULE, "tracer", &label);
            }
            Body::Lost(lost) => self.lost(at, lost),
            Body::End(end) => self.end(end),
        }
        if self.lines.as_str().is_empty() {
            return Ok(());
        }
        self.out.write_all(self.lines.as_str().as_bytes())?;
        self.out.flush()
    }

    fn start(&mut self, start: &Start) {
        let working = start.hooks.iter().filter(|hook| hook.ok).count();
        self.lines.rule(&format!(
            "tracer {} on {} · Linux {} · {working} of {} hooks armed · {}",
            name(&start.version),
            name(&start.host),
            name(&start.kernel),
            start.hooks.len(),
            counted(start.services.len() as u64, "service", "services"),
        ));
        for blind in &start.blind {
            self.lines.indented(&format!("blind spot: {blind}"));
        }
    }

    fn oom(&mut self, at: WallTime, death: &Death) {
        let mut rest = format!(
            "{} killed by the kernel: ",
            process(&death.process.comm, death.process.pid)
        );
        let _ = match (death.cause, death.memory.limit_bytes) {
            (Cause::OomCgroup, Some(limit)) => {
                write!(rest, "cgroup limit {} reached", bytes(limit))
            }
            (Cause::OomCgroup, None) => write!(rest, "a cgroup's memory limit reached"),
            (Cause::OomGlobal, _) => write!(rest, "the machine is out of memory"),
            _ => write!(rest, "out of memory"),
        };
        if let Some(peak) = death.memory.peak_bytes {
            let _ = write!(rest, ", peak {}", bytes(peak));
        } else if let Some(anon) = death.memory.anon_bytes {
            let _ = write!(rest, ", {} in use", bytes(anon));
        }
        rest.push_str(&uptime(death));
        self.lines.event(at, "OOM", BAD, &death.service.name, &rest);
        if self.announced.len() == MAX_ANNOUNCED {
            self.announced.pop_front();
        }
        self.announced.push_back(Announced {
            pid: death.process.pid,
            cause: death.cause,
            limit_bytes: death.memory.limit_bytes,
        });
    }

    fn death(&mut self, at: WallTime, death: &Death) {
        let pid = death.process.pid;
        if let Some(index) = self.announced.iter().position(|oom| oom.pid == pid)
            && let Some(oom) = self.announced.remove(index)
            && oom.cause == death.cause
            && death.signal.as_deref() == Some("SIGKILL")
            && (oom.limit_bytes.is_some() || death.memory.limit_bytes.is_none())
        {
            return;
        }
        let tag = match death.signal {
            Some(_) => "DEAD",
            None => "EXIT",
        };
        let rest = format!(
            "{} {}",
            process(&death.process.comm, pid),
            cell(&death.why, SENTENCE_COLUMNS)
        );
        let style = match death.cause {
            Cause::Clean => QUIET,
            _ => BAD,
        };
        self.lines.event(at, tag, style, &death.service.name, &rest);
    }

    fn down(&mut self, at: WallTime, change: &ListenerChange) {
        let rest = format!(
            "{} stopped listening{}",
            address(&change.address),
            netns(change)
        );
        self.lines
            .event(at, "DOWN", BAD, &change.service.name, &rest);
    }

    fn up(&mut self, at: WallTime, change: &ListenerChange) {
        let mut rest = address(&change.address);
        // Writing to a String can't fail.
        let _ = match change.down_ms {
            Some(down_ms) => write!(rest, " listening again after {}", milliseconds(down_ms)),
            None => write!(rest, " listening"),
        };
        if let Some(Party { pid, comm, .. }) = &change.process {
            let _ = write!(rest, ", {}", process(comm, *pid));
        }
        rest.push_str(&netns(change));
        self.lines
            .event(at, "UP", GOOD, &change.service.name, &rest);
    }

    fn connect_failed(&mut self, at: WallTime, failure: &ConnectFailure) {
        let mut rest = address(&failure.upstream.address);
        let service = failure.upstream.service.as_deref().map(name);
        let _ = match (service, &failure.because) {
            (Some(service), Some(because)) => {
                write!(rest, " ({})", wording::behind_service(&service, because))
            }
            (Some(service), None) => write!(rest, " ({service})"),
            (None, Some(because)) => {
                write!(rest, " ({})", wording::behind_service("upstream", because))
            }
            (None, None) => Ok(()),
        };
        if let Some(errno) = &failure.errno {
            let _ = write!(rest, " {}", name(errno));
        }
        if failure.count > 1 {
            let _ = write!(rest, " ×{}", failure.count);
        }
        self.lines
            .arrow(at, tag(failure.error), EFFECT, &failure.proxy.name, &rest);
    }

    fn request_line(&mut self, at: WallTime, request: &FailedRequest) {
        let (tag, rest) = (requests::tag(request), requests::rest(request));
        self.lines
            .event(at, &tag, EFFECT, &request.proxy.name, &rest);
    }

    fn cut(&mut self, at: WallTime, cut: &Cut) {
        let connections = counted(cut.count, "connection", "connections");
        let own = name(&cut.service.name);
        let at_address = address(&cut.address);
        let (who, rest) = if let Some(peer) = &cut.peer {
            let rest = format!("{connections} to {own} {at_address} cut");
            (&peer.name, rest)
        } else {
            let peer = address(&cut.peer_address);
            let rest = format!("{connections} from {peer} to {at_address} cut");
            (&cut.service.name, rest)
        };
        self.lines.event(at, "CUT", EFFECT, who, &rest);
    }

    fn incident(&mut self, incident: &Incident) {
        let state = match (incident.state, incident.closed) {
            (IncidentState::Open, _) => return,
            (IncidentState::Closed, Some(_)) => "closed",
            (IncidentState::Closed, None) => "still open",
        };
        let mut what = format!(
            "incident {} {state} · {} · {}",
            incident.id,
            name(&incident.service.name),
            cell(&incident.summary, SENTENCE_COLUMNS)
        );
        if let Some(down_ms) = incident.down_ms {
            let _ = write!(what, " · down {}", milliseconds(down_ms));
        }
        if incident.crash_loop {
            let _ = write!(what, " · crash loop, {} deaths", incident.deaths);
        } else if incident.deaths > 1 {
            let _ = write!(what, " · {} deaths", incident.deaths);
        }
        what.push_str(&effects(
            incident.connections_cut,
            incident.connects_failed,
            incident.requests_failed,
        ));
        self.lines.rule(&what);
        for advice in &incident.advice {
            self.lines.indented(&format!("→ {advice}"));
        }
    }

    fn lost(&mut self, at: WallTime, lost: &LostEvents) {
        let place = match lost.ring {
            Ring::Deaths => "deaths, OOM kills and listeners",
            Ring::Traffic => "connections",
            Ring::Connecting => "sockets in connect()",
            Ring::Requests => "failed requests",
            Ring::KernelLog => "kernel log",
            Ring::ProxyLog => "proxy log",
            Ring::Capture => "capture",
        };
        let rest = format!(
            "{} lost since {} ({place})",
            counted(lost.count, "event", "events"),
            self.lines.time(lost.since)
        );
        self.lines.event(at, "LOST", LOSS, "tracer", &rest);
    }

    fn end(&mut self, end: &End) {
        let mut deaths = counted(end.deaths, "death", "deaths");
        if end.oom_kills > 0 {
            let _ = write!(deaths, " ({} by OOM)", end.oom_kills);
        }
        let mut what = format!(
            "end · watched {} · {deaths}{} · {}",
            duration(Duration::from_millis(end.duration_ms)),
            effects(
                end.connections_cut,
                end.connects_failed,
                end.requests_failed
            ),
            counted(end.incidents, "incident", "incidents"),
        );
        if end.incidents_open > 0 {
            let _ = write!(what, ", {} still open", end.incidents_open);
        }
        if end.lost > 0 {
            let _ = write!(what, " · {} lost", counted(end.lost, "event", "events"));
        }
        if end.log_lines_unread > 0 {
            let lines = counted(end.log_lines_unread, "proxy log line", "proxy log lines");
            let _ = write!(what, " · {lines} not understood");
        }
        self.lines.rule(&what);
        for loss in &end.losses {
            let mut what = format!(
                "{}: {}",
                name(&loss.service.name),
                wording::requests_failed(loss.requests_failed)
            );
            if loss.because_of_deaths > 0 {
                let _ = write!(what, ", {} because of deaths", loss.because_of_deaths);
            }
            self.lines.indented(&what);
        }
    }
}

/// ` · 3 connections cut, 12 connects failed, 14 requests failed`, without what did not happen.
fn effects(cut: u64, connects: u64, requests: u64) -> String {
    let effects: Vec<String> = [
        (cut, wording::connections_cut(cut)),
        (connects, wording::connects_failed(connects)),
        (requests, wording::requests_failed(requests)),
    ]
    .into_iter()
    .filter_map(|(count, phrase)| (count > 0).then_some(phrase))
    .collect();
    match effects.as_slice() {
        [] => String::new(),
        some => format!(" · {}", some.join(", ")),
    }
}

fn process(comm: &str, pid: Pid) -> String {
    format!("{}[{pid}]", name(comm))
}

fn netns(change: &ListenerChange) -> String {
    change
        .netns
        .map_or_else(String::new, |netns| format!(" (netns {netns})"))
}

fn uptime(death: &Death) -> String {
    let up = Duration::from_millis(death.process.uptime_ms);
    format!(", up {}", duration(up))
}

fn tag(error: ConnectError) -> &'static str {
    match error {
        ConnectError::Refused => "REFUSED",
        ConnectError::Timeout => "TIMEOUT",
        ConnectError::Unreachable => "UNREACHABLE",
        ConnectError::Reset => "RESET",
        ConnectError::NoSocketFile => "NOSOCK",
        ConnectError::BacklogFull => "BACKLOG",
        ConnectError::PermissionDenied => "DENIED",
        ConnectError::NoLocalPort => "NOPORT",
        ConnectError::Other => "FAILED",
    }
}
