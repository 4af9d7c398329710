//! The screen: what is known, and what the user chose to see of it.

use std::sync::Arc;

use jiff::tz::TimeZone;
use ratatui::layout::Rect;
use tracer_analysis::world::ServiceKey;
use tracer_model::{Finding, WallTime};

use super::panes::{Pane, Panes};
use super::state::{Filter, Health, Incident, Sample, Service, State};
use super::theme::Theme;

/// Where a replay is.
#[derive(Clone, Debug, PartialEq)]
pub struct Playback {
    /// The capture's first and last instants.
    pub range: (WallTime, WallTime),
    /// Where it is.
    pub at: WallTime,
    /// Whether it is playing, not paused.
    pub playing: bool,
    /// How many times faster than it happened.
    pub speed: f64,
    /// When its incidents began.
    pub incidents: Vec<WallTime>,
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
pub(super) enum Typing {
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
    /// The services in their order.
    pub(super) rows: Vec<ServiceKey>,
    pub(super) service: Option<ServiceKey>,
    pub(super) service_top: usize,
    /// The chosen incident; None: the newest.
    pub(super) incident: Option<u64>,
    pub(super) incident_top: usize,
    pub(super) detail_top: usize,
    /// The chosen event; None: always the newest.
    pub(super) event: Option<u64>,
    pub(super) typing: Option<Typing>,
    pub(super) search: String,
    pub(super) filter: String,
    /// Numbers of the events that the filter lets through.
    pub(super) events: Vec<u64>,
    /// Number of the first event that was not filtered yet.
    events_upto: u64,
    pub(super) area: Rect,
    pub(super) panes: Option<Panes>,
}

impl Screen {
    /// A screen that knows nothing yet. Its times will be of `zone`.
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
            typing: None,
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

    /// Takes in a finding.
    pub fn found(&mut self, finding: &Finding) {
        self.state.found(finding);
    }

    /// The services that run now.
    pub fn sampled(&mut self, at: WallTime, samples: &[Sample]) {
        self.state.sampled(at, samples);
    }

    /// So many findings were not handed in, because there were too many.
    pub fn unshown(&mut self, count: u64) {
        self.state.unshown(count);
    }

    /// Where the replay is now.
    pub fn played(&mut self, playback: Playback) {
        self.playback = Some(playback);
    }

    /// Forgets what is known, not what the user chose: a replay starts over.
    pub fn rewind(&mut self) {
        let zone = self.state.log().zone().clone();
        self.state = State::new(zone);
        self.events.clear();
        self.events_upto = 0;
        self.event = None;
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

    /// The incident whose story is shown.
    pub(super) fn chosen_incident(&self) -> Option<&Incident> {
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

    /// Brings the order of the services up to date.
    pub(super) fn refresh_rows(&mut self) {
        let now = self.state.now();
        let sort = self.sort;
        let order = |service: &Service| {
            let health = service.health(now);
            let first = match sort {
                Sort::Worst => match health {
                    // Services that listen or have a manager come first.
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

    /// Index of the first event in view.
    pub(super) fn first_event(&self) -> usize {
        let area = self.panes.as_ref().and_then(|panes| panes.events);
        let rows = area.map_or(0, |area| usize::from(area.height.saturating_sub(1)));
        let last = self.events.len().saturating_sub(rows);
        match self.event {
            // The chosen one in the middle, so that what was before and after is seen.
            Some(_) => self.event_index().saturating_sub(rows / 2).min(last),
            None => last,
        }
    }

    /// Shows only the events that fit `text`.
    pub(super) fn set_filter(&mut self, text: &str) {
        text.clone_into(&mut self.filter);
        self.events.clear();
        self.events_upto = 0;
        self.refresh_events();
    }

    /// Lets new events through the filter, and drops those that are no longer kept.
    pub(super) fn refresh_events(&mut self) {
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
