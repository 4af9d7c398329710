//! A report as Markdown for a ticket or a wiki: GitHub's dialect, readable as plain text too.

use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::tz::TimeZone;
use tracer_model::quantity::bytes;
use tracer_model::{WallTime, printable, wording};

use super::clock::Clock;
use super::formatting::{self, counted, ms, number};
use super::model::{IncidentReport, Phase, Report, Step};

/// How many requests are listed one by one.
const REQUESTS: usize = 50;
/// Longest text from outside, in characters.
const LONGEST: usize = 300;

/// Writes it to `out`.
pub(super) fn write(report: &Report, zone: TimeZone, out: &mut impl Write) -> io::Result<()> {
    let mut page = Page {
        clock: Clock::new(report, zone),
        text: String::with_capacity(8192),
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
    page.deaths(report);
    page.unseen(report);
    out.write_all(page.text.as_bytes())
}

/// Escapes text from outside, so that none of it is markup, a link or a mention, and so that it stays
/// in its table cell. Characters that are markup only at the beginning of a line (`-`, `1.`) are
/// kept: every line begins with the report's own words.
fn plain(outside: &str) -> String {
    let outside = printable(outside);
    let mut text = String::with_capacity(outside.len() + 16);
    for (index, c) in outside.chars().enumerate() {
        if index == LONGEST {
            text.push('…');
            break;
        }
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            // Code forges turn `@name` and `#1` into links.
            '@' => text.push_str("&#64;"),
            '#' => text.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                text.push('\\');
                text.push(c);
            }
            c => text.push(c),
        }
    }
    // They turn addresses into links, too.
    text.replace("://", "&#58;//").replace("www.", "www&#46;")
}

struct Page {
    clock: Clock,
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Appends a heading, with an empty line before and after.
    fn heading(&mut self, level: usize, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let _ = writeln!(self.text, "{} {heading}\n", "#".repeat(level));
    }

    fn table(&mut self, columns: &[&str], numbers: usize) {
        let _ = writeln!(self.text, "| {} |", columns.join(" | "));
        for index in 0..columns.len() {
            let right = index > 0 && index <= numbers;
            self.text.push_str(if right { "|--:" } else { "|---" });
        }
        self.line("|");
    }

    fn row(&mut self, cells: &[String]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    fn more(&mut self, left_out: u64, one: &str, many: &str) {
        if left_out > 0 {
            let _ = writeln!(self.text, "\n…and {}.", counted(left_out, one, many));
        }
    }

    fn time(&self, at: WallTime) -> String {
        self.clock.time(at)
    }

    fn head(&mut self, report: &Report) {
        let mut hosts = report
            .sessions
            .items
            .iter()
            .filter_map(|it| it.host.as_deref());
        let host = hosts
            .next_back()
            .map_or_else(String::new, |host| format!(" of {}", plain(host)));
        self.heading(1, &format!("Postmortem{host}"));
        if let (Some(from), Some(to)) = (report.from, report.to) {
            let window = self.clock.window(from, to);
            self.line(&format!("Observed from {window}.\n"));
        }
        if report.incidents.items.is_empty() && report.totals.deaths == 0 {
            self.line(formatting::nothing(report));
        } else {
            let totals = formatting::totals(&report.totals).join(" · ");
            self.line(&format!("**{totals}**"));
        }
    }

    fn deployment(&mut self, report: &Report) {
        let Some(verdict) = &report.deployment else {
            return;
        };
        let word = match verdict.exit_code() {
            0 => "✅",
            _ => "❌",
        };
        self.heading(1, &format!("{word} {}", plain(&verdict.headline().what)));
        for line in verdict.lines() {
            let about = match &*line.about {
                "" => String::new(),
                about => format!("**{}**: ", plain(about)),
            };
            self.line(&format!("- {about}{}", plain(&line.what)));
        }
    }

    fn marks(&mut self, report: &Report) {
        if report.marks.is_empty() {
            return;
        }
        self.heading(2, "Marks");
        for mark in &report.marks.items {
            let at = self.time(mark.at);
            self.line(&format!("- {at} {}", plain(&mark.label)));
        }
        self.more(report.marks.left_out, "more mark", "more marks");
    }

    fn services(&mut self, report: &Report) {
        if report.services.items.is_empty() {
            return;
        }
        self.heading(2, "Services");
        let columns = [
            "Service",
            "Requests failed",
            "Connects failed",
            "Down",
            "Deaths",
            "Incidents",
            "Causes",
        ];
        self.table(&columns, 5);
        for service in &report.services.items {
            self.row(&[
                plain(&service.name),
                number(service.requests_failed),
                number(service.connects_failed),
                formatting::total_downtime(service),
                number(service.deaths),
                number(service.incidents),
                formatting::causes(service),
            ]);
        }
        self.more(report.services.left_out, "more service", "more services");
    }

    fn incident(&mut self, incident: &IncidentReport) {
        self.heading(
            2,
            &format!(
                "{}. {} {}",
                incident.id,
                plain(&incident.service.name),
                wording::what_happened(incident.cause)
            ),
        );
        let opened = self.clock.date_time(incident.opened);
        let crash_loop = if incident.crash_loop {
            ", in a crash loop"
        } else {
            ""
        };
        self.line(&format!(
            "- **When:** {opened}, {}{crash_loop}",
            formatting::downtime(incident)
        ));
        let why = incident.first_death().map(|death| death.why.as_str());
        self.line(&format!(
            "- **Why:** {}",
            plain(why.unwrap_or(&incident.summary))
        ));
        let costs = formatting::costs(incident).join(", ");
        if !costs.is_empty() {
            self.line(&format!("- **Cost:** {costs}"));
        }
        for advice in &incident.advice {
            self.line(&format!("- **To do:** {}", plain(advice)));
        }
        for gap in &incident.unseen {
            self.line(&format!("- **Lost:** {}", plain(&gap.what)));
        }
        self.timeline(incident);
        self.requests(incident);
        if let Some(memory) = &incident.memory {
            self.heading(3, "Memory");
            for sentence in &memory.sentences {
                self.line(&plain(sentence));
            }
        }
        if let Some(alike) = &incident.alike {
            self.heading(3, "Earlier deaths");
            self.line(&format!("{}.\n", formatting::earlier_deaths(alike)));
            self.table(&["When", "Uptime", "Memory"], 2);
            for death in &alike.latest {
                let uptime = formatting::whole_ms(death.uptime_ms);
                self.row(&[
                    self.clock.date_time(death.at),
                    uptime,
                    death.used_bytes.map_or_else(|| "unknown".to_owned(), bytes),
                ]);
            }
        }
    }

    fn timeline(&mut self, incident: &IncidentReport) {
        self.heading(3, "Timeline");
        self.table(&["Time", "After", "Part", "What"], 1);
        let timeline = &incident.timeline;
        for step in &timeline.first {
            self.step(step);
        }
        if timeline.left_out > 0 {
            let steps = counted(timeline.left_out, "step", "steps");
            self.row(&[
                "…".to_owned(),
                String::new(),
                String::new(),
                format!("{steps} left out"),
            ]);
        }
        for step in &timeline.last {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        let part = match step.phase {
            Phase::Cause => "cause",
            Phase::Effect => "effect",
            Phase::Recovery => "recovery",
        };
        let over = step.until.map_or_else(String::new, |until| {
            format!(" (over {})", ms(formatting::ms_between(step.at, until)))
        });
        let what = if step.phase == Phase::Cause {
            format!("**{}**{over}", plain(&step.what))
        } else {
            format!("{}{over}", plain(&step.what))
        };
        self.row(&[
            self.time(step.at),
            formatting::after(step.after_ms),
            part.to_owned(),
            what,
        ]);
    }

    fn requests(&mut self, incident: &IncidentReport) {
        let requests = &incident.requests;
        if requests.count == 0 {
            return;
        }
        self.heading(
            3,
            &counted(requests.count, "request failed", "requests failed"),
        );
        if requests.by_template.items.is_empty() {
            self.line("Too many failed at once: they were counted, not shown in detail.");
            return;
        }
        self.table(&["Request", "Count", "Status"], 2);
        for kind in &requests.by_template.items {
            self.row(&[
                plain(&formatting::template(kind)),
                number(kind.count),
                formatting::status(kind.status),
            ]);
        }
        self.more(
            requests.by_template.left_out,
            "more request",
            "more requests",
        );
        if requests.list.items.is_empty() {
            return;
        }
        self.line("\n<details><summary>One by one</summary>\n");
        self.table(&["Time", "Status", "Request", "Client"], 1);
        for request in requests.list.items.iter().take(REQUESTS) {
            self.row(&[
                self.time(request.at),
                formatting::status(request.status),
                plain(&formatting::failed_request(request)),
                request.client.as_deref().map_or_else(String::new, plain),
            ]);
        }
        let shown = requests.list.items.len().min(REQUESTS) as u64;
        self.more(
            requests.count - shown.min(requests.count),
            "more request",
            "more requests",
        );
        self.line("\n</details>");
    }

    fn failures(&mut self, report: &Report) {
        if report.failures.items.is_empty() {
            return;
        }
        self.heading(2, "Failed requests not explained by a death");
        self.table(
            &[
                "Proxy", "Count", "Status", "Upstream", "Reason", "First", "Last",
            ],
            2,
        );
        for group in &report.failures.items {
            self.row(&[
                plain(&group.proxy),
                number(group.count),
                formatting::status(group.status),
                group.upstream.as_deref().map_or_else(String::new, plain),
                wording::failure_or_unknown(group.failure, group.status, None).into_owned(),
                self.time(group.first),
                self.time(group.last),
            ]);
        }
    }

    fn deaths(&mut self, report: &Report) {
        if report.deaths.items.is_empty() {
            return;
        }
        self.heading(2, "Deaths without an incident");
        self.table(&["Time", "Service", "Process", "Why"], 0);
        for entry in &report.deaths.items {
            let process = &entry.death.process;
            self.row(&[
                self.time(entry.at),
                plain(&entry.death.service.name),
                plain(&format!("{}[{}]", process.comm, process.pid)),
                plain(&entry.death.why),
            ]);
        }
        self.more(report.deaths.left_out, "more death", "more deaths");
    }

    fn unseen(&mut self, report: &Report) {
        if report.unseen.is_empty() {
            return;
        }
        self.heading(2, "Blind spots and losses");
        for gap in &report.unseen {
            self.line(&format!("- {}", plain(&gap.what)));
        }
    }
}
