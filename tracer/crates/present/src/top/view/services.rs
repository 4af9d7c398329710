//! The services: state, listeners, restarts, memory against the limit, failed requests.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use tracer_model::wording::counted;
use tracer_model::{Endpoint, WallTime};

use super::paint::{self, count, lasting, share, size, spark};
use crate::top::panes::{Pane, SERVICES_HEAD_ROWS};
use crate::top::screen::{Screen, Sort};
use crate::top::state::{Health, Service};
use crate::top::theme::{BAD, CALM, CHOSEN, EFFECT, PLAIN, QUIET, STRONG};

/// From this share of its limit on, memory is worth a warning, or an alarm; per cent.
const HIGH: u64 = 75;
const ALARMING: u64 = 90;

/// Columns that each part takes on a screen; 0 leaves it out.
#[derive(Clone, Copy, Debug)]
struct Columns {
    name: u16,
    state: u16,
    listens: u16,
    restarts: u16,
    bar: u16,
    memory: u16,
    trend: u16,
    failed: u16,
}

const MARK: u16 = 2;
const GAP: u16 = 1;
const FAILED_COUNT: u16 = 6;
/// With less room than this, only ports are shown.
const WHOLE_ADDRESS: u16 = 15;

impl Columns {
    fn for_width(width: u16) -> Self {
        let mut columns = match width {
            0..80 => Self {
                name: 0,
                state: 10,
                listens: 0,
                restarts: 3,
                bar: 5,
                memory: 9,
                trend: 0,
                failed: 12,
            },
            80..112 => Self {
                name: 0,
                state: 10,
                listens: 8,
                restarts: 3,
                bar: 6,
                memory: 9,
                trend: 0,
                failed: 12,
            },
            112..160 => Self {
                name: 0,
                state: 14,
                listens: 21,
                restarts: 8,
                bar: 10,
                memory: 11,
                trend: 10,
                failed: 16,
            },
            _ => Self {
                name: 0,
                state: 16,
                listens: 40,
                restarts: 8,
                bar: 16,
                memory: 11,
                trend: 20,
                failed: 27,
            },
        };
        let rest = [
            columns.state,
            columns.listens,
            columns.restarts,
            columns.bar,
            columns.memory,
            columns.trend,
            columns.failed,
        ];
        let used: u16 = rest
            .iter()
            .filter(|one| **one > 0)
            .map(|one| one + GAP)
            .sum();
        columns.name = width.saturating_sub(MARK + used);
        columns
    }
}

pub(super) fn draw(screen: &mut Screen, area: Rect, buffer: &mut Buffer) {
    let focused = screen.focus == Pane::Services;
    let total = screen.rows.len();
    let rows = usize::from(area.height.saturating_sub(SERVICES_HEAD_ROWS));
    let chosen = screen.service_index();
    // Keeps the chosen one in view; without one, shows the first.
    let last_top = total.saturating_sub(rows);
    screen.service_top = match chosen {
        Some(index) => screen
            .service_top
            .clamp(index.saturating_sub(rows.saturating_sub(1)), index)
            .min(last_top),
        None => 0,
    };
    let top = screen.service_top;
    paint::title(buffer, area, "Services", &summary(screen, rows), focused);

    let columns = Columns::for_width(area.width);
    heads(
        columns,
        Rect::new(area.x, area.y + 1, area.width, 1),
        buffer,
    );
    let now = screen.state.now();
    let services: std::collections::BTreeMap<_, _> = screen.state.services().collect();
    let shown = screen.rows.iter().enumerate().skip(top).take(rows);
    for (y, (index, key)) in (area.y + SERVICES_HEAD_ROWS..).zip(shown) {
        if let Some(service) = services.get(key) {
            row(service, now, columns, (area.x, y), buffer);
        }
        if Some(index) == chosen {
            let style = if focused { CHOSEN } else { STRONG };
            paint::highlight(buffer, area, y, style);
        }
    }
}

fn summary(screen: &Screen, rows: usize) -> String {
    let total = screen.rows.len();
    let mut text = counted(total as u64, "service", "services");
    if total > rows {
        let from = screen.service_top + 1;
        text = format!(
            "{from}–{} of {total}",
            (screen.service_top + rows).min(total)
        );
    }
    text.push_str(match screen.sort {
        Sort::Worst => "",
        Sort::Name => " · by name",
        Sort::Memory => " · by memory",
        Sort::Failures => " · by failures",
    });
    text
}

fn heads(columns: Columns, area: Rect, buffer: &mut Buffer) {
    let restarts = if columns.restarts >= 8 {
        "RESTARTS"
    } else {
        "RST"
    };
    let mut pen = Pen::new(area.x + MARK, area.y, buffer);
    pen.left(columns.name, "SERVICE", QUIET);
    pen.left(columns.state, "STATE", QUIET);
    pen.left(columns.listens, "LISTENS", QUIET);
    pen.right(columns.restarts, restarts, QUIET);
    pen.left(columns.bar + GAP + columns.memory, "MEMORY / LIMIT", QUIET);
    pen.left(columns.trend, "TREND 2m", QUIET);
    let (x, y) = (pen.x, pen.y);
    pen.left(columns.failed, "FAILED/s", QUIET);
    let (last, wide) = (x + columns.failed, FAILED_COUNT / 2);
    paint::right(buffer, (last - wide, y), wide, "ALL", QUIET);
}

/// Writes cells from left to right.
struct Pen<'a> {
    x: u16,
    y: u16,
    buffer: &'a mut Buffer,
}

impl<'a> Pen<'a> {
    fn new(x: u16, y: u16, buffer: &'a mut Buffer) -> Self {
        Self { x, y, buffer }
    }

    fn left(&mut self, columns: u16, text: &str, style: Style) {
        if columns > 0 {
            paint::text(self.buffer, (self.x, self.y), columns, text, style);
            self.x += columns + GAP;
        }
    }

    fn right(&mut self, columns: u16, text: &str, style: Style) {
        if columns > 0 {
            paint::right(self.buffer, (self.x, self.y), columns, text, style);
            self.x += columns + GAP;
        }
    }
}

fn row(
    service: &Service,
    now: WallTime,
    columns: Columns,
    (x, y): (u16, u16),
    buffer: &mut Buffer,
) {
    let health = service.health(now);
    let (mark, style, state) = match health {
        Health::Down => ("●", BAD, since("down", service, now)),
        Health::CrashLoop => ("●", BAD, "crash loop".to_owned()),
        Health::Recovering => ("●", EFFECT, since("back", service, now)),
        Health::Failing => ("●", EFFECT, "failing".to_owned()),
        Health::Up => ("●", CALM, "up".to_owned()),
        Health::Stopped => ("○", QUIET, "stopped".to_owned()),
    };
    let state_style = match health {
        Health::Up => PLAIN,
        _ => style,
    };
    let name_style = match health {
        Health::Up => PLAIN,
        Health::Stopped => QUIET,
        _ => STRONG,
    };
    paint::text(buffer, (x, y), 1, mark, style);
    let mut pen = Pen::new(x + MARK, y, buffer);
    pen.left(columns.name, &service.name, name_style);
    pen.left(columns.state, &state, state_style);
    let down = service.listens.iter().any(|it| it.down.is_some());
    let style = if down { BAD } else { PLAIN };
    pen.left(columns.listens, &listens(service, columns.listens), style);
    let restarts = match service.restarts {
        0 => "·".to_owned(),
        number => count(number),
    };
    let style = if service.restarts > 0 { EFFECT } else { QUIET };
    pen.right(columns.restarts, &restarts, style);
    memory(service, columns, &mut pen);
    pen.left(columns.trend, &trend(service, now, columns.trend), QUIET);
    failed(service, now, columns, &mut pen);
}

fn since(word: &str, service: &Service, now: WallTime) -> String {
    let down = service.listens.iter().filter_map(|it| it.down).min();
    match (down, service.incident) {
        (Some(at), _) | (None, Some((_, at))) => {
            let from = if word == "down" {
                at
            } else {
                service.incident.map_or(at, |(_, at)| at)
            };
            format!("{word} {}", lasting(from, now))
        }
        (None, None) => word.to_owned(),
    }
}

fn listens(service: &Service, columns: u16) -> String {
    // Those that are down come first.
    let mut addresses: Vec<_> = service.listens.iter().collect();
    addresses.sort_by_key(|it| (it.down.is_none(), it.address.clone()));
    let mut text = String::new();
    for it in addresses.iter().take(8) {
        if !text.is_empty() {
            text.push(' ');
        }
        if it.down.is_some() {
            text.push('×');
        }
        if columns < WHOLE_ADDRESS {
            text.push_str(&short(&it.address));
        } else {
            text.push_str(&it.address.to_string());
        }
    }
    text
}

/// The part of an address that differs from the others of the machine: its port, its file.
fn short(address: &Endpoint) -> String {
    match address {
        Endpoint::Tcp(address) => format!(":{}", address.port()),
        Endpoint::Unix(path) => path.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

fn memory(service: &Service, columns: Columns, pen: &mut Pen) {
    let (used, limit) = (service.memory_bytes, service.limit_bytes);
    let percent = match (used, limit) {
        (Some(used), Some(limit)) => used.saturating_mul(100) / limit.max(1),
        _ => 0,
    };
    let style = match percent {
        ALARMING.. => BAD,
        HIGH.. => EFFECT,
        _ => CALM,
    };
    let (x, y) = (pen.x, pen.y);
    if let (Some(used), Some(limit)) = (used, limit) {
        let filled = share(used, limit, columns.bar);
        let bar = "█".repeat(usize::from(filled));
        paint::text(pen.buffer, (x, y), filled, &bar, style);
        let rest = columns.bar - filled;
        let empty = "░".repeat(usize::from(rest));
        paint::text(pen.buffer, (x + filled, y), rest, &empty, QUIET);
    }
    pen.x += columns.bar + GAP;
    let separator = if columns.memory > 9 { " / " } else { "/" };
    let number = used.map_or_else(|| "–".to_owned(), size);
    let style = if percent >= HIGH { style } else { PLAIN };
    paint::right(pen.buffer, (pen.x, y), 4, &number, style);
    if let Some(limit) = limit {
        let text = format!("{separator}{}", size(limit));
        paint::text(pen.buffer, (pen.x + 4, y), columns.memory - 4, &text, QUIET);
    }
    pen.x += columns.memory + GAP;
}

/// Memory against the limit or, without one, between its lowest and highest.
fn trend(service: &Service, now: WallTime, columns: u16) -> String {
    let values = service.memory.columns(now, usize::from(columns));
    let known = || values.iter().copied().filter(|value| *value > 0);
    let highest = known().max().unwrap_or(0);
    let (bottom, top) = if let Some(limit) = service.limit_bytes {
        (0, limit)
    } else {
        // A small change is drawn as a flat line.
        let lowest = known().min().unwrap_or(0);
        (lowest, highest.max(lowest.saturating_add(lowest / 4)))
    };
    spark(&values, bottom, top)
}

fn failed(service: &Service, now: WallTime, columns: Columns, pen: &mut Pen) {
    let failures = service.failures();
    if failures == 0 {
        pen.left(columns.failed, "", PLAIN);
        return;
    }
    let wide = columns.failed - FAILED_COUNT;
    let values = service.failed.columns(now, usize::from(wide));
    let top = values.iter().copied().max().unwrap_or(0);
    let (x, y) = (pen.x, pen.y);
    paint::text(pen.buffer, (x, y), wide, &spark(&values, 0, top), EFFECT);
    paint::right(
        pen.buffer,
        (x + wide, y),
        FAILED_COUNT,
        &count(failures),
        EFFECT,
    );
    pen.x += columns.failed + GAP;
}
