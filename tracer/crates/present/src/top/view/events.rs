//! The event log: the lines of `tracer watch`, filtered and searched.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr as _;

use super::paint;
use crate::top::panes::Pane;
use crate::top::screen::Screen;
use crate::top::state::{Line, Tone};
use crate::top::theme::{BAD, CHOSEN, EFFECT, GOOD, MATCH, PLAIN, QUIET, STRONG};

/// `12:34:56.789  ` before what happened, and the tag of five after it.
const TIME_BYTES: usize = 14;
const TAG_BYTES: usize = 5;

pub(super) fn draw(screen: &Screen, area: Rect, buffer: &mut Buffer) {
    let focused = screen.focus == Pane::Events;
    paint::title(buffer, area, "Events", &summary(screen), focused);
    let rows = usize::from(area.height.saturating_sub(1));
    let top = screen.first_event();
    let shown = screen.events.iter().enumerate().skip(top).take(rows);
    for (y, (index, number)) in (area.y + 1..).zip(shown) {
        if let Some(line) = screen.state.log().get(*number) {
            let place = Rect::new(area.x, y, area.width, 1);
            row(line, &screen.search, place, buffer);
        }
        if screen.event.is_some() && index == screen.event_index() {
            let style = if focused { CHOSEN } else { STRONG };
            paint::highlight(buffer, area, y, style);
        }
    }
    if screen.events.is_empty() && !screen.filter.is_empty() {
        let text = "No event matches the filter. Esc clears it.";
        paint::text(
            buffer,
            (area.x + 2, area.y + 1),
            area.width - 2,
            text,
            QUIET,
        );
    }
}

fn summary(screen: &Screen) -> String {
    let mut text = if screen.event.is_some() {
        let below = screen.events.len().saturating_sub(screen.event_index() + 1);
        format!("{below} newer below · End follows")
    } else {
        "following".to_owned()
    };
    if !screen.filter.is_empty() {
        text.push_str(" · filter: ");
        text.push_str(&tracer_model::printable(&screen.filter));
    }
    if !screen.search.is_empty() && screen.typing.is_none() {
        text.push_str(" · search: ");
        text.push_str(&tracer_model::printable(&screen.search));
    }
    text
}

fn row(line: &Line, search: &str, area: Rect, buffer: &mut Buffer) {
    let tone = style(line.tone);
    let at = (area.x, area.y);
    // A line that begins with a time has a tag after it. The others are rules and the lines that
    // belong to them.
    match (line.text.get(..TIME_BYTES), line.text.get(TIME_BYTES..)) {
        (Some(time), Some(rest)) if time.starts_with(|c: char| c.is_ascii_digit()) => {
            let used = paint::text(buffer, at, area.width, time, QUIET);
            let mut end = rest
                .find(' ')
                .unwrap_or(rest.len())
                .max(TAG_BYTES)
                .min(rest.len());
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (tag, what) = rest.split_at(end);
            let room = area.width - used;
            let x = area.x + used;
            let used = paint::text(buffer, (x, area.y), room, tag, tone);
            let rest_style = if line.tone == Tone::Quiet {
                QUIET
            } else {
                PLAIN
            };
            paint::text(buffer, (x + used, area.y), room - used, what, rest_style);
        }
        _ => {
            let style = if line.text.starts_with(' ') {
                QUIET
            } else {
                STRONG
            };
            paint::text(buffer, at, area.width, &line.text, style);
        }
    }
    matches(line, search, area, buffer);
}

/// Marks what was searched for.
fn matches(line: &Line, search: &str, area: Rect, buffer: &mut Buffer) {
    if search.is_empty() {
        return;
    }
    let wanted = search.to_lowercase();
    let text = line.text.to_lowercase();
    for (start, found) in text.match_indices(&wanted) {
        let columns = |text: &str| u16::try_from(text.width()).unwrap_or(u16::MAX);
        let x = area.x.saturating_add(columns(&text[..start]));
        if x >= area.right() {
            break;
        }
        let width = columns(found).min(area.right() - x);
        buffer.set_style(Rect::new(x, area.y, width, 1), MATCH);
    }
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Bad => BAD,
        Tone::Effect => EFFECT,
        Tone::Good => GOOD,
        Tone::Frame => STRONG,
        Tone::Quiet => QUIET,
    }
}
