//! Writes text onto a buffer: escaped, cut to its columns, never outside.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use tracer_model::WallTime;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::super::theme::{ACCENT, PLAIN, QUIET, STRONG};
use crate::cell::cell;

/// Writes `text`, cut to `columns`; returns the columns that it took.
pub(super) fn text(
    buffer: &mut Buffer,
    (x, y): (u16, u16),
    columns: u16,
    text: &str,
    style: Style,
) -> u16 {
    let area = buffer.area;
    if !area.contains((x, y).into()) {
        return 0;
    }
    let room = columns.min(area.right() - x);
    if room == 0 {
        return 0;
    }
    let shown = cell(text, usize::from(room));
    let (end, _) = buffer.set_stringn(x, y, shown, usize::from(room), style);
    end.saturating_sub(x)
}

/// The same, at the right end of the columns.
pub(super) fn right(
    buffer: &mut Buffer,
    (x, y): (u16, u16),
    columns: u16,
    what: &str,
    style: Style,
) {
    let shown = cell(what, usize::from(columns));
    let width = u16::try_from(shown.width()).unwrap_or(columns).min(columns);
    text(buffer, (x + columns - width, y), width, &shown, style);
}

/// Texts in a row, each in its style, as far as there is room.
pub(super) fn spans<'a>(
    buffer: &mut Buffer,
    (x, y): (u16, u16),
    columns: u16,
    spans: impl IntoIterator<Item = (Cow<'a, str>, Style)>,
) -> u16 {
    let mut used = 0;
    for (what, style) in spans {
        if used >= columns {
            break;
        }
        used += text(buffer, (x + used, y), columns - used, &what, style);
    }
    used
}

/// A pane's first row: `── Name · what ──────`.
pub(super) fn title(buffer: &mut Buffer, area: Rect, name: &str, what: &str, focused: bool) {
    let line = if focused { ACCENT } else { QUIET };
    for x in area.left()..area.right() {
        if let Some(cell) = buffer.cell_mut((x, area.y)) {
            cell.set_char('─').set_style(line);
        }
    }
    let room = area.width.saturating_sub(4);
    let mut parts = vec![
        (Cow::from(" "), PLAIN),
        (Cow::from(name), if focused { ACCENT } else { STRONG }),
        (Cow::from(" "), PLAIN),
    ];
    if !what.is_empty() {
        parts.push((Cow::from("· "), QUIET));
        parts.push((Cow::from(what), PLAIN));
        parts.push((Cow::from(" "), PLAIN));
    }
    spans(buffer, (area.x + 2, area.y), room, parts);
}

/// Adds a style to the whole row of `area` at `y`.
pub(super) fn highlight(buffer: &mut Buffer, area: Rect, y: u16, style: Style) {
    buffer.set_style(Rect::new(area.x, y, area.width, 1), style);
}

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A column per value: blank for 0, else from the lowest to the full block, which is `top`.
pub(super) fn spark(values: &[u64], bottom: u64, top: u64) -> String {
    let span = u128::from(top.saturating_sub(bottom).max(1));
    values
        .iter()
        .map(|value| {
            if *value == 0 {
                return ' ';
            }
            let height = u128::from(value.saturating_sub(bottom)) * 8;
            let level = height.div_ceil(span).clamp(1, 8);
            usize::try_from(level - 1)
                .ok()
                .and_then(|level| LEVELS.get(level).copied())
                .unwrap_or('█')
        })
        .collect()
}

/// How much of `columns` a part of a whole takes.
pub(super) fn share(part: u64, whole: u64, columns: u16) -> u16 {
    let filled = u128::from(part) * u128::from(columns);
    let filled = (filled + u128::from(whole) / 2) / u128::from(whole.max(1));
    u16::try_from(filled).unwrap_or(columns).min(columns)
}

/// A size in at most five columns: `64M`, `1.9G`, `980K`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    let mut tenths = bytes.saturating_mul(10) / 1024;
    if bytes > u64::MAX / 10 {
        tenths = bytes / 1024 * 10;
    }
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS[unit];
    if tenths < 100 && unit > 0 {
        format!("{}.{}{name}", tenths / 10, tenths % 10)
    } else {
        format!("{}{name}", tenths / 10)
    }
}

/// A count in at most five columns: `999`, `12.3k`, `4.5M`.
pub(super) fn count(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1_000),
        1_000_000..1_000_000_000 => format!("{}M", count / 1_000_000),
        _ => ">999M".to_owned(),
    }
}

/// A time that is still running, in whole seconds, so that it does not flicker.
pub(super) fn lasting(from: WallTime, now: WallTime) -> String {
    let nanos = u64::try_from(now.0.saturating_sub(from.0)).unwrap_or(0);
    let seconds = Duration::from_nanos(nanos).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A time of day.
pub(super) fn time_of_day(at: WallTime, zone: &jiff::tz::TimeZone, millis: bool) -> String {
    let zoned = at.to_jiff().to_zoned(zone.clone());
    let format = if millis { "%H:%M:%S%.3f" } else { "%H:%M:%S" };
    let mut text = String::new();
    // An unknown format would be the only failure.
    let _ = write!(text, "{}", zoned.strftime(format));
    text
}

/// `text`, escaped, as lines of at most `columns`, broken between words where possible.
pub(super) fn wrap(text: &str, columns: usize, most: usize) -> Vec<String> {
    let columns = columns.max(2);
    let safe = cell(text, columns.saturating_mul(most.max(1)));
    let mut lines = vec![String::new()];
    let mut width = 0;
    for word in safe.split(' ') {
        let needed = word.width();
        if width > 0 && width + 1 + needed > columns {
            lines.push(String::new());
            width = 0;
        } else if width > 0 {
            push(&mut lines, " ");
            width += 1;
        }
        for c in word.chars() {
            let one = c.width().unwrap_or(0);
            if width + one > columns {
                lines.push(String::new());
                width = 0;
            }
            let mut utf8 = [0; 4];
            push(&mut lines, c.encode_utf8(&mut utf8));
            width += one;
        }
    }
    lines.truncate(most.max(1));
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_take_five_columns_at_most() {
        for (bytes, want) in [
            (0, "0K"),
            (64 << 20, "64M"),
            (2_126_008_811, "1.9G"),
            (1000 << 10, "0.9M"),
            (1 << 20, "1.0M"),
            (u64::MAX, "15E"),
        ] {
            assert_eq!(size(bytes), want, "{bytes}");
        }
        for power in 0..64 {
            assert!(size(1 << power).len() <= 5, "{}", size(1 << power));
            assert!(count(1 << power).len() <= 5, "{}", count(1 << power));
        }
    }

    #[test]
    fn a_spark_has_its_top_at_the_highest_value() {
        assert_eq!(spark(&[0, 1, 4, 8], 0, 8), " ▁▄█");
        assert_eq!(spark(&[u64::MAX, 1], 0, u64::MAX), "█▁");
        assert_eq!(spark(&[5], 5, 5), "▁");
    }

    #[test]
    fn lines_are_broken_between_words_and_never_too_wide() {
        assert_eq!(wrap("raise the limit", 9, 5), ["raise the", "limit"]);
        assert_eq!(wrap("abcdefgh", 3, 5), ["abc", "def", "gh"]);
        for line in wrap(&"界 \x1b[2J".repeat(40), 7, 9) {
            assert!(line.width() <= 7, "{line:?}");
        }
    }
}
