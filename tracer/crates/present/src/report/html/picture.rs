//! The graphical timeline: one lane per service, with outages as bars, deaths as crosses, failed
//! requests as ticks above the line, failed connects and cut connections below it.
//!
//! Everything is placed in percent of the width, so that it fits any screen and paper without the
//! script. The script only changes the percentages.

use maud::{Markup, html};
use tracer_model::WallTime;

use super::super::clock::Clock;
use super::super::formatting::{counted, ms, ms_between, number};
use super::super::model::{Lane, Report, Tick};
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
/// Length of a death's stem, px: down to the bar of the outage.
const STEM: usize = 10;
/// Width of everything that would be narrower, px.
const NARROWEST: usize = 2;
/// Longest name in the picture, in characters.
const NAME: usize = 60;
/// How many gridlines there may be before the script knows the width.
const GRIDLINES: i64 = 5;
/// How many rows the timeline has as a table.
const MAX_ROWS: usize = 300;

/// The lanes and the period that a timeline shows.
pub(super) struct Picture<'a> {
    pub(super) lanes: Vec<&'a Lane>,
    /// The period shown at first.
    pub(super) view: (WallTime, WallTime),
    /// The period that can be reached by zooming and moving.
    pub(super) limits: (WallTime, WallTime),
    /// A description for screen readers.
    pub(super) label: String,
}

/// A bar in a lane, and what it says.
struct Outage {
    at: WallTime,
    to: WallTime,
    what: String,
}

/// What a tick stands for, and how it is drawn.
struct Kind {
    class: &'static str,
    /// Whether it is above the lane's line.
    above: bool,
    one: &'static str,
    many: &'static str,
}

const REQUESTS: Kind = Kind {
    class: "mark request",
    above: true,
    one: "request failed",
    many: "requests failed",
};
const CONNECTIONS: Kind = Kind {
    class: "mark connection",
    above: false,
    one: "connection failed or cut",
    many: "connections failed or cut",
};

impl Kind {
    fn counted(&self, count: u64) -> String {
        counted(count, self.one, self.many)
    }
}

impl<'a> Picture<'a> {
    /// The timeline of everything, from the first event to the last.
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

    /// The timeline of one service between two instants.
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
                    aria-label={ (self.label) ". Arrow keys go to the next event, plus and minus zoom, zero resets." }
                {
                    svg width="100%" height=(height) role="presentation" focusable="false" {
                        g.axis { (self.axis(clock, height)) }
                        @for (index, lane) in self.lanes.iter().enumerate() {
                            (self.lane(lane, AXIS + index * LANE, clock))
                        }
                    }
                }
                p.detail { "Point at an event or press an arrow key to read it." }
            }
        }
    }

    fn axis(&self, clock: &Clock, height: usize) -> Markup {
        let (from, to) = self.view;
        let (gridlines, format) = axis::gridlines(from, to, GRIDLINES, clock.offset_seconds(from));
        html! {
            @for at in gridlines {
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
                @for outage in self.outages(lane) {
                    rect.mark.down x=(self.x(outage.at)) y=(base - 16) height="16"
                        width=(self.width(outage.at, outage.to)) rx="2"
                        data-at=(micros(outage.at)) data-to=(micros(outage.to))
                        tabindex="-1" role="img" aria-label={ (clock.time(outage.at)) " " (outage.what) } {}
                }
                @for tick in self.within(&lane.connections) {
                    (self.tick(tick, base + 2, &CONNECTIONS, clock))
                }
                @for tick in self.within(&lane.requests) {
                    (self.tick(tick, base, &REQUESTS, clock))
                }
                @for mark in lane.marks.iter().filter(|mark| self.shows(mark.at, mark.at)) {
                    rect.mark x=(self.x(mark.at)) y=(base - 24) height="24" width="3"
                        fill="currentColor" data-at=(micros(mark.at)) tabindex="-1" role="img"
                        aria-label={ (clock.time(mark.at)) " mark: " (shown(&mark.label)) } {}
                }
                @for death in lane.deaths.items.iter().filter(|death| self.shows(death.at, death.at)) {
                    svg.mark.death x=(self.x(death.at)) y=(base - DEATH) overflow="visible"
                        data-at=(micros(death.at)) tabindex="-1" role="img"
                        aria-label={ (clock.time(death.at)) " death: " (shown(&death.what)) }
                    {
                        line y2=(STEM) {}
                        circle r="8" {}
                        path d="M-3-3L3 3M-3 3L3-3" {}
                    }
                }
            }
        }
    }

    fn tick(&self, tick: &Tick, base: usize, kind: &Kind, clock: &Clock) -> Markup {
        let tall = tall(tick.count);
        let y = if kind.above { base - tall } else { base };
        let what = match &tick.what {
            Some(what) => format!("{} {}", clock.time(tick.at), shown(what)),
            None => format!(
                "{} to {}: {}",
                clock.time(tick.at),
                clock.time(tick.until),
                kind.counted(tick.count)
            ),
        };
        html! {
            rect class=(kind.class) x=(self.x(tick.at)) y=(y) width=(self.width(tick.at, tick.until))
                height=(tall) data-at=(micros(tick.at)) data-to=(micros(tick.until))
                tabindex="-1" role="img" aria-label=(what) {}
        }
    }

    fn outages(&self, lane: &Lane) -> Vec<Outage> {
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
                Outage {
                    at: down.from,
                    to,
                    what,
                }
            })
            .filter(|outage| self.shows(outage.at, outage.to))
            .collect()
    }

    fn within<'t>(&'t self, ticks: &'t [Tick]) -> impl Iterator<Item = &'t Tick> {
        ticks.iter().filter(|tick| self.shows(tick.at, tick.until))
    }

    fn shows(&self, from: WallTime, to: WallTime) -> bool {
        to >= self.limits.0 && from <= self.limits.1
    }

    /// Whether a label there would not be cut off at the edge.
    fn has_room(&self, at: WallTime) -> bool {
        let twentieth = self.span() / 20;
        at.0 - self.view.0.0 >= twentieth && self.view.1.0 - at.0 >= twentieth
    }

    /// The place of an instant.
    fn x(&self, at: WallTime) -> String {
        percent(at.0.saturating_sub(self.view.0.0), self.span())
    }

    /// The width of a period: never too narrow to be seen.
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

    /// The timeline as a table, for screen readers.
    pub(super) fn table(&self, clock: &Clock) -> Markup {
        let mut rows: Vec<(WallTime, &str, String)> = Vec::new();
        for lane in &self.lanes {
            let name = lane.service.as_str();
            let marks = lane.marks.iter();
            rows.extend(marks.map(|it| (it.at, name, it.label.clone())));
            rows.extend(
                lane.deaths
                    .items
                    .iter()
                    .map(|it| (it.at, name, it.what.clone())),
            );
            rows.extend(
                self.outages(lane)
                    .into_iter()
                    .map(|it| (it.at, name, it.what)),
            );
            for (ticks, kind) in [
                (&lane.requests, &REQUESTS),
                (&lane.connections, &CONNECTIONS),
            ] {
                rows.extend(ticks.iter().map(|tick| {
                    let what = match &tick.what {
                        Some(what) => what.to_string(),
                        None => kind.counted(tick.count),
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
                summary { "Timeline as a table" }
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

/// Every instant of a lane that the first view must contain.
fn times(lane: &Lane, end: WallTime) -> impl Iterator<Item = WallTime> {
    let deaths = lane.deaths.items.iter().map(|death| death.at);
    let downs = lane
        .downs
        .items
        .iter()
        .flat_map(move |down| [down.from, down.to.unwrap_or(end)]);
    let ticks = lane.requests.iter().chain(&lane.connections);
    let marks = lane.marks.iter().map(|mark| mark.at);
    deaths
        .chain(marks)
        .chain(downs)
        .chain(ticks.flat_map(|tick| [tick.at, tick.until]))
}

/// The period from `from` to `to` with a margin; never empty.
fn padded(from: WallTime, to: WallTime) -> (WallTime, WallTime) {
    let span = to.0.saturating_sub(from.0).max(0);
    let pad = (span / 12).max(100_000_000);
    (
        WallTime(from.0.saturating_sub(pad)),
        WallTime(to.0.saturating_add(pad)),
    )
}

/// Height of a tick, px. It grows with the logarithm of the count.
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
    if !lane.marks.is_empty() {
        return counted(lane.marks.len() as u64, "mark", "marks");
    }
    let failed = |ticks: &[Tick]| ticks.iter().map(|tick| tick.count).sum();
    let deaths = lane.deaths.items.len() as u64 + lane.deaths.left_out;
    [
        counted(deaths, "death", "deaths"),
        counted(failed(&lane.requests), "failed request", "failed requests"),
        counted(
            failed(&lane.connections),
            "failed or cut connection",
            "failed or cut connections",
        ),
    ]
    .join(", ")
}

/// Microseconds since 1970: JavaScript's numbers hold them exactly until the year 2255.
fn micros(at: WallTime) -> i64 {
    at.0.div_euclid(1000)
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
fn percent(part: i64, whole: i64) -> String {
    format!("{:.4}%", part as f64 / whole as f64 * 100.0)
}
