//! The incidents, the newest first.

use std::borrow::Cow;
use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tracer_model::printable;
use tracer_model::wording::milliseconds;

use super::paint::{self, count, lasting, time_of_day};
use crate::cell::cell;
use crate::top::panes::Pane;
use crate::top::screen::Screen;
use crate::top::state::Incident;
use crate::top::theme::{BAD, CALM, CHOSEN, PLAIN, QUIET, STRONG};

const TIME: u16 = 9;

pub(super) fn draw(screen: &mut Screen, area: Rect, buffer: &mut Buffer) {
    let focused = screen.focus == Pane::Incidents;
    let all: Vec<&Incident> = screen.state.incidents().rev().collect();
    let open = all.iter().filter(|one| one.open).count();
    let what = match (all.len(), open) {
        (0, _) => "none".to_owned(),
        (all, 0) => format!("{all}, all closed"),
        (all, open) => format!("{all}, {open} open"),
    };
    paint::title(buffer, area, "Incidents", &what, focused);
    if all.is_empty() {
        let since = screen.state.began().map_or_else(String::new, |began| {
            let zone = screen.state.log().zone();
            format!(
                "No service went down since {}.",
                time_of_day(began, zone, false)
            )
        });
        let room = area.width.saturating_sub(2);
        paint::text(buffer, (area.x + 2, area.y + 1), room, &since, QUIET);
        return;
    }
    let rows = usize::from(area.height.saturating_sub(1));
    let chosen = screen.incident_index();
    let top = screen
        .incident_top
        .clamp(chosen.saturating_sub(rows.saturating_sub(1)), chosen)
        .min(all.len().saturating_sub(rows));
    let story_is_shown = screen
        .panes
        .as_ref()
        .is_some_and(|panes| panes.detail.is_some());
    let shown = all.iter().enumerate().skip(top).take(rows);
    for (y, (index, incident)) in (area.y + 1..).zip(shown) {
        let line = Rect::new(area.x, y, area.width, 1);
        row(screen, incident, line, buffer);
        if index == chosen && (focused || story_is_shown) {
            let style = if focused { CHOSEN } else { STRONG };
            paint::highlight(buffer, area, y, style);
        }
    }
    screen.incident_top = top;
}

fn row(screen: &Screen, incident: &Incident, area: Rect, buffer: &mut Buffer) {
    let zone = screen.state.log().zone();
    let (mark, style) = if incident.open {
        ("●", BAD)
    } else {
        ("○", CALM)
    };
    paint::text(buffer, (area.x, area.y), 1, mark, style);
    let x = area.x + 2;
    let opened = time_of_day(incident.opened, zone, false);
    paint::text(buffer, (x, area.y), TIME, &opened, QUIET);
    let x = x + TIME;
    let right = fate(screen, incident);
    let right_columns = u16::try_from(right.chars().count()).unwrap_or(area.width);
    let room = area.right().saturating_sub(x);
    let right_columns = right_columns.min(room / 2);
    let left = room.saturating_sub(right_columns + 1);
    // The cause needs room as well.
    let name = cell(&incident.service, usize::from(left / 2));
    let spans = [
        (name, if incident.open { STRONG } else { PLAIN }),
        (Cow::from("  "), PLAIN),
        (
            printable(&incident.summary),
            if incident.open { PLAIN } else { QUIET },
        ),
    ];
    paint::spans(buffer, (x, area.y), left, spans);
    let style = if incident.open { BAD } else { QUIET };
    paint::right(buffer, (x + left + 1, area.y), right_columns, &right, style);
}

/// What it cost, and how long the service was down.
fn fate(screen: &Screen, incident: &Incident) -> String {
    let mut text = String::new();
    let failed = incident.requests_failed.max(incident.connects_failed);
    if failed > 0 {
        let _ = write!(text, "{} failed · ", count(failed));
    }
    match (incident.open, incident.down_ms) {
        _ if incident.crash_loop && incident.open => text.push_str("crash loop"),
        (true, _) => {
            let _ = write!(
                text,
                "open {}",
                lasting(incident.opened, screen.state.now())
            );
        }
        (false, Some(down_ms)) => {
            let _ = write!(text, "down {}", milliseconds(down_ms));
        }
        (false, None) => text.push_str("closed"),
    }
    text
}
