//! The last row: the keys of the chosen pane, or the text being typed. In a replay, the row above it
//! shows the position in the capture.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tracer_model::WallTime;

use super::paint::{self, time_of_day};
use crate::top::panes::Pane;
use crate::top::screen::{Playback, Screen, Typing};
use crate::top::theme::{ACCENT, BAD, CHOSEN, PLAIN, QUIET, STRONG};

pub(super) fn draw(screen: &Screen, area: Rect, buffer: &mut Buffer) {
    if let Some(typing) = screen.typing {
        prompt(screen, typing, area, buffer);
        return;
    }
    let own: &[(&str, &str)] = match screen.focus {
        Pane::Services => &[("Enter", "its events"), ("s", "sort")],
        Pane::Incidents => &[("Enter", "its story")],
        Pane::Detail => &[("Esc", "back"), ("[ ]", "other incident")],
        Pane::Events => &[("n N", "next match"), ("Enter", "its incident")],
    };
    let replay: &[(&str, &str)] = if screen.playback.is_some() {
        &[("Space", "pause"), ("← →", "seek")]
    } else {
        &[]
    };
    let all: &[(&str, &str)] = &[
        ("Tab", "pane"),
        ("↑↓", "move"),
        ("/", "search"),
        ("f", "filter"),
        ("?", "help"),
        ("q", "quit"),
    ];
    // Help and quit are always shown.
    let (always, rest) = (&all[4..], &all[..4]);
    // No gap after the last one.
    let mut x = area.right() + 2;
    for (key, what) in always.iter().rev() {
        x = x.saturating_sub(columns(key, what));
        hint(buffer, (x, area.y), key, what);
    }
    let end = x;
    let mut x = area.x;
    for (key, what) in replay.iter().chain(own).chain(rest) {
        let wide = columns(key, what);
        if x + wide > end {
            break;
        }
        hint(buffer, (x, area.y), key, what);
        x += wide;
    }
}

fn columns(key: &str, what: &str) -> u16 {
    u16::try_from(key.chars().count() + what.chars().count() + 3).unwrap_or(u16::MAX)
}

fn hint(buffer: &mut Buffer, at: (u16, u16), key: &str, what: &str) {
    let spans = [
        (Cow::from(key), STRONG),
        (Cow::from(" "), PLAIN),
        (Cow::from(what), QUIET),
    ];
    paint::spans(buffer, at, columns(key, what), spans);
}

fn prompt(screen: &Screen, typing: Typing, area: Rect, buffer: &mut Buffer) {
    let (name, text, hint) = match typing {
        Typing::Search => ("search: ", &screen.search, "Enter searches · Esc cancels"),
        Typing::Filter => (
            "filter: ",
            &screen.filter,
            "!word excludes · Enter keeps · Esc clears",
        ),
    };
    let used = paint::text(buffer, (area.x, area.y), area.width, name, ACCENT);
    let x = area.x + used;
    let room = area.width.saturating_sub(used + 1);
    // The end of the text is where the user types.
    let safe = tracer_model::printable(text);
    let skip = safe.chars().count().saturating_sub(usize::from(room / 2));
    let tail: String = safe.chars().skip(skip).collect();
    let used = paint::text(buffer, (x, area.y), room, &tail, PLAIN);
    let x = x + used;
    paint::text(buffer, (x, area.y), 1, " ", CHOSEN);
    let left = area.right().saturating_sub(x + 3);
    if usize::from(left) >= hint.chars().count() {
        paint::right(buffer, (x + 3, area.y), left, hint, QUIET);
    }
}

/// `playing 1×  00:41:02 ━━━●━━━━─────────────── 00:45:10`
pub(super) fn playback(screen: &Screen, area: Rect, buffer: &mut Buffer) {
    let Some(playback) = &screen.playback else {
        return;
    };
    let zone = screen.state.log().zone();
    let state = if playback.playing {
        "playing"
    } else {
        "paused "
    };
    let left = format!(
        "{state} {}×  {} ",
        playback.speed,
        time_of_day(playback.at, zone, false)
    );
    let right = format!(" {}", time_of_day(playback.range.1, zone, false));
    let used = paint::text(buffer, (area.x, area.y), area.width, &left, STRONG);
    let right_columns = u16::try_from(right.len()).unwrap_or(9);
    let x = area.x + used;
    let room = area.width.saturating_sub(used + right_columns);
    paint::text(buffer, (x + room, area.y), right_columns, &right, QUIET);
    let at = column(playback, playback.at, room);
    for column in 0..room {
        let (symbol, style) = if column <= at {
            ('━', ACCENT)
        } else {
            ('─', QUIET)
        };
        if let Some(cell) = buffer.cell_mut((x + column, area.y)) {
            cell.set_char(symbol).set_style(style);
        }
    }
    for incident in &playback.incidents {
        let column = column(playback, *incident, room);
        if let Some(cell) = buffer.cell_mut((x + column, area.y)) {
            cell.set_char('●').set_style(BAD);
        }
    }
}

/// The column of an instant, of `columns`.
fn column(playback: &Playback, at: WallTime, columns: u16) -> u16 {
    let (first, last) = playback.range;
    let nanos = |from: WallTime, to: WallTime| u64::try_from(to.0.saturating_sub(from.0));
    let whole = nanos(first, last).unwrap_or(0);
    let part = nanos(first, at).unwrap_or(0);
    paint::share(part, whole, columns.saturating_sub(1))
}
