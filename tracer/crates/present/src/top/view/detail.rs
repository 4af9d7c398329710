//! An incident's story: cause, effects, failed requests, recovery, advice.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use tracer_model::wording::{self, counted, milliseconds};
use tracer_model::{Cause, WallTime, printable};

use super::paint::{self, count, lasting, time_of_day, wrap};
use crate::top::panes::Pane;
use crate::top::screen::Screen;
use crate::top::state::{Incident, Steps};
use crate::top::theme::{BAD, EFFECT, GOOD, PLAIN, QUIET, STRONG};

/// Lines that one sentence takes at most.
const MOST_LINES: usize = 4;
/// A time of day with milliseconds, and the gap after it.
const TIME: u16 = 13;

/// A line of the story.
struct Line {
    /// To the left of the text: a time, a number.
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
    story.cause(incident);
    story.effects(incident);
    story.requests(incident);
    story.recovery(incident, screen.state.now());
    story.advice(incident);
    story.lines
}

struct Story<'a> {
    lines: Vec<Line>,
    columns: usize,
    zone: &'a jiff::tz::TimeZone,
}

impl Story<'_> {
    fn cause(&mut self, incident: &Incident) {
        let summary = match incident.summary.as_str() {
            "" => wording::cause(Cause::Unknown),
            known => known,
        };
        let style = if incident.open { BAD } else { STRONG };
        self.part("CAUSE", summary, style);
        self.steps(&incident.causes);
    }

    fn effects(&mut self, incident: &Incident) {
        let effects: Vec<String> = [
            (incident.deaths, counted(incident.deaths, "death", "deaths")),
            (
                incident.connections_cut,
                wording::connections_cut(incident.connections_cut),
            ),
            (
                incident.connects_failed,
                wording::connects_failed(incident.connects_failed),
            ),
        ]
        .into_iter()
        .filter_map(|(count, phrase)| (count > 0).then_some(phrase))
        .collect();
        let effects = if effects.is_empty() {
            "none seen".to_owned()
        } else {
            effects.join(", ")
        };
        self.part("EFFECTS", &effects, STRONG);
        self.steps(&incident.effects);
    }

    fn requests(&mut self, incident: &Incident) {
        if incident.requests_failed == 0 {
            return;
        }
        let failed = wording::requests_failed(incident.requests_failed);
        self.part("REQUESTS", &failed, EFFECT);
        for kind in &incident.failed {
            let status = kind
                .status
                .map_or_else(|| "no response".to_owned(), |it| it.to_string());
            let text = format!(
                "{:<4} {} {status}",
                kind.method.as_deref().unwrap_or("?"),
                kind.template.as_deref().unwrap_or("(path unknown)"),
            );
            self.entry(format!("{:>8} ×", count(kind.count)), &text);
        }
    }

    fn recovery(&mut self, incident: &Incident, now: WallTime) {
        let (state, style) = match (incident.open, incident.down_ms) {
            (true, _) if incident.crash_loop => ("not yet: it keeps dying".to_owned(), BAD),
            (true, _) if incident.recovery.list.is_empty() => {
                let down = lasting(incident.opened, now);
                (format!("not yet, down for {down}"), BAD)
            }
            (true, _) => (
                "running again; the incident closes when it stays up".to_owned(),
                EFFECT,
            ),
            (false, Some(down_ms)) => {
                let down = milliseconds(down_ms);
                (format!("recovered, down for {down}"), GOOD)
            }
            (false, None) => ("recovered, never down".to_owned(), GOOD),
        };
        self.part("RECOVERY", &state, style);
        self.steps(&incident.recovery);
    }

    fn advice(&mut self, incident: &Incident) {
        let mut margin = "ADVICE";
        for advice in &incident.advice {
            self.add(margin.to_owned(), STRONG, &format!("→ {advice}"), PLAIN);
            margin = "";
        }
    }

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
