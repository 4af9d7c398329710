//! A verdict in sentences, for every form that shows one. The sentences hold text from outside as it
//! was; who shows them escapes it.

use std::time::Duration;

use tracer_model::quantity::{bytes, duration};
use tracer_model::wording::{self, counted, milliseconds};
use tracer_model::{Cause, Pid, SignalName};

use super::model::{
    CommandExit, DeathStory, ListenerState, ListenerStory, Memory, RequestsFailed, ServiceStory,
    Verdict,
};

/// How many pids of a restart are named.
const MAX_PIDS: usize = 4;

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
    /// Which service it is about; empty for the whole deployment.
    pub about: String,
    /// What it says.
    pub what: String,
}

/// A line about the whole deployment.
fn overall(tone: Tone, what: String) -> Line {
    Line {
        tone,
        about: String::new(),
        what,
    }
}

impl Verdict {
    /// The verdict in one line.
    pub fn headline(&self) -> Line {
        let (tone, word) = match self.exit_code() {
            0 => (Tone::Good, "succeeded"),
            _ => (Tone::Bad, "FAILED"),
        };
        let exited = match self.exited {
            Some(CommandExit::ExitCode(code)) => format!("exited with {code}"),
            Some(CommandExit::Signal(signal)) => {
                format!("was killed by {}", SignalName(u32::from(signal)))
            }
            None => "did not finish".to_owned(),
        };
        overall(
            tone,
            format!(
                "deployment {word} · `{}` {exited} after {} · watched for {} more",
                self.command,
                duration(Duration::from_millis(self.ran_ms)),
                duration(Duration::from_millis(self.watched_ms))
            ),
        )
    }

    /// Everything below the headline: what failed first, then each service.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = self
            .failures
            .iter()
            .map(|reason| overall(Tone::Bad, reason.what.clone()))
            .collect();
        for story in &self.services {
            lines.extend(story.lines());
        }
        if self.services_left_out > 0 {
            let more = counted(
                self.services_left_out,
                "more service is not listed",
                "more services are not listed",
            );
            lines.push(overall(Tone::Plain, more));
        }
        lines.extend(self.requests.iter().map(|failed| Line {
            tone: Tone::Bad,
            about: failed.proxy.clone(),
            what: failed.sentence(),
        }));
        if self.services.is_empty() && self.requests.is_empty() {
            let nothing = "no service lost a process or a listener; no request failed";
            lines.push(overall(Tone::Plain, nothing.to_owned()));
        }
        if self.events_lost > 0 {
            let lost = counted(self.events_lost, "event", "events");
            let lost = format!("{lost} lost: this may be incomplete");
            lines.push(overall(Tone::Bad, lost));
        }
        lines
    }
}

impl ServiceStory {
    fn lines(&self) -> Vec<Line> {
        let unexpected = self.deaths.iter().filter(|death| !death.asked_for);
        self.restart()
            .into_iter()
            .chain(unexpected.map(unexpected_death))
            .chain(self.further_deaths())
            .chain(self.crash_loop())
            .chain(self.listeners.iter().map(listener))
            .chain(self.memory())
            .map(|(tone, what)| Line {
                tone,
                about: self.service.name.to_string(),
                what,
            })
            .collect()
    }

    /// `restarted: 60 → 61 · clean stop: …`
    fn restart(&self) -> Option<(Tone, String)> {
        let asked_for: Vec<&DeathStory> = self.deaths.iter().filter(|it| it.asked_for).collect();
        if asked_for.is_empty() && (self.unexpected > 0 || self.new.is_empty()) {
            return None;
        }
        let what = if self.new.is_empty() {
            "stopped"
        } else {
            "restarted"
        };
        let old = pids(asked_for.iter().map(|it| it.pid));
        let new = pids(self.new.iter().copied());
        let which = match (old.is_empty(), new.is_empty()) {
            (false, false) => format!(": {old} → {new}"),
            (false, true) => format!(": {old}"),
            (true, false) => format!(": → {new}"),
            (true, true) => String::new(),
        };
        let how = asked_for.first().map_or_else(String::new, |it| {
            let how = match (&it.ignored, it.cause) {
                (Some(signal), _) => {
                    format!("killed after its stop timed out: it ignored {signal}")
                }
                (None, Cause::Clean) => format!("clean stop: {}", it.why),
                (None, _) => it.why.clone(),
            };
            format!(" · {how}")
        });
        let tone = if asked_for.iter().any(|it| it.ignored.is_some()) {
            Tone::Plain
        } else {
            Tone::Good
        };
        Some((tone, format!("{what}{which}{how}")))
    }

    /// The number of deaths for which the list had no room.
    fn further_deaths(&self) -> Option<(Tone, String)> {
        let listed = self.deaths.len() as u64;
        let all = self.asked_for + self.unexpected;
        let more = all.checked_sub(listed).filter(|more| *more > 0)?;
        let more = counted(
            more,
            "more of its processes died",
            "more of its processes died",
        );
        Some((Tone::Plain, format!("and {more}")))
    }

    fn crash_loop(&self) -> Option<(Tone, String)> {
        self.crash_loop.then(|| {
            let deaths = self.unexpected.max(3);
            let what = format!("crash loop: died {deaths} times while restarting");
            (Tone::Bad, what)
        })
    }

    fn memory(&self) -> Option<(Tone, String)> {
        let memory = self
            .memory
            .filter(|it| it.limit_bytes.is_some() || !self.new.is_empty())?;
        let Memory {
            pid, peak_bytes, ..
        } = memory;
        let limit = match (memory.limit_bytes, memory.percent()) {
            (Some(limit), Some(percent)) => format!("limit {} ({percent} %)", bytes(limit)),
            _ => "no limit".to_owned(),
        };
        let peak = bytes(peak_bytes);
        let what = format!("memory of [{pid}]: at most {peak} resident, {limit}");
        Some((Tone::Plain, what))
    }
}

/// A death that the deployment did not ask for.
fn unexpected_death(death: &DeathStory) -> (Tone, String) {
    let (tone, what) = match death.cause {
        Cause::Clean => (Tone::Plain, "stopped, but not by the deployment"),
        _ => (Tone::Bad, "died unexpectedly"),
    };
    let DeathStory { comm, pid, why, .. } = death;
    (tone, format!("{comm}[{pid}] {what}: {why}"))
}

fn listener(listener: &ListenerStory) -> (Tone, String) {
    let down = milliseconds(listener.down_ms);
    let (tone, what) = match listener.state {
        ListenerState::Back => (Tone::Good, format!("listening again, down for {down}")),
        ListenerState::NotBack => (
            Tone::Bad,
            format!("NOT listening again, down for {down} so far"),
        ),
        ListenerState::Stopped => (Tone::Plain, "stopped, as the deployment asked".to_owned()),
        ListenerState::Moved => (
            Tone::Plain,
            "no longer used: the service listens elsewhere".to_owned(),
        ),
    };
    let times = match listener.downs {
        0 | 1 => String::new(),
        downs => format!(" ({downs} times)"),
    };
    (tone, format!("{} {what}{times}", listener.address))
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
        let how = wording::failure(self.failure, self.status, self.cause)
            .map_or_else(String::new, |how| format!(", {how}"));
        let because = self
            .because
            .as_ref()
            .map_or_else(String::new, |because| format!(" ({because})"));
        format!("{requests}{to} failed: {status}{how}{because}")
    }
}

fn pids(all: impl Iterator<Item = Pid>) -> String {
    let all: Vec<Pid> = all.collect();
    let mut text = all
        .iter()
        .take(MAX_PIDS)
        .map(Pid::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if all.len() > MAX_PIDS {
        text.push_str(" …");
    }
    text
}
