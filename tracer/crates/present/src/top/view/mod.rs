//! How the screen looks: which pane is where, and what they all draw with. One file per pane.

mod detail;
mod events;
mod footer;
mod header;
mod help;
mod incidents;
mod paint;
mod services;

pub(super) use events::top as events_top;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::screen::{Pane, Screen};
use super::theme::STRONG;

/// The narrowest screen that something can be shown on.
pub const MIN_COLUMNS: u16 = 60;
/// The lowest.
pub const MIN_ROWS: u16 = 15;

/// Fewer rows than this show one pane at a time.
const STACKED_ROWS: u16 = 22;
/// From here on an incident's story is beside the list.
const SIDE_BY_SIDE_COLUMNS: u16 = 100;

/// Where the panes are. A pane's first row is its title.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Panes {
    pub(super) header: Rect,
    pub(super) services: Option<Rect>,
    pub(super) incidents: Option<Rect>,
    pub(super) detail: Option<Rect>,
    pub(super) events: Option<Rect>,
    pub(super) playback: Option<Rect>,
    pub(super) footer: Rect,
    /// One pane at a time: their names, to choose from.
    pub(super) tabs: Option<Rect>,
}

impl Panes {
    pub(super) fn of(&self, pane: Pane) -> Option<Rect> {
        match pane {
            Pane::Services => self.services,
            Pane::Incidents => self.incidents,
            Pane::Detail => self.detail,
            Pane::Events => self.events,
        }
    }

    /// Which line of a pane's list is at a position.
    pub(super) fn row_at(&self, pane: Pane, position: Position) -> Option<usize> {
        let area = self.of(pane)?;
        let head = match pane {
            Pane::Services => services::HEAD_ROWS,
            _ => 1,
        };
        let row = position.y.checked_sub(area.y)?.checked_sub(head)?;
        Some(usize::from(row))
    }

    /// Which pane's name is at a position.
    pub(super) fn tab_at(&self, position: Position) -> Option<Pane> {
        let area = self.tabs.filter(|area| area.contains(position))?;
        let mut x = area.x;
        header::TABS.into_iter().find_map(|(pane, name)| {
            x += header::tab_columns(name);
            (position.x < x).then_some(pane)
        })
    }
}

/// Where the panes are on a screen of that size; none when it is too small.
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
    let telling = screen.focus == Pane::Detail && !beside;
    // What is worth seeing of each, within its share.
    let middle = match (incidents, beside) {
        _ if telling => body.height * 3 / 5,
        (0, _) => 2,
        (_, true) => (incidents.max(11) + 1).min((body.height * 2 / 5).max(9)),
        (_, false) => incidents.saturating_add(1).min(body.height / 4),
    };
    let most = (body.height - middle) * 11 / 20;
    let upper = services
        .saturating_add(services::HEAD_ROWS)
        .clamp(services::HEAD_ROWS + 1, most.max(services::HEAD_ROWS + 2));
    let part = |y: u16, height: u16| Rect::new(body.x, y, body.width, height);
    panes.services = Some(part(body.y, upper));
    let middle_area = part(body.y + upper, middle);
    let lower = part(middle_area.bottom(), body.height - upper - middle);
    panes.events = Some(lower);
    if telling {
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

/// Draws everything.
pub(super) fn draw(screen: &mut Screen, buffer: &mut Buffer) {
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
