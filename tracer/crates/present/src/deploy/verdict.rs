//! The verdict on a deployment, and what it says. Only data and words: all text in here is as it
//! was outside, and who shows it escapes it.

use std::collections::BTreeMap;

use serde::Serialize;

use tracer_model::quantity::{bytes, duration};
use tracer_model::wording::{self, counted};
use tracer_model::{Cause, Failure, Kind, Pid, Service, WallTime};

/// What fails a deployment unless `--fail-on` says otherwise.
pub const FAIL_ON: [Kind; 3] = [Kind::Death, Kind::ListenerDown, Kind::RequestFailed];

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandEnd {
    /// With an exit status.
    ExitCode(u8),
    /// By a signal.
    Signal(u8),
}

impl CommandEnd {
    /// As a shell tells it: the status, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::ExitCode(code) => code,
            Self::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }
}

/// What came of a deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The command.
    pub command: String,
    /// How it ended; none when it could not be started or its end was not seen.
    pub ended: Option<CommandEnd>,
    /// How long it ran, ms.
    pub ran_ms: u64,
    /// How long was watched after its end, ms.
    pub watched_ms: u64,
    /// What makes the deployment a failure, most important first, by kind.
    pub failures: Vec<Reason>,
    /// Services that lost a process or a listener, by name.
    pub services: Vec<ServiceStory>,
    /// Services that had no place in the list.
    pub services_left_out: u64,
    /// Requests that failed, most first.
    pub requests: Vec<RequestsFailed>,
    /// All of them.
    pub requests_failed: u64,
    /// Events lost: what is told may be incomplete.
    pub events_lost: u64,
}

/// Why the deployment failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// As in `--fail-on`.
    pub kind: &'static str,
    /// In one sentence.
    pub what: String,
}

/// What happened to a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceStory {
    /// The service.
    pub service: Service,
    /// Its processes that ended, the first of them.
    pub ended: Vec<Ended>,
    /// How many ended because the deployment asked for it.
    pub asked_for: u64,
    /// How many died otherwise, and not cleanly.
    pub unexpected: u64,
    /// Processes that came with the deployment and served at its end, or last.
    pub new: Vec<Pid>,
    /// Its listeners that were lost, by address.
    pub listeners: Vec<ListenerStory>,
    /// Whether it died again and again while it tried to come back.
    pub crash_loop: bool,
    /// Memory of the largest of its new processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// A process that ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ended {
    /// When.
    pub at: WallTime,
    /// Which.
    pub pid: Pid,
    /// Name of its main thread.
    pub comm: String,
    /// Why.
    pub cause: Cause,
    /// In one sentence.
    pub why: String,
    /// Whether the deployment asked for it.
    pub asked_for: bool,
    /// It was killed because it did not follow this signal in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

/// A listener that was lost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerStory {
    /// Where.
    pub address: String,
    /// How often it went down.
    pub downs: u64,
    /// How long nothing listened there, all added up, ms; until the end when it is not back.
    pub down_ms: f64,
    /// How it was at the end.
    pub state: ListenerState,
}

/// How a listener was at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerState {
    /// Something listens there.
    Back,
    /// Nothing does.
    NotBack,
    /// Nothing does, and the deployment's last word to the service was to stop it.
    Stopped,
    /// Nothing does, but the service listens elsewhere since the deployment.
    Moved,
}

/// Memory against its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Whose.
    pub pid: Pid,
    /// The most that was resident at once, bytes.
    pub peak_bytes: u64,
    /// The limit, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
}

impl Memory {
    /// Share of the limit.
    pub fn percent(&self) -> Option<u64> {
        let limit = self.limit_bytes.filter(|limit| *limit > 0)?;
        Some(self.peak_bytes.saturating_mul(100) / limit)
    }
}

/// Requests that failed alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestsFailed {
    /// At which proxy.
    pub proxy: String,
    /// For which service, or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What the client got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How.
    pub failure: Failure,
    /// How many.
    pub count: u64,
    /// Why, of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Cause of the death behind the first of them.
    #[serde(skip)]
    pub cause: Option<Cause>,
}

/// How a line is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As a failure.
    Bad,
    /// As good news.
    Good,
    /// As a fact.
    Plain,
}

/// One line of the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How it is to be taken.
    pub tone: Tone,
    /// Which service it is about; empty for all of it.
    pub about: String,
    /// What it says.
    pub what: String,
}

impl Verdict {
    /// The exit code: the command's own if it failed; else 3 when something failed; else 0.
    pub fn exit_code(&self) -> u8 {
        match self.ended {
            Some(ended) if ended.code() != 0 => ended.code(),
            Some(_) if self.failures.is_empty() => 0,
            Some(_) => 3,
            None => 1,
        }
    }

    /// The verdict in one line.
    pub fn headline(&self) -> Line {
        let (tone, word) = match self.exit_code() {
            0 => (Tone::Good, "good"),
            _ => (Tone::Bad, "FAILED"),
        };
        let ended = match self.ended {
            Some(CommandEnd::ExitCode(code)) => format!("ended with {code}"),
            Some(CommandEnd::Signal(signal)) => format!(
                "was ended by {}",
                tracer_model::SignalName(u32::from(signal))
            ),
            None => "did not run to its end".to_owned(),
        };
        Line {
            tone,
            about: String::new(),
            what: format!(
                "deployment {word} · `{}` {ended} after {} · watched for {} more",
                self.command,
                ms(self.ran_ms),
                ms(self.watched_ms)
            ),
        }
    }

    /// Everything below the headline: what failed first, then each service.
    pub fn lines(&self) -> Vec<Line> {
        let line = |tone, about: &str, what: String| Line {
            tone,
            about: about.to_owned(),
            what,
        };
        let mut lines: Vec<Line> = self
            .failures
            .iter()
            .map(|reason| line(Tone::Bad, "", reason.what.clone()))
            .collect();
        for story in &self.services {
            story.tell(&mut lines);
        }
        if self.services_left_out > 0 {
            let more = format!("{} more services are not listed", self.services_left_out);
            lines.push(line(Tone::Plain, "", more));
        }
        for failed in &self.requests {
            lines.push(line(Tone::Bad, &failed.proxy, failed.sentence()));
        }
        if self.services.is_empty() && self.requests.is_empty() {
            let nothing = "no service lost a process or a listener, no request failed";
            lines.push(line(Tone::Plain, "", nothing.to_owned()));
        }
        if self.events_lost > 0 {
            let lost = format!(
                "{} events were lost: this may be incomplete",
                self.events_lost
            );
            lines.push(line(Tone::Bad, "", lost));
        }
        lines
    }
}

impl ServiceStory {
    fn tell(&self, lines: &mut Vec<Line>) {
        let mut say = |tone, what: String| lines.push(self.line(tone, what));
        let wanted: Vec<&Ended> = self.ended.iter().filter(|it| it.asked_for).collect();
        if !wanted.is_empty() || (self.unexpected == 0 && !self.new.is_empty()) {
            let what = match (wanted.is_empty(), self.new.is_empty()) {
                (_, false) => "restarted",
                (false, true) => "stopped",
                (true, true) => "changed",
            };
            let old = pids(wanted.iter().map(|it| it.pid));
            let new = pids(self.new.iter().copied());
            let which = match (old.is_empty(), new.is_empty()) {
                (false, false) => format!(": {old} → {new}"),
                (false, true) => format!(": {old}"),
                (true, false) => format!(": → {new}"),
                (true, true) => String::new(),
            };
            let how = wanted.first().map_or_else(String::new, |it| {
                let how = match (&it.ignored, it.cause) {
                    (Some(stop), _) => {
                        format!("killed after its stop timed out: did not follow {stop}")
                    }
                    (None, Cause::Clean) => format!("clean stop: {}", it.why),
                    (None, _) => it.why.clone(),
                };
                format!(" · {how}")
            });
            let tone = if wanted.iter().any(|it| it.ignored.is_some()) {
                Tone::Plain
            } else {
                Tone::Good
            };
            say(tone, format!("{what}{which}{how}"));
        }
        for ended in self.ended.iter().filter(|it| !it.asked_for) {
            let tone = match ended.cause {
                Cause::Clean => Tone::Plain,
                _ => Tone::Bad,
            };
            let word = match ended.cause {
                Cause::Clean => "ended by itself",
                _ => "died unexpectedly",
            };
            say(
                tone,
                format!("{}[{}] {word}: {}", ended.comm, ended.pid, ended.why),
            );
        }
        let told = self.ended.len() as u64;
        let all = self.asked_for + self.unexpected;
        if all > told {
            say(
                Tone::Plain,
                format!("and {} more of its processes ended", all - told),
            );
        }
        if self.crash_loop {
            say(
                Tone::Bad,
                format!(
                    "crash loop: it died {} times while it tried to come back",
                    self.unexpected.max(3)
                ),
            );
        }
        self.tell_state(lines);
    }

    /// How its listeners and its memory are.
    fn tell_state(&self, lines: &mut Vec<Line>) {
        let mut say = |tone, what: String| lines.push(self.line(tone, what));
        for listener in &self.listeners {
            let down = duration(std::time::Duration::from_secs_f64(
                (listener.down_ms / 1000.0).max(0.0),
            ));
            let (tone, what) = match listener.state {
                ListenerState::Back => (Tone::Good, format!("listening again, down for {down}")),
                ListenerState::NotBack => (
                    Tone::Bad,
                    format!("NOT listening again, down for {down} by now"),
                ),
                ListenerState::Stopped => {
                    (Tone::Plain, "stopped, as the deployment asked".to_owned())
                }
                ListenerState::Moved => (
                    Tone::Plain,
                    "no longer used: the service listens elsewhere".to_owned(),
                ),
            };
            let times = match listener.downs {
                0 | 1 => String::new(),
                downs => format!(" ({downs} times)"),
            };
            say(tone, format!("{} {what}{times}", listener.address));
        }
        if let Some(memory) = self
            .memory
            .filter(|it| it.limit_bytes.is_some() || !self.new.is_empty())
        {
            let peak = bytes(memory.peak_bytes);
            let what = match (memory.limit_bytes, memory.percent()) {
                (Some(limit), Some(percent)) => format!(
                    "memory of [{}]: at most {peak} resident, limit {} ({percent} %)",
                    memory.pid,
                    bytes(limit)
                ),
                _ => format!(
                    "memory of [{}]: at most {peak} resident, no limit",
                    memory.pid
                ),
            };
            say(Tone::Plain, what);
        }
    }

    fn line(&self, tone: Tone, what: String) -> Line {
        let about = self.service.name.to_string();
        Line { tone, about, what }
    }
}

impl RequestsFailed {
    /// `3 requests to web failed: 502, connection refused (web died 140 ms earlier: …)`.
    pub fn sentence(&self) -> String {
        let requests = counted(self.count, "request", "requests");
        let to = self
            .upstream
            .as_ref()
            .map_or_else(String::new, |upstream| format!(" to {upstream}"));
        let status = self
            .status
            .map_or_else(|| "no response".to_owned(), |status| status.to_string());
        let because = self
            .because
            .as_ref()
            .map_or_else(String::new, |because| format!(" ({because})"));
        let how = wording::failure(self.failure, self.status, self.cause)
            .map_or_else(String::new, |how| format!(", {how}"));
        format!("{requests}{to} failed: {status}{how}{because}")
    }
}

/// Failures by kind, for the verdict: the first few of each, in one sentence.
pub(super) fn reasons(
    verdict: &Verdict,
    kinds: &[Kind],
    seen: &BTreeMap<Kind, u64>,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let wants = |kind| kinds.contains(&kind);
    for story in &verdict.services {
        let name = &story.service.name;
        if wants(Kind::Death) && story.crash_loop {
            let what = format!("{name} is in a crash loop");
            reasons.push(Reason {
                kind: "death",
                what,
            });
        } else if wants(Kind::Death) && story.unexpected > 0 {
            let first = story
                .ended
                .iter()
                .find(|it| !it.asked_for && it.cause != Cause::Clean);
            let why = first.map_or_else(String::new, |it| format!(": {}", it.why));
            let what = match story.unexpected {
                1 => format!("{name} died unexpectedly{why}"),
                many => format!("{name} died unexpectedly {many} times{why}"),
            };
            reasons.push(Reason {
                kind: "death",
                what,
            });
        }
        for listener in &story.listeners {
            if wants(Kind::ListenerDown) && listener.state == ListenerState::NotBack {
                let what = format!("{name} does not listen on {} again", listener.address);
                reasons.push(Reason {
                    kind: "listener_down",
                    what,
                });
            }
        }
    }
    if wants(Kind::RequestFailed) && verdict.requests_failed > 0 {
        let what = wording::requests_failed(verdict.requests_failed);
        reasons.push(Reason {
            kind: "request_failed",
            what,
        });
    }
    for (kind, name) in [
        (Kind::Oom, "oom"),
        (Kind::ConnectFailed, "connect_failed"),
        (Kind::ConnectionCut, "connection_cut"),
        (Kind::ListenerUp, "listener_up"),
        (Kind::Incident, "incident"),
        (Kind::Lost, "lost"),
    ] {
        let count = seen.get(&kind).copied().unwrap_or(0);
        if wants(kind) && count > 0 {
            let what = format!("{count} findings of the kind {name}");
            reasons.push(Reason { kind: name, what });
        }
    }
    reasons
}

fn pids(all: impl Iterator<Item = Pid>) -> String {
    const MOST: usize = 4;
    let all: Vec<Pid> = all.collect();
    let mut text = all
        .iter()
        .take(MOST)
        .map(Pid::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if all.len() > MOST {
        text.push_str(" …");
    }
    text
}

fn ms(ms: u64) -> String {
    duration(std::time::Duration::from_millis(ms))
}
