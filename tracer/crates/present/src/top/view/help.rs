//! The help: every key, in the middle of the screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint;
use crate::top::keys::{HELP, REPLAY_HELP};
use crate::top::screen::Screen;
use crate::top::theme::{PLAIN, STRONG};

const COLUMNS: u16 = 60;
const KEYS: u16 = 14;

pub(super) fn draw(screen: &Screen, buffer: &mut Buffer) {
    let replay: &[_] = if screen.playback.is_some() {
        &REPLAY_HELP
    } else {
        &[]
    };
    let lines: Vec<_> = replay.iter().chain(&HELP).collect();
    let outer = screen.area;
    let rows = u16::try_from(lines.len()).unwrap_or(0) + 2;
    let (width, height) = (outer.width.min(COLUMNS + 4), outer.height.min(rows));
    let area = Rect::new(
        outer.x + (outer.width - width) / 2,
        outer.y + (outer.height - height) / 2,
        width,
        height,
    );
    for position in area.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
        }
    }
    paint::title(buffer, area, "Keys", "any key closes this", true);
    for (y, (key, what)) in (area.y + 1..area.bottom()).zip(lines) {
        paint::text(buffer, (area.x + 2, y), KEYS - 1, key, STRONG);
        let x = area.x + 2 + KEYS;
        let room = area.right().saturating_sub(x);
        paint::text(buffer, (x, y), room, what, PLAIN);
    }
}
