//! How the screen looks: which pane is where, and what they all draw with. One file per pane.

mod detail;
mod events;
mod footer;
mod header;
mod help;
mod incidents;
mod paint;
mod services;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::panes::{Pane, Panes, SERVICES_HEAD_ROWS};
use super::screen::Screen;
use super::theme::STRONG;

/// Width of the smallest usable screen.
pub const MIN_COLUMNS: u16 = 60;
/// Height of the smallest usable screen.
pub const MIN_ROWS: u16 = 15;

/// With fewer rows than this, one pane is shown at a time.
const STACKED_ROWS: u16 = 22;
/// From this width on, an incident's story is beside the list.
const SIDE_BY_SIDE_COLUMNS: u16 = 100;

/// The panes of a screen of that size; None when it is too small.
fn panes(screen: &Screen) -> Option<Panes> {
    let area = screen.area;
    if area.width < MIN_COLUMNS || area.height < MIN_ROWS {
        return None;
    }
    let row = |y: u16| Rect::new(area.x, y, area.width, 1);
    let mut panes = Panes {
        header: row(area.y),
        footer: row(area.bottom() - 1),
        ..Panes::default()
    };
    let mut body = Rect::new(area.x, area.y + 1, area.width, area.height - 2);
    if screen.playback.is_some() {
        body.height -= 1;
        panes.playback = Some(row(body.bottom()));
    }
    if body.height < STACKED_ROWS {
        panes.tabs = Some(row(body.y));
        body.y += 1;
        body.height -= 1;
        match screen.focus {
            Pane::Services => panes.services = Some(body),
            Pane::Incidents => panes.incidents = Some(body),
            Pane::Detail => panes.detail = Some(body),
            Pane::Events => panes.events = Some(body),
        }
        return Some(panes);
    }
    stack(screen, body, &mut panes);
    Some(panes)
}

/// Services above incidents above events.
fn stack(screen: &Screen, body: Rect, panes: &mut Panes) {
    let beside = body.width >= SIDE_BY_SIDE_COLUMNS;
    let incidents = u16::try_from(screen.state.incidents().count()).unwrap_or(u16::MAX);
    let services = u16::try_from(screen.rows.len()).unwrap_or(u16::MAX);
    let story_only = screen.focus == Pane::Detail && !beside;
    // What is worth seeing of each, within its share.
    let middle = match (incidents, beside) {
        _ if story_only => body.height * 3 / 5,
        (0, _) => 2,
        (_, true) => (incidents.max(11) + 1).min((body.height * 2 / 5).max(9)),
        (_, false) => incidents.saturating_add(1).min(body.height / 4),
    };
    let most = (body.height - middle) * 11 / 20;
    let upper = services
        .saturating_add(SERVICES_HEAD_ROWS)
        .clamp(SERVICES_HEAD_ROWS + 1, most.max(SERVICES_HEAD_ROWS + 2));
    let part = |y: u16, height: u16| Rect::new(body.x, y, body.width, height);
    panes.services = Some(part(body.y, upper));
    let middle_area = part(body.y + upper, middle);
    let lower = part(middle_area.bottom(), body.height - upper - middle);
    panes.events = Some(lower);
    if story_only {
        panes.detail = Some(middle_area);
    } else if beside && incidents > 0 {
        let list = middle_area.width * 9 / 20;
        panes.incidents = Some(Rect::new(middle_area.x, middle_area.y, list, middle));
        let x = middle_area.x + list + 1;
        panes.detail = Some(Rect::new(
            x,
            middle_area.y,
            middle_area.width - list - 1,
            middle,
        ));
    } else {
        panes.incidents = Some(middle_area);
    }
}

impl Screen {
    /// Draws everything. `buffer` is blank.
    pub fn draw(&mut self, buffer: &mut Buffer) {
        self.area = buffer.area;
        self.refresh_rows();
        self.refresh_events();
        draw(self, buffer);
        self.theme.reduce(buffer);
    }
}

fn draw(screen: &mut Screen, buffer: &mut Buffer) {
    screen.panes = panes(screen);
    let Some(panes) = screen.panes.clone() else {
        too_small(screen, buffer);
        return;
    };
    header::draw(screen, panes.header, buffer);
    if let Some(area) = panes.tabs {
        header::tabs(screen, area, buffer);
    }
    if let Some(area) = panes.services {
        services::draw(screen, area, buffer);
    }
    if let Some(area) = panes.incidents {
        incidents::draw(screen, area, buffer);
    }
    if let Some(area) = panes.detail {
        detail::draw(screen, area, buffer);
    }
    if let Some(area) = panes.events {
        events::draw(screen, area, buffer);
    }
    if let Some(area) = panes.playback {
        footer::playback(screen, area, buffer);
    }
    footer::draw(screen, panes.footer, buffer);
    if screen.help {
        help::draw(screen, buffer);
    }
}

fn too_small(screen: &Screen, buffer: &mut Buffer) {
    let area = screen.area;
    let lines = [
        "tracer top needs a larger window:".to_owned(),
        format!(
            "{MIN_COLUMNS} by {MIN_ROWS} at least, this is {} by {}",
            area.width, area.height
        ),
        "q quits".to_owned(),
    ];
    let from = area.y + area.height.saturating_sub(3) / 2;
    for (y, line) in (from..area.bottom()).zip(&lines) {
        paint::text(buffer, (area.x, y), area.width, line, STRONG);
    }
}
