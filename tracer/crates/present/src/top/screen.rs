//! The screen: what is known, and what the user chose to see of it.

use std::sync::Arc;

use crossterm::event::{Event, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use tracer_analysis::world::ServiceKey;
use tracer_model::{Finding, WallTime};

use super::keys::{self, Action, Place};
use super::state::{Filter, Health, Sample, Service, State};
use super::theme::Theme;
use super::view::{self, Panes};

/// Characters of a search or a filter.
const MAX_INPUT: usize = 120;
/// Rows that a turn of the mouse wheel moves.
const WHEEL: usize = 3;

/// What is to be done outside the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// End.
    Quit,
    /// Clear the terminal and draw everything again.
    Redraw,
    /// Catch the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Replay: pause or go on.
    Pause,
    /// Replay: go by so many seconds.
    Seek(i64),
    /// Replay: go to the incident before.
    PreviousIncident,
    /// Replay: go to the next incident.
    NextIncident,
    /// Replay: twice as fast.
    Faster,
    /// Replay: half as fast.
    Slower,
}

/// Where a replay is.
#[derive(Clone, Debug, PartialEq)]
pub struct Playback {
    /// The capture's first and last instants.
    pub range: (WallTime, WallTime),
    /// Where it is.
    pub at: WallTime,
    /// Whether it goes on by itself.
    pub playing: bool,
    /// How much faster than it happened.
    pub speed: f64,
    /// When its incidents began.
    pub incidents: Vec<WallTime>,
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

/// The order of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Worst,
    Name,
    Memory,
    Failures,
}

/// A text being typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Search,
    Filter,
}

/// See the module.
#[derive(Debug)]
pub struct Screen {
    pub(super) state: State,
    pub(super) theme: Theme,
    pub(super) playback: Option<Playback>,
    pub(super) focus: Pane,
    pub(super) help: bool,
    pub(super) mouse: bool,
    pub(super) sort: Sort,
    /// The services in their order; made anew when they change.
    pub(super) rows: Vec<ServiceKey>,
    pub(super) service: Option<ServiceKey>,
    pub(super) service_top: usize,
    /// None: the newest.
    pub(super) incident: Option<u64>,
    pub(super) incident_top: usize,
    pub(super) detail_top: usize,
    /// None: the newest, as they come.
    pub(super) event: Option<u64>,
    pub(super) input: Option<Input>,
    pub(super) search: String,
    pub(super) filter: String,
    /// Numbers of the events that the filter lets through, and up to where it looked.
    pub(super) events: Vec<u64>,
    events_upto: u64,
    pub(super) area: Rect,
    pub(super) panes: Option<Panes>,
}

impl Screen {
    /// Nothing is known yet. Times are shown in `zone`.
    pub fn new(theme: Theme, zone: TimeZone) -> Self {
        Self {
            state: State::new(zone),
            theme,
            playback: None,
            focus: Pane::Services,
            help: false,
            mouse: true,
            sort: Sort::Worst,
            rows: Vec::new(),
            service: None,
            service_top: 0,
            incident: None,
            incident_top: 0,
            detail_top: 0,
            event: None,
            input: None,
            search: String::new(),
            filter: String::new(),
            events: Vec::new(),
            events_upto: 0,
            area: Rect::default(),
            panes: None,
        }
    }

    /// Whether it is drawn in colours.
    pub fn is_coloured(&self) -> bool {
        self.theme.colour
    }

    /// Something was found.
    pub fn found(&mut self, finding: &Finding) {
        self.state.found(finding);
    }

    /// The services that run now.
    pub fn sampled(&mut self, at: WallTime, samples: &[Sample]) {
        self.state.sampled(at, samples);
    }

    /// Findings were left out because there were too many.
    pub fn unshown(&mut self, count: u64) {
        self.state.unshown(count);
    }

    /// A replay is there.
    pub fn played(&mut self, playback: Playback) {
        self.playback = Some(playback);
    }

    /// Forgets what is known, not what the user chose: a replay begins anew.
    pub fn rewind(&mut self) {
        let zone = self.state.log().zone().clone();
        self.state = State::new(zone);
        self.events.clear();
        self.events_upto = 0;
        self.event = None;
    }

    /// A key was pressed, or the mouse used.
    pub fn event(&mut self, event: &Event) -> Option<Want> {
        match event {
            Event::Key(key) => {
                let place = Place {
                    typing: self.input.is_some(),
                    replay: self.playback.is_some(),
                };
                let action = keys::action(*key, place);
                if self.help && key.kind != KeyEventKind::Release && action != Some(Action::Quit) {
                    self.help = false;
                    return None;
                }
                self.act(&action?)
            }
            Event::Mouse(mouse) => self.mouse(*mouse),
            _ => None,
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
            Action::Search => self.type_into(Input::Search),
            Action::Filter => self.type_into(Input::Filter),
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

    pub(super) fn service_index(&self) -> Option<usize> {
        let chosen = self.service.as_ref()?;
        self.rows.iter().position(|key| key == chosen)
    }

    pub(super) fn incident_index(&self) -> usize {
        let newest_first = self.state.incidents().rev();
        let mut ids = newest_first.map(|one| Some(one.id));
        ids.position(|id| id == self.incident).unwrap_or(0)
    }

    /// The incident whose story is told.
    pub(super) fn chosen_incident(&self) -> Option<&super::state::Incident> {
        self.state.incidents().rev().nth(self.incident_index())
    }

    /// Index of the chosen event among those shown; the newest when none is chosen.
    pub(super) fn event_index(&self) -> usize {
        let last = self.events.len().saturating_sub(1);
        self.event.map_or(last, |number| {
            self.events
                .partition_point(|known| *known < number)
                .min(last)
        })
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

    fn type_into(&mut self, input: Input) {
        self.input = Some(input);
        self.focus = Pane::Events;
        if input == Input::Search {
            self.search.clear();
        }
    }

    fn typed(&mut self, action: &Action) {
        let Some(input) = self.input else {
            return;
        };
        let mut text = match input {
            Input::Search => self.search.clone(),
            Input::Filter => self.filter.clone(),
        };
        match action {
            Action::Typed(c) if text.chars().count() < MAX_INPUT && !c.is_control() => {
                text.push(*c);
            }
            Action::Erase => drop(text.pop()),
            Action::EraseAll | Action::Cancel => text.clear(),
            _ => {}
        }
        match input {
            Input::Search => self.search = text,
            Input::Filter => self.set_filter(&text),
        }
        match action {
            Action::Accept => {
                self.input = None;
                if input == Input::Search {
                    self.find(false);
                }
            }
            Action::Cancel => self.input = None,
            _ => {}
        }
    }

    fn set_filter(&mut self, text: &str) {
        text.clone_into(&mut self.filter);
        self.events.clear();
        self.events_upto = 0;
        self.refresh_events();
    }

    /// Goes to the next event that has what is searched for, or the one before; around at the ends.
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

    fn mouse(&mut self, mouse: MouseEvent) -> Option<Want> {
        let position = Position::new(mouse.column, mouse.row);
        let panes = self.panes.clone()?;
        if self.help {
            if matches!(mouse.kind, MouseEventKind::Down(_)) {
                self.help = false;
            }
            return None;
        }
        let hit = Pane::ALL
            .into_iter()
            .find(|pane| panes.of(*pane).is_some_and(|area| area.contains(position)));
        match mouse.kind {
            MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
                self.focus = hit?;
                let up = mouse.kind == MouseEventKind::ScrollUp;
                self.go(if up { -signed(WHEEL) } else { signed(WHEEL) });
            }
            MouseEventKind::Down(MouseButton::Left) => {
                if let Some(tab) = panes.tab_at(position) {
                    self.focus = tab;
                    return None;
                }
                let pane = hit?;
                self.focus = pane;
                let row = panes.row_at(pane, position)?;
                self.click(pane, row);
            }
            _ => {}
        }
        None
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
                let top = view::events_top(self);
                let index = top + row;
                let last = self.events.len().saturating_sub(1);
                if let Some(number) = self.events.get(index) {
                    self.event = Some(*number).filter(|_| index < last);
                }
            }
        }
    }

    /// Draws everything. `buffer` is blank.
    pub fn draw(&mut self, buffer: &mut Buffer) {
        self.area = buffer.area;
        self.refresh_rows();
        self.refresh_events();
        view::draw(self, buffer);
        self.theme.reduce(buffer);
    }

    fn refresh_rows(&mut self) {
        let now = self.state.now();
        let sort = self.sort;
        let order = |service: &Service| {
            let health = service.health(now);
            let first = match sort {
                Sort::Worst => match health {
                    // What listens or is managed is what is looked for.
                    Health::Up if service.is_plain() => 11,
                    Health::Up => 10,
                    Health::Stopped => 12,
                    worse => worse as u64,
                },
                Sort::Name => 0,
                Sort::Memory => u64::MAX - service.memory_bytes.unwrap_or(0),
                Sort::Failures => u64::MAX - service.failures(),
            };
            (first, Arc::clone(&service.name))
        };
        let mut rows: Vec<_> = self
            .state
            .services()
            .map(|(key, service)| (order(service), key.clone()))
            .collect();
        rows.sort();
        self.rows.clear();
        self.rows.extend(rows.into_iter().map(|(_, key)| key));
    }

    fn refresh_events(&mut self) {
        let kept = self.state.log().numbers();
        let gone = self.events.partition_point(|number| *number < kept.start);
        self.events.drain(..gone);
        let filter = Filter::new(&self.filter);
        for number in kept.start.max(self.events_upto)..kept.end {
            let line = self.state.log().get(number);
            if line.is_some_and(|line| filter.fits(&line.text)) {
                self.events.push(number);
            }
        }
        self.events_upto = kept.end;
    }
}

/// A filter that finds a service's name as it is shown.
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
