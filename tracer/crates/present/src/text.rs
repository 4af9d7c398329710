//! Findings as lines for people: what a tired person needs at 3 a.m., one line per thing.
//!
//! A death that only confirms an OOM line already shown has no line of its own, and an incident is
//! shown when it ends.

mod requests;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Color, Style};
use jiff::tz::TimeZone;
use tracer_model::quantity::{bytes, duration};
use tracer_model::{
    Because, Body, Cause, ConnectError, ConnectFailure, Cut, Death, End, Finding, Incident,
    IncidentState, ListenerChange, LostEvents, Party, Pid, Ring, Start, WallTime,
};

use super::cell::{SENTENCE_COLUMNS, cell, name, push};

/// How many announced OOM kills wait for their confirmation.
const MAX_ANNOUNCED: usize = 64;

const TAG_COLUMNS: usize = 5;
const SERVICE_COLUMNS: usize = 14;

/// See the module.
#[derive(Debug)]
pub struct Text<W> {
    out: W,
    colour: bool,
    zone: TimeZone,
    line: String,
    announced: VecDeque<Announced>,
    storm: requests::Storm,
}

/// An OOM line that was shown.
#[derive(Debug)]
struct Announced {
    pid: Pid,
    cause: Cause,
    limit_bytes: Option<u64>,
}

const BAD: Style = bold(AnsiColor::Red);
const EFFECT: Style = bold(AnsiColor::Yellow);
const GOOD: Style = bold(AnsiColor::Green);
const LOSS: Style = bold(AnsiColor::Magenta);
const RULE: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();

const fn bold(colour: AnsiColor) -> Style {
    Style::new().bold().fg_color(Some(Color::Ansi(colour)))
}

impl<W: Write> Text<W> {
    /// To `out`, in local time.
    pub fn new(out: W, colour: bool) -> Self {
        Self::in_zone(out, colour, TimeZone::system())
    }

    /// To `out`, with times of `zone`.
    pub fn in_zone(out: W, colour: bool, zone: TimeZone) -> Self {
        Self {
            out,
            colour,
            zone,
            line: String::with_capacity(256),
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
        self.line.clear();
        if self.storm.is_over(finding) {
            self.storm_is_over();
        }
        let at = finding.at;
        match &finding.body {
            Body::Start(start) => self.start(start),
            Body::Oom(death) => self.oom(at, death),
            Body::Death(death) => self.death(at, death),
            Body::ListenerDown(change) => {
                let rest = format!(
                    "{} stopped listening{}",
                    address(&change.address),
                    netns(change)
                );
                self.event(at, "DOWN", BAD, &change.service.name, &rest);
            }
            Body::ListenerUp(change) => self.up(at, change),
            Body::ConnectFailed(failure) => self.connect_failed(at, failure),
            Body::ConnectionCut(cut) => self.cut(at, cut),
            Body::RequestFailed(request) => self.request_failed(at, request),
            Body::Incident(incident) => self.incident(incident),
            Body::Mark(mark) => {
                let label = cell(&mark.label, SENTENCE_COLUMNS);
                self.event(at, "MARK", RULE, "tracer", &label);
            }
            Body::Lost(lost) => self.lost(at, lost),
            Body::End(end) => self.end(end),
        }
        if self.line.is_empty() {
            return Ok(());
        }
        self.out.write_all(self.line.as_bytes())?;
        self.out.flush()
    }

    /// `time  TAG  service  rest`
    fn event(&mut self, at: WallTime, tag: &str, style: Style, service: &str, rest: &str) {
        let time = self.time(at);
        self.push(&time, QUIET, time.len() + 2);
        self.push(tag, style, TAG_COLUMNS);
        self.line.push(' ');
        push(&mut self.line, &name(service), None, SERVICE_COLUMNS);
        self.line.push(' ');
        self.line.push_str(rest);
        self.line.push('\n');
    }

    /// `── what`
    fn rule(&mut self, what: &str) {
        self.push("──", RULE, 3);
        self.push(what, RULE, 0);
        self.line.push('\n');
    }

    fn indented(&mut self, what: &str) {
        self.line.push_str("   ");
        self.line.push_str(&cell(what, SENTENCE_COLUMNS));
        self.line.push('\n');
    }

    fn push(&mut self, text: &str, style: Style, columns: usize) {
        push(&mut self.line, text, self.colour.then_some(style), columns);
    }

    fn time(&self, at: WallTime) -> String {
        let zoned = at.to_jiff().to_zoned(self.zone.clone());
        zoned.strftime("%H:%M:%S%.3f").to_string()
    }

    fn start(&mut self, start: &Start) {
        let working = start.hooks.iter().filter(|hook| hook.ok).count();
        self.rule(&format!(
            "tracer {} on {} · Linux {} · {working} of {} hooks armed · {}",
            name(&start.version),
            name(&start.host),
            name(&start.kernel),
            start.hooks.len(),
            counted(start.services.len() as u64, "service", "services"),
        ));
        for blind in &start.blind {
            self.indented(&format!("blind: {blind}"));
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
        self.event(at, "OOM", BAD, &death.service.name, &rest);
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
        self.event(at, tag, style, &death.service.name, &rest);
    }

    fn up(&mut self, at: WallTime, change: &ListenerChange) {
        let mut rest = address(&change.address);
        rest.push_str(match change.down_ms {
            Some(_) => " listening again",
            None => " listening",
        });
        if let Some(Party { pid, comm, .. }) = &change.process {
            let _ = write!(rest, ", {}", process(comm, *pid));
        }
        if let Some(down_ms) = change.down_ms {
            let _ = write!(rest, ", after {}", duration(ms(down_ms)));
        }
        rest.push_str(&netns(change));
        self.event(at, "UP", GOOD, &change.service.name, &rest);
    }

    fn connect_failed(&mut self, at: WallTime, failure: &ConnectFailure) {
        let mut rest = format!("→ {}", address(&failure.upstream.address));
        let service = failure.upstream.service.as_deref().map(name);
        let because = failure.because.as_ref().map(why);
        let _ = match (service, because) {
            (Some(service), Some(because)) => write!(rest, " ({service}, {because})"),
            (Some(only), None) => write!(rest, " ({only})"),
            (None, Some(only)) => write!(rest, " ({only})"),
            (None, None) => Ok(()),
        };
        if let Some(errno) = &failure.errno {
            let _ = write!(rest, " {}", name(errno));
        }
        if failure.count > 1 {
            let _ = write!(rest, " ×{}", failure.count);
        }
        // A refusal's arrow follows its service at once, as in a sentence.
        let time = self.time(at);
        self.push(&time, QUIET, time.len() + 2);
        self.push(tag(failure.error), EFFECT, TAG_COLUMNS);
        self.line.push(' ');
        self.line.push_str(&name(&failure.proxy.name));
        self.line.push(' ');
        self.line.push_str(&rest);
        self.line.push('\n');
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
        self.event(at, "CUT", EFFECT, who, &rest);
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
            let _ = write!(what, " · down {}", duration(ms(down_ms)));
        }
        if incident.crash_loop {
            let _ = write!(what, " · crash loop, {} deaths", incident.deaths);
        } else if incident.deaths > 1 {
            let _ = write!(what, " · {} deaths", incident.deaths);
        }
        let _ = write!(
            what,
            " · {} cut, {} refused",
            incident.connections_cut, incident.connects_failed
        );
        if incident.requests_failed > 0 {
            let _ = write!(what, ", {}", requests_failed(incident.requests_failed));
        }
        self.rule(&what);
        for advice in &incident.advice {
            self.indented(&format!("→ {advice}"));
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
            self.time(lost.since)
        );
        self.event(at, "LOST", LOSS, "tracer", &rest);
    }

    fn end(&mut self, end: &End) {
        let mut what = format!(
            "end · watched {} · {}, {} of them by OOM · {} cut, {} refused · {}",
            duration(Duration::from_millis(end.duration_ms)),
            counted(end.deaths, "death", "deaths"),
            end.oom_kills,
            end.connections_cut,
            end.connects_failed,
            counted(end.incidents, "incident", "incidents"),
        );
        if end.incidents_open > 0 {
            let _ = write!(what, ", {} still open", end.incidents_open);
        }
        if end.requests_failed > 0 {
            let _ = write!(what, " · {}", requests_failed(end.requests_failed));
        }
        if end.lost > 0 {
            let _ = write!(what, " · {} lost", counted(end.lost, "event", "events"));
        }
        if end.log_lines_unread > 0 {
            let lines = counted(end.log_lines_unread, "line", "lines");
            let _ = write!(what, " · {lines} of proxies' logs not understood");
        }
        self.rule(&what);
        for loss in &end.losses {
            let lost = counted(loss.requests_failed, "request", "requests");
            let mut what = format!("{} lost {lost}", name(&loss.service.name));
            if loss.because_of_deaths > 0 {
                let _ = write!(what, ", {} because of deaths", loss.because_of_deaths);
            }
            self.indented(&what);
        }
    }
}

fn process(comm: &str, pid: Pid) -> String {
    format!("{}[{pid}]", name(comm))
}

/// Paths of unix sockets come from outside.
fn address(address: &tracer_model::Endpoint) -> String {
    cell(&address.to_string(), 120).into_owned()
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

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn requests_failed(count: u64) -> String {
    format!("{} failed", counted(count, "request", "requests"))
}

/// `dead for 340 ms: OOM, cgroup limit`
fn why(because: &Because) -> String {
    let after = duration(ms(because.after_ms));
    match because.cause {
        Some(cause) => format!("dead for {after}: {}", in_words(cause)),
        None => format!("not listening for {after}"),
    }
}

fn ms(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}

fn in_words(cause: Cause) -> &'static str {
    match cause {
        Cause::OomCgroup => "OOM, cgroup limit",
        Cause::OomGlobal => "OOM, machine out of memory",
        Cause::OomDaemon => "killed by an OOM daemon",
        Cause::Killed => "killed by a signal",
        Cause::Crash => "crashed",
        Cause::HeapLimit => "heap limit reached",
        Cause::Error => "exited with an error",
        Cause::Clean => "stopped",
        Cause::Unknown => "cause unknown",
    }
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
