//! The first row: host, time, and at a glance whether something is wrong. Below it, on small screens,
//! the names of the panes.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tracer_model::printable;
use tracer_model::wording::counted;
use unicode_width::UnicodeWidthStr as _;

use super::paint::{self, count, time_of_day};
use crate::top::panes::{TABS, tab_columns};
use crate::top::screen::Screen;
use crate::top::state::Health;
use crate::top::theme::{ACCENT, BAD, CALM, EFFECT, PLAIN, QUIET, STRONG};

pub(super) fn draw(screen: &Screen, area: Rect, buffer: &mut Buffer) {
    let state = &screen.state;
    let (verdict, style) = verdict(screen);
    let mut right = vec![(Cow::from(verdict), style)];
    if state.lost() > 0 {
        let lost = format!(" · {} lost", count(state.lost()));
        right.push((Cow::from(lost), EFFECT));
    }
    let width: usize = right.iter().map(|(text, _)| text.width()).sum();
    let width = u16::try_from(width).unwrap_or(area.width).min(area.width);
    let x = area.right() - width;
    paint::spans(buffer, (x, area.y), width, right);

    let mut left = vec![(Cow::from("tracer"), ACCENT)];
    let zone = state.log().zone();
    let time = if state.now().0 > 0 {
        time_of_day(state.now(), zone, false)
    } else {
        "starting".to_owned()
    };
    left.push((Cow::from("  "), PLAIN));
    left.push((Cow::from(time), STRONG));
    let room = area.width.saturating_sub(width + 2);
    let mut used: usize = left.iter().map(|(text, _)| text.width()).sum();
    // A part that does not fit is left out, not cut.
    for (what, style) in [
        (format!("  {}", printable(state.host())), PLAIN),
        (format!("  Linux {}", printable(state.kernel())), QUIET),
    ] {
        used += what.width();
        if state.began().is_some() && used <= usize::from(room) {
            left.push((Cow::from(what), style));
        }
    }
    paint::spans(buffer, (area.x, area.y), room, left);
}

/// What is wrong, in a few words.
fn verdict(screen: &Screen) -> (String, ratatui::style::Style) {
    let state = &screen.state;
    let open = state.incidents().filter(|one| one.open).count() as u64;
    let health = |wanted: &[Health]| {
        let services = state.services();
        let fitting = services.filter(|(_, one)| wanted.contains(&one.health(state.now())));
        fitting.count() as u64
    };
    let down = health(&[Health::Down, Health::CrashLoop]);
    let failing = health(&[Health::Failing]);
    let failed = match state.requests_failed() {
        0 => String::new(),
        1 => " · 1 request failed".to_owned(),
        number => format!(" · {} requests failed", count(number)),
    };
    if down > 0 {
        (
            format!(
                "● {}{failed}",
                counted(down, "service down", "services down")
            ),
            BAD,
        )
    } else if open > 0 {
        let open = counted(open, "incident open", "incidents open");
        (format!("● {open}{failed}"), EFFECT)
    } else if failing > 0 {
        let failing = counted(failing, "service failing", "services failing");
        (format!("● {failing}{failed}"), EFFECT)
    } else if state.began().is_some() {
        (format!("● all well{failed}"), CALM)
    } else {
        (String::new(), PLAIN)
    }
}

/// The names of the panes.
pub(super) fn tabs(screen: &Screen, area: Rect, buffer: &mut Buffer) {
    let mut x = area.x;
    for (pane, name) in TABS {
        let style = if pane == screen.focus { ACCENT } else { QUIET };
        let marker = if pane == screen.focus { "▸" } else { " " };
        let room = area.right().saturating_sub(x);
        paint::text(buffer, (x, area.y), room, &format!("{marker}{name}"), style);
        x += tab_columns(name);
    }
}
