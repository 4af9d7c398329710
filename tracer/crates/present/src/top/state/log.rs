//! The event log: the lines that `tracer watch` would print, and a filter for them.

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use tracer_model::{Body, Cause, Finding};

use crate::text::Text;

/// Lines kept; older ones are dropped.
const MAX_LINES: usize = 5_000;
/// Bytes kept of one line: more than any screen is wide.
const MAX_LINE_BYTES: usize = 2_048;

/// What a line is about, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something broke.
    Bad,
    /// Something else failed because of it.
    Effect,
    /// Something recovered.
    Good,
    /// The end of an incident, the start and end of the trace, a mark.
    Frame,
    /// Everything else.
    Quiet,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) tone: Tone,
    /// As `tracer watch` shows it: escaped.
    pub(crate) text: Box<str>,
    /// The incident that it belongs to.
    pub(crate) incident: Option<u64>,
}

/// See the module. Lines are counted from 0 and known by that number.
#[derive(Debug)]
pub(crate) struct Log {
    lines: VecDeque<Line>,
    /// Number of the oldest line that is kept.
    first: u64,
    text: Text<Vec<u8>>,
    zone: TimeZone,
}

impl Log {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            lines: VecDeque::new(),
            first: 0,
            text: Text::new(Vec::new(), false, zone.clone()),
            zone,
        }
    }

    /// Appends a finding's lines.
    pub(super) fn push(&mut self, finding: &Finding, incident: Option<u64>) {
        // Writing to memory can't fail.
        let _ = self.text.finding(finding);
        let bytes = std::mem::take(self.text.out_mut());
        let tone = tone(&finding.body);
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut end = line.len().min(MAX_LINE_BYTES);
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            self.lines.push_back(Line {
                tone,
                text: line[..end].into(),
                incident,
            });
        }
        while self.lines.len() > MAX_LINES {
            self.lines.pop_front();
            self.first += 1;
        }
    }

    /// Numbers of the lines that are kept.
    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.lines.len() as u64
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Line> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.lines.get(index)
    }

    /// The zone that times are shown in.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

/// Words that a line must contain or (`!word`) must not contain, whatever their case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    with: Vec<String>,
    without: Vec<String>,
}

impl Filter {
    pub(crate) fn new(text: &str) -> Self {
        let mut filter = Self::default();
        for word in text.split_whitespace() {
            match word.strip_prefix('!') {
                Some("") => {}
                Some(word) => filter.without.push(word.to_lowercase()),
                None => filter.with.push(word.to_lowercase()),
            }
        }
        filter
    }

    pub(crate) fn fits(&self, text: &str) -> bool {
        if self.with.is_empty() && self.without.is_empty() {
            return true;
        }
        let text = text.to_lowercase();
        self.with.iter().all(|word| text.contains(word))
            && !self.without.iter().any(|word| text.contains(word))
    }
}

fn tone(body: &Body) -> Tone {
    match body {
        Body::Death(death) if death.cause == Cause::Clean => Tone::Quiet,
        Body::Oom(_) | Body::Death(_) | Body::ListenerDown(_) => Tone::Bad,
        Body::ConnectFailed(_)
        | Body::ConnectionCut(_)
        | Body::RequestFailed(_)
        | Body::Lost(_) => Tone::Effect,
        Body::ListenerUp(_) => Tone::Good,
        Body::Start(_) | Body::Incident(_) | Body::Mark(_) | Body::End(_) => Tone::Frame,
    }
}
