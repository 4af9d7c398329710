//! What keys and the mouse do to the screen.

use ratatui::layout::Position;

use super::input::{Input, Mouse, MouseKind};
use super::keys::{self, Action, Mode};
use super::panes::Pane;
use super::screen::{Screen, Sort, Typing};

/// Characters of a search or a filter.
const MAX_INPUT: usize = 120;
/// Rows that a turn of the mouse wheel moves.
const WHEEL: usize = 3;

/// What the user wants that the screen itself cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Quit.
    Quit,
    /// Clear the terminal and draw everything again.
    Redraw,
    /// Capture the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Replay: pause or play.
    Pause,
    /// Replay: move by so many seconds.
    Seek(i64),
    /// Replay: go to the previous incident.
    PreviousIncident,
    /// Replay: go to the next incident.
    NextIncident,
    /// Replay: twice as fast.
    Faster,
    /// Replay: half as fast.
    Slower,
}

impl Screen {
    /// A key was pressed, or the mouse used.
    pub fn input(&mut self, input: Input) -> Option<Want> {
        match input {
            Input::Key(key) => {
                let mode = Mode {
                    typing: self.typing.is_some(),
                    replay: self.playback.is_some(),
                };
                let action = keys::action(key, mode);
                if self.help && action != Some(Action::Quit) {
                    self.help = false;
                    return None;
                }
                self.act(&action?)
            }
            Input::Mouse(mouse) => {
                self.mouse(mouse);
                None
            }
        }
    }

    fn act(&mut self, action: &Action) -> Option<Want> {
        match action {
            Action::Quit => return Some(Want::Quit),
            Action::Redraw => return Some(Want::Redraw),
            Action::Help => self.help = true,
            Action::NextPane => self.turn(1),
            Action::PreviousPane => self.turn(Pane::ALL.len() - 1),
            Action::Pane(index) => self.focus = Pane::ALL[index % Pane::ALL.len()],
            Action::Up(rows) => self.go(-signed(*rows)),
            Action::Down(rows) => self.go(signed(*rows)),
            Action::PageUp => self.go(-signed(self.page())),
            Action::PageDown => self.go(signed(self.page())),
            Action::Home => self.go(isize::MIN / 2),
            Action::End => self.go(isize::MAX / 2),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::Search => self.type_into(Typing::Search),
            Action::Filter => self.type_into(Typing::Filter),
            Action::NextMatch => self.find(true),
            Action::PreviousMatch => self.find(false),
            Action::Sort => {
                self.sort = match self.sort {
                    Sort::Worst => Sort::Name,
                    Sort::Name => Sort::Memory,
                    Sort::Memory => Sort::Failures,
                    Sort::Failures => Sort::Worst,
                };
            }
            Action::Mouse => {
                self.mouse = !self.mouse;
                return Some(Want::Mouse(self.mouse));
            }
            Action::PreviousIncident if self.playback.is_some() => {
                return Some(Want::PreviousIncident);
            }
            Action::NextIncident if self.playback.is_some() => return Some(Want::NextIncident),
            // The newest is the uppermost.
            Action::PreviousIncident => self.choose_incident(1),
            Action::NextIncident => self.choose_incident(-1),
            Action::Pause => return Some(Want::Pause),
            Action::Seek(seconds) => return Some(Want::Seek(*seconds)),
            Action::Faster => return Some(Want::Faster),
            Action::Slower => return Some(Want::Slower),
            Action::Typed(_)
            | Action::Erase
            | Action::EraseAll
            | Action::Accept
            | Action::Cancel => self.typed(action),
        }
        None
    }

    fn turn(&mut self, by: usize) {
        let now = Pane::ALL.iter().position(|pane| *pane == self.focus);
        self.focus = Pane::ALL[(now.unwrap_or(0) + by) % Pane::ALL.len()];
    }

    /// Rows that a page has.
    fn page(&self) -> usize {
        let rows = self.panes.as_ref().and_then(|panes| panes.of(self.focus));
        rows.map_or(1, |area| usize::from(area.height.saturating_sub(3)).max(1))
    }

    fn go(&mut self, by: isize) {
        match self.focus {
            Pane::Services => {
                let index = match self.service_index() {
                    Some(index) => moved(index, by, self.rows.len()),
                    None => 0,
                };
                self.service = self.rows.get(index).cloned();
            }
            Pane::Incidents => self.choose_incident(by),
            Pane::Detail => {
                self.detail_top = moved(self.detail_top, by, usize::from(u16::MAX));
            }
            Pane::Events => self.go_event(by),
        }
    }

    fn go_event(&mut self, by: isize) {
        let last = self.events.len().saturating_sub(1);
        let index = moved(self.event_index(), by, self.events.len());
        self.event = if index >= last {
            None
        } else {
            self.events.get(index).copied()
        };
    }

    /// Incidents are shown newest first.
    fn choose_incident(&mut self, by: isize) {
        let ids: Vec<u64> = self.state.incidents().rev().map(|one| one.id).collect();
        let index = moved(self.incident_index(), by, ids.len());
        self.incident = ids.get(index).copied().filter(|_| index > 0);
        self.detail_top = 0;
    }

    fn open(&mut self) {
        match self.focus {
            Pane::Services => {
                if let Some((_, name)) = self.service.clone() {
                    self.set_filter(&quoted(&name));
                    self.focus = Pane::Events;
                }
            }
            Pane::Incidents => self.focus = Pane::Detail,
            Pane::Detail => {}
            Pane::Events => {
                let number = self.events.get(self.event_index());
                let line = number.and_then(|number| self.state.log().get(*number));
                if let Some(id) = line.and_then(|line| line.incident)
                    && self.state.incident(id).is_some()
                {
                    self.incident = Some(id);
                    self.detail_top = 0;
                    self.focus = Pane::Detail;
                }
            }
        }
    }

    fn back(&mut self) {
        if self.focus == Pane::Detail {
            self.focus = Pane::Incidents;
        } else if !self.filter.is_empty() {
            self.set_filter("");
        } else if !self.search.is_empty() {
            self.search.clear();
        } else {
            self.event = None;
        }
    }

    fn type_into(&mut self, typing: Typing) {
        self.typing = Some(typing);
        self.focus = Pane::Events;
        if typing == Typing::Search {
            self.search.clear();
        }
    }

    fn typed(&mut self, action: &Action) {
        let Some(typing) = self.typing else {
            return;
        };
        let mut text = match typing {
            Typing::Search => self.search.clone(),
            Typing::Filter => self.filter.clone(),
        };
        match action {
            Action::Typed(c) if text.chars().count() < MAX_INPUT && !c.is_control() => {
                text.push(*c);
            }
            Action::Erase => drop(text.pop()),
            Action::EraseAll | Action::Cancel => text.clear(),
            _ => {}
        }
        match typing {
            Typing::Search => self.search = text,
            Typing::Filter => self.set_filter(&text),
        }
        match action {
            Action::Accept => {
                self.typing = None;
                if typing == Typing::Search {
                    self.find(false);
                }
            }
            Action::Cancel => self.typing = None,
            _ => {}
        }
    }

    /// Goes to the next event, or the one before, that contains the searched text; wraps around.
    fn find(&mut self, forward: bool) {
        let wanted = self.search.to_lowercase();
        let count = self.events.len();
        if wanted.is_empty() || count == 0 {
            return;
        }
        self.focus = Pane::Events;
        let from = self.event_index();
        let found = (1..=count)
            .map(|step| (from + if forward { step } else { count - step }) % count)
            .find(|index| {
                let number = self.events.get(*index);
                let line = number.and_then(|number| self.state.log().get(*number));
                line.is_some_and(|line| line.text.to_lowercase().contains(&wanted))
            });
        if let Some(index) = found {
            self.event = self.events.get(index).copied();
        }
    }

    fn mouse(&mut self, mouse: Mouse) {
        let position = Position::new(mouse.column, mouse.row);
        let Some(panes) = self.panes.clone() else {
            return;
        };
        if self.help {
            self.help = !matches!(mouse.kind, MouseKind::Click | MouseKind::OtherClick);
            return;
        }
        if mouse.kind == MouseKind::Click
            && let Some(pane) = panes.tab_at(position)
        {
            self.focus = pane;
            return;
        }
        match (mouse.kind, panes.at(position)) {
            (MouseKind::ScrollUp, Some(pane)) => {
                self.focus = pane;
                self.go(-signed(WHEEL));
            }
            (MouseKind::ScrollDown, Some(pane)) => {
                self.focus = pane;
                self.go(signed(WHEEL));
            }
            (MouseKind::Click, Some(pane)) => {
                self.focus = pane;
                if let Some(row) = panes.row_at(pane, position) {
                    self.click(pane, row);
                }
            }
            _ => {}
        }
    }

    fn click(&mut self, pane: Pane, row: usize) {
        match pane {
            Pane::Services => {
                if let Some(key) = self.rows.get(self.service_top + row) {
                    self.service = Some(key.clone());
                }
            }
            Pane::Incidents => {
                let index = self.incident_top + row;
                let again = index == self.incident_index();
                let id = self.state.incidents().rev().nth(index).map(|one| one.id);
                if let Some(id) = id {
                    self.incident = Some(id).filter(|_| index > 0);
                    self.detail_top = 0;
                    if again {
                        self.focus = Pane::Detail;
                    }
                }
            }
            Pane::Detail => {}
            Pane::Events => {
                let index = self.first_event() + row;
                let last = self.events.len().saturating_sub(1);
                if let Some(number) = self.events.get(index) {
                    self.event = Some(*number).filter(|_| index < last);
                }
            }
        }
    }
}

/// A filter for a service's name as it is shown.
fn quoted(name: &str) -> String {
    tracer_model::printable(name)
        .split_whitespace()
        .map(|word| word.trim_start_matches('!'))
        .collect::<Vec<_>>()
        .join(" ")
}

fn signed(rows: usize) -> isize {
    isize::try_from(rows).unwrap_or(isize::MAX)
}

fn moved(index: usize, by: isize, count: usize) -> usize {
    index.saturating_add_signed(by).min(count.saturating_sub(1))
}
