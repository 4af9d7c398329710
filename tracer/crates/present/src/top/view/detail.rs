//! An incident's story: cause, effects, requests lost, recovery, and what to do about it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use tracer_model::printable;
use tracer_model::quantity::duration;

use super::paint::{self, count, counted, lasting, time_of_day, wrap};
use crate::top::screen::{Pane, Screen};
use crate::top::state::{Incident, Steps};
use crate::top::theme::{BAD, EFFECT, GOOD, PLAIN, QUIET, STRONG};

/// Lines that one sentence takes at most.
const MOST_LINES: usize = 4;
/// A time of day with milliseconds, and the gap after it.
const TIME: u16 = 13;

/// A line of the story.
struct Line {
    /// What is left of the text: a time, a number.
    margin: String,
    margin_style: Style,
    text: String,
    style: Style,
}

pub(super) fn draw(screen: &mut Screen, area: Rect, buffer: &mut Buffer) {
    let focused = screen.focus == Pane::Detail;
    let Some(incident) = screen.chosen_incident() else {
        paint::title(buffer, area, "Story", "no incident yet", focused);
        return;
    };
    let lines = story(screen, incident, area.width);
    let rows = usize::from(area.height.saturating_sub(1));
    let top = screen.detail_top.min(lines.len().saturating_sub(rows));
    let name = format!("Incident {}", incident.id);
    let mut what = printable(&incident.service).into_owned();
    if lines.len() > rows {
        let below = lines.len() - rows - top;
        if below > 0 {
            what = format!(
                "{what} · {} below ↓",
                counted(below as u64, "line", "lines")
            );
        }
    }
    paint::title(buffer, area, &name, &what, focused);
    for (y, line) in (area.y + 1..area.bottom()).zip(lines.iter().skip(top)) {
        paint::text(
            buffer,
            (area.x, y),
            TIME - 1,
            &line.margin,
            line.margin_style,
        );
        let x = area.x + TIME;
        let room = area.right().saturating_sub(x);
        paint::text(buffer, (x, y), room, &line.text, line.style);
    }
    screen.detail_top = top;
}

fn story(screen: &Screen, incident: &Incident, columns: u16) -> Vec<Line> {
    let mut story = Story {
        lines: Vec::new(),
        columns: usize::from(columns.saturating_sub(TIME)),
        zone: screen.state.log().zone(),
    };
    let summary = match incident.summary.as_str() {
        "" => "cause unknown",
        known => known,
    };
    let style = if incident.open { BAD } else { STRONG };
    story.part("CAUSE", summary, style);
    story.steps(&incident.causes);

    let mut effects = Vec::new();
    for (number, one, many) in [
        (incident.deaths, "death", "deaths"),
        (
            incident.connections_cut,
            "connection cut",
            "connections cut",
        ),
        (
            incident.connects_failed,
            "connect failed",
            "connects failed",
        ),
    ] {
        if number > 0 {
            effects.push(counted(number, one, many));
        }
    }
    let effects = if effects.is_empty() {
        "none seen".to_owned()
    } else {
        effects.join(", ")
    };
    story.part("EFFECTS", &effects, STRONG);
    story.steps(&incident.effects);

    if incident.requests_failed > 0 {
        let lost = counted(
            incident.requests_failed,
            "request failed",
            "requests failed",
        );
        story.part("REQUESTS", &lost, EFFECT);
        for lost in &incident.lost {
            let status = lost
                .status
                .map_or_else(|| "no answer".to_owned(), |it| it.to_string());
            let text = format!(
                "{:<4} {} {status}",
                lost.method.as_deref().unwrap_or("?"),
                lost.template.as_deref().unwrap_or("(path unknown)"),
            );
            story.entry(format!("{:>8} ×", count(lost.count)), &text);
        }
    }

    let now = screen.state.now();
    let down = incident.down_ms.map(|ms| {
        let down = std::time::Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default();
        duration(down)
    });
    let (state, style) = match (incident.open, down) {
        (true, _) if incident.crash_loop => ("not yet: it keeps dying".to_owned(), BAD),
        (true, _) if incident.recovery.list.is_empty() => (
            format!("not yet, since {}", lasting(incident.opened, now)),
            BAD,
        ),
        (true, _) => (
            "it is back; the incident ends when it stays up".to_owned(),
            EFFECT,
        ),
        (false, Some(down)) => (format!("back, it was down for {down}"), GOOD),
        (false, None) => ("over".to_owned(), GOOD),
    };
    story.part("RECOVERY", &state, style);
    story.steps(&incident.recovery);

    if !incident.advice.is_empty() {
        story.part("ADVICE", "", STRONG);
        if let Some(last) = story.lines.pop() {
            // The first piece of advice is beside the word.
            for (index, advice) in incident.advice.iter().enumerate() {
                let margin = if index == 0 {
                    last.margin.clone()
                } else {
                    String::new()
                };
                story.add(margin, STRONG, &format!("→ {advice}"), PLAIN);
            }
        }
    }
    story.lines
}

struct Story<'a> {
    lines: Vec<Line>,
    columns: usize,
    zone: &'a jiff::tz::TimeZone,
}

impl Story<'_> {
    fn part(&mut self, name: &str, text: &str, style: Style) {
        self.add(name.to_owned(), STRONG, text, style);
    }

    fn entry(&mut self, margin: String, text: &str) {
        self.add(margin, QUIET, text, PLAIN);
    }

    fn steps(&mut self, steps: &Steps) {
        for step in &steps.list {
            let time = time_of_day(step.at, self.zone, true);
            let text = match step.count {
                0 | 1 => step.text.clone(),
                number => format!("{} ×{}", step.text, count(number)),
            };
            self.entry(time, &text);
        }
        if steps.more > 0 {
            self.entry(String::new(), &format!("and {} more", count(steps.more)));
        }
    }

    fn add(&mut self, margin: String, margin_style: Style, text: &str, style: Style) {
        let mut margin = Some(margin);
        for text in wrap(text, self.columns, MOST_LINES) {
            self.lines.push(Line {
                margin: margin.take().unwrap_or_default(),
                margin_style,
                text,
                style,
            });
        }
    }
}
