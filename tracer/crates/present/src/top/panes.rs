//! The panes, and where on the screen each of them is.

use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr as _;

/// Rows of the list of services above its first service: title and column heads.
pub(super) const SERVICES_HEAD_ROWS: u16 = 2;

/// The panes by name, as small screens show them.
pub(super) const TABS: [(Pane, &str); 4] = [
    (Pane::Services, "1 Services"),
    (Pane::Incidents, "2 Incidents"),
    (Pane::Detail, "3 Story"),
    (Pane::Events, "4 Events"),
];

/// Columns that a pane's name takes, the space around it included.
pub(super) fn tab_columns(name: &str) -> u16 {
    u16::try_from(name.width()).unwrap_or(0) + 3
}

/// The panes that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Services,
    Incidents,
    Detail,
    Events,
}

impl Pane {
    pub(super) const ALL: [Self; 4] = [Self::Services, Self::Incidents, Self::Detail, Self::Events];
}

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
    /// The names of the panes, on a screen that shows only one at a time.
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

    /// The pane at a position.
    pub(super) fn at(&self, position: Position) -> Option<Pane> {
        Pane::ALL
            .into_iter()
            .find(|pane| self.of(*pane).is_some_and(|area| area.contains(position)))
    }

    /// The line of a pane's list at a position.
    pub(super) fn row_at(&self, pane: Pane, position: Position) -> Option<usize> {
        let area = self.of(pane)?;
        let head = match pane {
            Pane::Services => SERVICES_HEAD_ROWS,
            _ => 1,
        };
        let row = position.y.checked_sub(area.y)?.checked_sub(head)?;
        Some(usize::from(row))
    }

    /// The pane whose name is at a position.
    pub(super) fn tab_at(&self, position: Position) -> Option<Pane> {
        let area = self.tabs.filter(|area| area.contains(position))?;
        let mut x = area.x;
        TABS.into_iter().find_map(|(pane, name)| {
            x += tab_columns(name);
            (position.x < x).then_some(pane)
        })
    }
}
