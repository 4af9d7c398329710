//! Colours and characters: sixteen colours or none, Unicode or plain ASCII.
//!
//! The panes always draw Unicode and colours. What the terminal lacks is removed afterwards, in one
//! place.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether to use colours.
    pub colour: bool,
    /// Whether to use characters beyond ASCII.
    pub unicode: bool,
}

pub(super) const PLAIN: Style = Style::new();
pub(super) const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const BAD: Style = bold(Color::Red);
pub(super) const EFFECT: Style = bold(Color::Yellow);
pub(super) const GOOD: Style = bold(Color::Green);
pub(super) const CALM: Style = Style::new().fg(Color::Green);
pub(super) const ACCENT: Style = bold(Color::Cyan);
/// The chosen line. Reversed, so that it is seen without colours too.
pub(super) const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);
/// A match of the search.
pub(super) const MATCH: Style = Style::new()
    .fg(Color::Yellow)
    .add_modifier(Modifier::REVERSED.union(Modifier::BOLD));

const fn bold(colour: Color) -> Style {
    Style::new().fg(colour).add_modifier(Modifier::BOLD)
}

impl Theme {
    /// Removes what the terminal can't show.
    pub(super) fn reduce(self, buffer: &mut Buffer) {
        if self.colour && self.unicode {
            return;
        }
        for cell in &mut buffer.content {
            if !self.colour {
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
            }
            if !self.unicode && !cell.symbol().is_ascii() {
                let plain = ascii(cell.symbol());
                cell.set_char(plain);
            }
        }
    }
}

/// One column of ASCII that stands for a character. The second column of a wide one is blank already.
fn ascii(symbol: &str) -> char {
    match symbol {
        "─" | "–" | "▂" => '-',
        "│" => '|',
        "●" | "▶" => '*',
        "○" => 'o',
        "·" | "░" => '.',
        "→" | "▸" | "›" => '>',
        "←" => '<',
        "↑" => '^',
        "↓" => 'v',
        "×" => 'x',
        "…" => '~',
        "█" => '#',
        "▇" | "▆" => '%',
        "▅" | "▄" => '+',
        "▃" | "━" => '=',
        "▁" => '_',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Cell;
    use ratatui::layout::Rect;

    use super::*;

    #[test]
    fn a_plain_terminal_gets_ascii_and_no_colour() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 1));
        buffer.set_string(0, 0, "─● 界é→…█", BAD);
        Theme {
            colour: false,
            unicode: false,
        }
        .reduce(&mut buffer);
        let text: String = buffer.content.iter().map(Cell::symbol).collect();
        assert_eq!(text.trim_end(), "-* ? ?>~#");
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset));
        assert!(buffer.content[0].modifier.contains(Modifier::BOLD));
    }
}
