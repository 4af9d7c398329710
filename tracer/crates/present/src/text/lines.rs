//! How a line of text is set: its time, its tag, its service, its rest. Everything from outside is
//! escaped and cut here or by the functions that this file offers.

use anstyle::{AnsiColor, Color, Style};
use jiff::tz::TimeZone;
use tracer_model::{Endpoint, WallTime};

use crate::cell::{SENTENCE_COLUMNS, cell, name, push};

const TAG_COLUMNS: usize = 5;
const SERVICE_COLUMNS: usize = 14;
const ADDRESS_COLUMNS: usize = 120;

pub(super) const BAD: Style = bold(AnsiColor::Red);
pub(super) const EFFECT: Style = bold(AnsiColor::Yellow);
pub(super) const GOOD: Style = bold(AnsiColor::Green);
pub(super) const LOSS: Style = bold(AnsiColor::Magenta);
pub(super) const RULE: Style = Style::new().bold();
pub(super) const QUIET: Style = Style::new().dimmed();

const fn bold(colour: AnsiColor) -> Style {
    Style::new().bold().fg_color(Some(Color::Ansi(colour)))
}

/// The lines of one finding.
#[derive(Debug)]
pub(super) struct Lines {
    colour: bool,
    zone: TimeZone,
    text: String,
}

impl Lines {
    /// None yet. Their times will be of `zone`.
    pub(super) fn new(colour: bool, zone: TimeZone) -> Self {
        Self {
            colour,
            zone,
            text: String::with_capacity(256),
        }
    }

    /// Forgets the lines of the finding before.
    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    /// All lines, each with its newline.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// `time  TAG  service  rest`
    pub(super) fn event(
        &mut self,
        at: WallTime,
        tag: &str,
        style: Style,
        service: &str,
        rest: &str,
    ) {
        self.begin(at, tag, style);
        push(&mut self.text, &name(service), None, SERVICE_COLUMNS);
        self.text.push(' ');
        self.text.push_str(rest);
        self.text.push('\n');
    }

    /// `time  TAG  service → rest`, without columns: the arrow follows the service at once.
    pub(super) fn arrow(
        &mut self,
        at: WallTime,
        tag: &str,
        style: Style,
        service: &str,
        rest: &str,
    ) {
        self.begin(at, tag, style);
        self.text.push_str(&name(service));
        self.text.push_str(" → ");
        self.text.push_str(rest);
        self.text.push('\n');
    }

    fn begin(&mut self, at: WallTime, tag: &str, style: Style) {
        let time = self.time(at);
        self.push(&time, QUIET, time.len() + 2);
        self.push(tag, style, TAG_COLUMNS);
        self.text.push(' ');
    }

    /// `── what`
    pub(super) fn rule(&mut self, what: &str) {
        self.push("──", RULE, 3);
        self.push(what, RULE, 0);
        self.text.push('\n');
    }

    /// A line that belongs to the rule above it.
    pub(super) fn indented(&mut self, what: &str) {
        self.text.push_str("   ");
        self.text.push_str(&cell(what, SENTENCE_COLUMNS));
        self.text.push('\n');
    }

    fn push(&mut self, text: &str, style: Style, columns: usize) {
        push(&mut self.text, text, self.colour.then_some(style), columns);
    }

    /// A time of day, with milliseconds.
    pub(super) fn time(&self, at: WallTime) -> String {
        let zoned = at.to_jiff().to_zoned(self.zone.clone());
        zoned.strftime("%H:%M:%S%.3f").to_string()
    }
}

/// Paths of unix sockets come from outside.
pub(super) fn address(address: &Endpoint) -> String {
    cell(&address.to_string(), ADDRESS_COLUMNS).into_owned()
}
