//! A report as text for a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use jiff::tz::TimeZone;
use tracer_model::quantity::bytes;
use tracer_model::{IncidentState, printable, wording};

use super::clock::Clock;
use super::formatting::{self, counted, ms, number};
use super::model::{Capped, DeathAt, IncidentReport, Phase, Report, Step, Unseen};
use crate::cell::{NAME_COLUMNS, cell, name, push};
use crate::deploy;

/// How many requests are listed one by one.
const REQUESTS: usize = 20;
/// Widest sentence, in columns.
const SENTENCE: usize = 240;
/// Indentation of the parts of an incident.
const INDENT: usize = 3;
/// Columns of a label in an incident.
const LABEL: usize = 12;

const BAD: Style = bold(AnsiColor::Red);
const GOOD: Style = bold(AnsiColor::Green);
const HEAD: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();

const fn bold(colour: AnsiColor) -> Style {
    Style::new().bold().fg_color(Some(Color::Ansi(colour)))
}

/// Writes it to `out`.
pub(super) fn write(
    report: &Report,
    zone: TimeZone,
    colour: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut page = Page {
        clock: Clock::new(report, zone),
        colour,
        text: String::with_capacity(4096),
    };
    page.deployment(report);
    page.head(report);
    page.marks(report);
    page.services(report);
    for incident in &report.incidents.items {
        page.incident(incident);
    }
    page.more(
        report.incidents.left_out,
        "less costly incident",
        "less costly incidents",
    );
    page.failures(report);
    page.deaths(&report.deaths);
    page.unseen(&report.unseen);
    out.write_all(page.text.as_bytes())
}

/// Headings of the table of services after the first, and the widths of their columns.
const HEADINGS: [&str; 6] = [
    "requests failed",
    "connects failed",
    "down",
    "deaths",
    "incidents",
    "causes",
];
const COLUMNS: [usize; 6] = [17, 17, 10, 8, 11, 0];

struct Page {
    clock: Clock,
    colour: bool,
    text: String,
}

impl Page {
    fn push(&mut self, text: &str, style: Style, columns: usize) {
        push(&mut self.text, text, self.colour.then_some(style), columns);
    }

    fn plain(&mut self, text: &str, columns: usize) {
        push(&mut self.text, text, None, columns);
    }

    fn end_line(&mut self) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }

    fn title(&mut self, title: &str) {
        self.text.push('\n');
        self.push(title, HEAD, 0);
        self.end_line();
    }

    /// Appends a line `label     what`.
    fn entry(&mut self, label: &str, what: &str) {
        self.plain("", INDENT);
        self.push(label, QUIET, LABEL);
        self.plain(&cell(what, SENTENCE), 0);
        self.end_line();
    }

    fn entries<'a>(&mut self, label: &str, all: impl IntoIterator<Item = &'a str>) {
        let mut label = label;
        for what in all {
            self.entry(label, what);
            label = "";
        }
    }

    fn more(&mut self, left_out: u64, one: &str, many: &str) {
        if left_out > 0 {
            self.plain("", INDENT);
            self.push(&format!("and {}", counted(left_out, one, many)), QUIET, 0);
            self.end_line();
        }
    }

    fn head(&mut self, report: &Report) {
        let mut hosts = report
            .sessions
            .items
            .iter()
            .filter_map(|it| it.host.as_deref());
        let host = hosts
            .next_back()
            .map_or_else(String::new, |host| format!(" · {}", name(host)));
        self.push(&format!("tracer report{host}"), HEAD, 0);
        if let (Some(from), Some(to)) = (report.from, report.to) {
            let window = self.clock.window(from, to);
            self.plain(" · ", 0);
            self.plain(&window, 0);
        }
        self.end_line();
        if report.incidents.items.is_empty() && report.totals.deaths == 0 {
            self.plain(formatting::nothing(report), 0);
        } else {
            self.plain(&formatting::totals(&report.totals).join(" · "), 0);
        }
        self.end_line();
    }

    fn deployment(&mut self, report: &Report) {
        if let Some(deployment) = &report.deployment {
            self.text.push_str(&deploy::text(deployment, self.colour));
            self.text.push('\n');
        }
    }

    fn marks(&mut self, report: &Report) {
        if report.marks.is_empty() {
            return;
        }
        self.title("marks");
        for mark in &report.marks.items {
            let at = self.clock.time(mark.at);
            self.plain("", INDENT);
            self.push(&at, QUIET, at.len() + 2);
            self.plain(&cell(&mark.label, SENTENCE), 0);
            self.end_line();
        }
        self.more(report.marks.left_out, "more mark", "more marks");
    }

    fn services(&mut self, report: &Report) {
        if report.services.items.is_empty() {
            return;
        }
        self.text.push('\n');
        self.push("service", QUIET, NAME_COLUMNS.min(26));
        for (title, columns) in HEADINGS.into_iter().zip(COLUMNS) {
            self.push(title, QUIET, columns);
        }
        self.end_line();
        for service in &report.services.items {
            self.plain(&cell(&service.name, 25), 26);
            let cells = [
                number(service.requests_failed),
                number(service.connects_failed),
                formatting::total_downtime(service),
                number(service.deaths),
                number(service.incidents),
                formatting::causes(service),
            ];
            for (text, columns) in cells.iter().zip(COLUMNS) {
                self.plain(text, columns);
            }
            self.end_line();
        }
        self.more(report.services.left_out, "more service", "more services");
    }

    fn incident(&mut self, incident: &IncidentReport) {
        self.text.push('\n');
        let style = match incident.state {
            IncidentState::Open => BAD,
            IncidentState::Closed => HEAD,
        };
        self.push(
            &format!(
                "── {} · {} {} · {}",
                incident.id,
                name(&incident.service.name),
                wording::what_happened(incident.cause),
                formatting::downtime(incident)
            ),
            style,
            0,
        );
        self.end_line();
        let opened = format!(
            "{}{}",
            self.clock.date_time(incident.opened),
            if incident.crash_loop {
                ", crash loop"
            } else {
                ""
            }
        );
        self.entry("when", &opened);
        let why = incident.first_death().map(|death| death.why.as_str());
        self.entry("why", why.unwrap_or(&incident.summary));
        let costs = formatting::costs(incident).join(", ");
        if !costs.is_empty() {
            self.entry("cost", &costs);
        }
        self.entries("to do", incident.advice.iter().map(String::as_str));
        self.timeline(incident);
        self.requests(incident);
        if let Some(memory) = &incident.memory {
            self.entries("memory", memory.sentences.iter().map(String::as_str));
        }
        if let Some(alike) = &incident.alike {
            self.entry("earlier", &formatting::earlier_deaths(alike));
            for death in &alike.latest {
                let used = death
                    .used_bytes
                    .map_or_else(String::new, |it| format!(", used {}", bytes(it)));
                let uptime = formatting::whole_ms(death.uptime_ms);
                let line = format!("{}  ran for {uptime}{used}", self.clock.date_time(death.at));
                self.entry("", &line);
            }
        }
        self.entries("lost", incident.unseen.iter().map(|it| it.what.as_str()));
    }

    fn timeline(&mut self, incident: &IncidentReport) {
        let timeline = &incident.timeline;
        let mut label = "timeline";
        for step in &timeline.first {
            self.step(label, step);
            label = "";
        }
        if timeline.left_out > 0 {
            let steps = counted(timeline.left_out, "step", "steps");
            self.entry("", &format!("… {steps} left out …"));
        }
        for step in &timeline.last {
            self.step("", step);
        }
    }

    fn step(&mut self, label: &str, step: &Step) {
        self.plain("", INDENT);
        self.push(label, QUIET, LABEL);
        let time = self.clock.time(step.at);
        self.push(&time, QUIET, time.len() + 2);
        self.push(&formatting::after(step.after_ms), QUIET, 11);
        let style = match step.phase {
            Phase::Cause => BAD,
            Phase::Effect => Style::new(),
            Phase::Recovery => GOOD,
        };
        self.push(&cell(&step.what, SENTENCE), style, 0);
        if let Some(until) = step.until {
            let over = formatting::ms_between(step.at, until);
            self.push(&format!(" (over {})", ms(over)), QUIET, 0);
        }
        self.end_line();
    }

    fn requests(&mut self, incident: &IncidentReport) {
        let requests = &incident.requests;
        let mut label = "requests";
        for kind in &requests.by_template.items {
            let what = format!(
                "{:>6}  {}  {}",
                number(kind.count),
                formatting::status(kind.status),
                printable(&formatting::template(kind))
            );
            self.entry(label, &what);
            label = "";
        }
        if requests.by_template.left_out > 0 && !requests.by_template.items.is_empty() {
            let what = format!("{:>6}  others", number(requests.by_template.left_out));
            self.entry("", &what);
        }
        let mut label = "one by one";
        for request in requests.list.items.iter().take(REQUESTS) {
            let client = request.client.as_deref().unwrap_or("client unknown");
            let what = format!(
                "{}  {}  {}  {client}",
                self.clock.time(request.at),
                formatting::status(request.status),
                formatting::failed_request(request),
            );
            self.entry(label, &what);
            label = "";
        }
        let shown = requests.list.items.len().min(REQUESTS) as u64;
        if shown > 0 && requests.count > shown {
            self.entry("", &format!("and {} more", number(requests.count - shown)));
        }
    }

    fn failures(&mut self, report: &Report) {
        if report.failures.items.is_empty() {
            return;
        }
        self.title("Failed requests not explained by a death");
        for group in &report.failures.items {
            let upstream = group
                .upstream
                .as_deref()
                .map_or_else(String::new, |it| format!(" → {it}"));
            let what = format!(
                "{:>6}  {}  {}{upstream}: {}, {} to {}",
                number(group.count),
                formatting::status(group.status),
                group.proxy,
                wording::failure_or_unknown(group.failure, group.status, None),
                self.clock.time(group.first),
                self.clock.time(group.last)
            );
            self.plain("", INDENT);
            self.plain(&cell(&what, SENTENCE), 0);
            self.end_line();
        }
    }

    fn deaths(&mut self, deaths: &Capped<DeathAt>) {
        if deaths.items.is_empty() {
            return;
        }
        self.title("Deaths without an incident");
        for DeathAt { at, death } in &deaths.items {
            let time = self.clock.time(*at);
            self.plain("", INDENT);
            self.push(&time, QUIET, time.len() + 2);
            self.plain(&cell(&death.service.name, 25), 26);
            let what = format!(
                "{}[{}] {}",
                death.process.comm, death.process.pid, death.why
            );
            self.plain(&cell(&what, SENTENCE), 0);
            self.end_line();
        }
        self.more(deaths.left_out, "more death", "more deaths");
    }

    fn unseen(&mut self, unseen: &[Unseen]) {
        if unseen.is_empty() {
            return;
        }
        self.title("Blind spots and losses");
        for gap in unseen {
            self.plain("", INDENT);
            self.plain(&cell(&gap.what, SENTENCE), 0);
            self.end_line();
        }
    }
}
