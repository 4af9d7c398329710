//! The picture: services as lanes; outages as bars, deaths as crosses, failed requests as ticks
//! above the line, failed connects and cut connections below it.
//!
//! Everything is placed in percent of the width, so that it fits any screen and sheet without a
//! script; the script only changes the percentages.

use maud::{Markup, html};
use tracer_model::WallTime;

use super::super::model::{Lane, Report, Tick};
use super::super::words::{Clock, counted, ms, ms_between, number};
use super::axis;
use super::outside::{Outside, shown};

/// Height of the axis, px.
const AXIS: usize = 28;
/// Height of a lane, px.
const LANE: usize = 74;
/// From a lane's top to its line, px.
const LINE: usize = 60;
/// From a lane's line up to its deaths, px: above the tallest tick.
const DEATH: usize = 26;
/// How far a death's stem goes, px: down to the bar of the outage.
const STEM: usize = 10;
/// What is narrower is drawn this wide, px.
const NARROWEST: usize = 2;
/// Longest name in the picture, in characters.
const NAME: usize = 60;
/// How many marks an axis has at most before the script knows how wide it is.
const MARKS: i64 = 5;
/// How many rows the table instead of a picture has.
const MAX_ROWS: usize = 300;

/// A part of time to show, and of which lanes.
pub(super) struct Picture<'a> {
    pub(super) lanes: Vec<&'a Lane>,
    /// What is shown first.
    pub(super) view: (WallTime, WallTime),
    /// How far one can go.
    pub(super) limits: (WallTime, WallTime),
    /// Says what it is, for those who don't see it.
    pub(super) label: String,
}

/// Something in a lane that can be chosen.
struct Event {
    at: WallTime,
    to: WallTime,
    what: String,
}

impl<'a> Picture<'a> {
    /// Of everything, from the first event to the last.
    pub(super) fn whole(report: &'a Report) -> Option<Self> {
        let lanes: Vec<&Lane> = report.lanes.items.iter().collect();
        let end = report.to?;
        let times = || lanes.iter().flat_map(|lane| times(lane, end));
        let (first, last) = (times().min()?, times().max()?);
        let view = padded(first, last);
        let limits = (view.0.min(report.from?), view.1.max(end));
        Some(Self {
            lanes,
            view,
            limits,
            label: "Timeline of everything".to_owned(),
        })
    }

    /// Of one lane between two instants.
    pub(super) fn part(
        report: &'a Report,
        service: &str,
        from: WallTime,
        to: WallTime,
    ) -> Option<Self> {
        let lane = report
            .lanes
            .items
            .iter()
            .find(|lane| lane.service == service)?;
        let view = padded(from, to);
        Some(Self {
            lanes: vec![lane],
            view,
            limits: view,
            label: format!("Timeline of {}", shown(service)),
        })
    }

    pub(super) fn render(&self, clock: &Clock, caption: &str) -> Markup {
        let height = AXIS + self.lanes.len() * LANE;
        let (from, to) = self.view;
        let offset = clock.offset_seconds(from);
        html! {
            figure.timeline
                data-from=(micros(from)) data-to=(micros(to))
                data-min=(micros(self.limits.0)) data-max=(micros(self.limits.1))
                data-offset=(offset)
            {
                figcaption { (caption) }
                div.controls role="group" aria-label="View" hidden {
                    button type="button" data-do="in" aria-label="Zoom in" { "+" }
                    button type="button" data-do="out" aria-label="Zoom out" { "−" }
                    @if self.view != self.limits {
                        button type="button" data-do="back" aria-label="Earlier" { "←" }
                        button type="button" data-do="on" aria-label="Later" { "→" }
                    }
                    button type="button" data-do="reset" { "Reset" }
                    @if self.view != self.limits {
                        button type="button" data-do="all" { "Everything" }
                    }
                }
                div.plot tabindex="0" role="application" aria-roledescription="timeline"
                    aria-label={ (self.label) ". Arrow keys go from event to event, plus and minus zoom, zero resets." }
                {
                    svg width="100%" height=(height) role="presentation" focusable="false" {
                        g.axis { (self.axis(clock, height)) }
                        @for (index, lane) in self.lanes.iter().enumerate() {
                            (self.lane(lane, AXIS + index * LANE, clock))
                        }
                    }
                }
                p.detail { "Point at a mark, or press an arrow key, to read what it is." }
            }
        }
    }

    fn axis(&self, clock: &Clock, height: usize) -> Markup {
        let (from, to) = self.view;
        let (marks, format) = axis::marks(from, to, MARKS, clock.offset_seconds(from));
        html! {
            @for at in marks {
                line x1=(self.x(at)) x2=(self.x(at)) y1="20" y2=(height) {}
                @if self.has_room(at) { text x=(self.x(at)) y="13" { (clock.format(at, format)) } }
            }
        }
    }

    fn lane(&self, lane: &Lane, top: usize, clock: &Clock) -> Markup {
        let base = top + LINE;
        html! {
            g.lane data-top=(top) data-height=(LANE)
                role="group" aria-label={ (shown(&lane.service)) ": " (sums(lane)) }
            {
                text.name x="0" y=(top + 16) { (name(&lane.service)) }
                line.base x1="0" x2="100%" y1=(base) y2=(base) {}
                @for event in self.downs(lane, clock) {
                    rect.mark.down x=(self.x(event.at)) y=(base - 16) height="16"
                        width=(self.width(event.at, event.to)) rx="2"
                        data-at=(micros(event.at)) data-to=(micros(event.to))
                        tabindex="-1" role="img" aria-label=(event.what) {}
                }
                @for tick in self.within(&lane.connections) {
                    (self.tick(tick, base + 2, false, "connection", "connections", clock))
                }
                @for tick in self.within(&lane.requests) {
                    (self.tick(tick, base, true, "request", "requests", clock))
                }
                @for note in lane.notes.iter().filter(|note| self.shows(note.at, note.at)) {
                    rect.mark x=(self.x(note.at)) y=(base - 24) height="24" width="3"
                        fill="currentColor" data-at=(micros(note.at)) tabindex="-1" role="img"
                        aria-label={ (clock.time(note.at)) " mark: " (shown(&note.what)) } {}
                }
                @for mark in lane.deaths.items.iter().filter(|mark| self.shows(mark.at, mark.at)) {
                    svg.mark.death x=(self.x(mark.at)) y=(base - DEATH) overflow="visible"
                        data-at=(micros(mark.at)) tabindex="-1" role="img"
                        aria-label={ (clock.time(mark.at)) " death: " (shown(&mark.what)) }
                    {
                        line y2=(STEM) {}
                        circle r="8" {}
                        path d="M-3-3L3 3M-3 3L3-3" {}
                    }
                }
            }
        }
    }

    fn tick(
        &self,
        tick: &Tick,
        base: usize,
        above: bool,
        one: &str,
        many: &str,
        clock: &Clock,
    ) -> Markup {
        let tall = tall(tick.count);
        let y = if above { base - tall } else { base };
        let what = match &tick.what {
            Some(what) => format!("{} {}", clock.time(tick.at), shown(what)),
            None => format!(
                "{} to {}: {} failed",
                clock.time(tick.at),
                clock.time(tick.until),
                counted(tick.count, one, many)
            ),
        };
        let class = if above {
            "mark request"
        } else {
            "mark connection"
        };
        html! {
            rect class=(class) x=(self.x(tick.at)) y=(y) width=(self.width(tick.at, tick.until))
                height=(tall) data-at=(micros(tick.at)) data-to=(micros(tick.until))
                tabindex="-1" role="img" aria-label=(what) {}
        }
    }

    fn downs(&self, lane: &Lane, clock: &Clock) -> Vec<Event> {
        lane.downs
            .items
            .iter()
            .map(|down| {
                let to = down.to.unwrap_or(self.limits.1);
                let length = ms(ms_between(down.from, to));
                let what = match down.to {
                    Some(_) => format!("down for {length}"),
                    None => format!("still down after {length}"),
                };
                Event {
                    at: down.from,
                    to,
                    what: format!("{} {what}", clock.time(down.from)),
                }
            })
            .filter(|event| self.shows(event.at, event.to))
            .collect()
    }

    fn within<'t>(&'t self, ticks: &'t [Tick]) -> impl Iterator<Item = &'t Tick> {
        ticks.iter().filter(|tick| self.shows(tick.at, tick.until))
    }

    fn shows(&self, from: WallTime, to: WallTime) -> bool {
        to >= self.limits.0 && from <= self.limits.1
    }

    /// Whether a label fits there without being cut off at the edge.
    fn has_room(&self, at: WallTime) -> bool {
        let twentieth = self.span() / 20;
        at.0 - self.view.0.0 >= twentieth && self.view.1.0 - at.0 >= twentieth
    }

    /// Where an instant is.
    fn x(&self, at: WallTime) -> String {
        percent(at.0.saturating_sub(self.view.0.0), self.span())
    }

    /// How wide something is: never too narrow to be seen.
    fn width(&self, from: WallTime, to: WallTime) -> String {
        let length = to.0.saturating_sub(from.0);
        if length < self.span() / 400 {
            NARROWEST.to_string()
        } else {
            percent(length, self.span())
        }
    }

    fn span(&self) -> i64 {
        self.view.1.0.saturating_sub(self.view.0.0).max(1)
    }

    /// The same as a table, for those who don't see it.
    pub(super) fn table(&self, clock: &Clock) -> Markup {
        let mut rows: Vec<(WallTime, &str, String)> = Vec::new();
        for lane in &self.lanes {
            let name = lane.service.as_str();
            let notes = lane.notes.iter();
            rows.extend(notes.map(|it| (it.at, name, it.what.clone())));
            rows.extend(
                lane.deaths
                    .items
                    .iter()
                    .map(|it| (it.at, name, it.what.clone())),
            );
            rows.extend(
                self.downs(lane, clock)
                    .into_iter()
                    .map(|it| (it.at, name, it.what)),
            );
            let ticks = [
                (&lane.requests, "request", "requests"),
                (&lane.connections, "connection", "connections"),
            ];
            for (ticks, one, many) in ticks {
                rows.extend(ticks.iter().map(|tick| {
                    let what = match &tick.what {
                        Some(what) => what.to_string(),
                        None => format!("{} failed", counted(tick.count, one, many)),
                    };
                    (tick.at, name, what)
                }));
            }
        }
        rows.sort_by_key(|row| row.0);
        let left_out = rows.len().saturating_sub(MAX_ROWS) as u64;
        rows.truncate(MAX_ROWS);
        html! {
            details.alternative {
                summary { "The same as a table" }
                div.scroll tabindex="0" role="region" aria-label="Events" {
                    table {
                        thead { tr { th scope="col" { "Time" } th scope="col" { "Service" } th scope="col" { "What" } } }
                        tbody {
                            @for (at, service, what) in &rows {
                                tr { td.time { (clock.time(*at)) } td { (Outside(service)) } td { (Outside(what)) } }
                            }
                        }
                    }
                    @if left_out > 0 { p.more { "and " (number(left_out)) " more" } }
                }
            }
        }
    }
}

/// Every instant of a lane that must be in view.
fn times(lane: &Lane, end: WallTime) -> impl Iterator<Item = WallTime> {
    let deaths = lane.deaths.items.iter().map(|mark| mark.at);
    let downs = lane
        .downs
        .items
        .iter()
        .flat_map(move |down| [down.from, down.to.unwrap_or(end)]);
    let ticks = lane.requests.iter().chain(&lane.connections);
    let notes = lane.notes.iter().map(|note| note.at);
    deaths
        .chain(notes)
        .chain(downs)
        .chain(ticks.flat_map(|tick| [tick.at, tick.until]))
}

/// A little more than from `from` to `to`, and never nothing.
fn padded(from: WallTime, to: WallTime) -> (WallTime, WallTime) {
    let span = to.0.saturating_sub(from.0).max(0);
    let pad = (span / 12).max(100_000_000);
    (
        WallTime(from.0.saturating_sub(pad)),
        WallTime(to.0.saturating_add(pad)),
    )
}

/// Height of a tick, px: one is small, and a thousand are not a thousand times as tall.
fn tall(count: u64) -> usize {
    let digits = count.max(1).ilog2() as usize;
    (8 + digits).min(16)
}

fn name(service: &str) -> String {
    let name = shown(service);
    match name.char_indices().nth(NAME) {
        None => name.into_owned(),
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}

fn sums(lane: &Lane) -> String {
    if !lane.notes.is_empty() {
        return counted(lane.notes.len() as u64, "mark", "marks");
    }
    let failed = |ticks: &[Tick]| ticks.iter().map(|tick| tick.count).sum();
    let deaths = lane.deaths.items.len() as u64 + lane.deaths.left_out;
    [
        counted(deaths, "death", "deaths"),
        counted(failed(&lane.requests), "failed request", "failed requests"),
        counted(
            failed(&lane.connections),
            "failed connection",
            "failed connections",
        ),
    ]
    .join(", ")
}

/// Microseconds since 1970: exact in a script's numbers until the year 2255.
fn micros(at: WallTime) -> i64 {
    at.0.div_euclid(1000)
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn percent(part: i64, whole: i64) -> String {
    format!("{:.4}%", part as f64 / whole as f64 * 100.0)
}
