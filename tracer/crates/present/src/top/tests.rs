//! Every pane at every size, hostile names in all of them, and anything a user may do.

mod stories;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use unicode_width::UnicodeWidthStr as _;

use super::{Input, Key, KeyCode, Mouse, MouseKind, Screen, Theme, Want};
use stories::{HOSTILE, incident, many, quiet};

const FULL: Theme = Theme {
    colour: true,
    unicode: true,
};
const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 40), (200, 60)];

fn screen() -> Screen {
    Screen::new(FULL, jiff::tz::TimeZone::UTC)
}

fn press(screen: &mut Screen, keys: &str) -> Option<Want> {
    let mut want = None;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\x1b' => KeyCode::Esc,
            '\x08' => KeyCode::Backspace,
            other => KeyCode::Char(other),
        };
        want = screen.input(Input::Key(Key::plain(code)));
    }
    want
}

/// What is shown, one line of text per row.
fn shown(screen: &mut Screen, (columns, rows): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| screen.draw(frame.buffer_mut()))
        .unwrap();
    text(terminal.backend().buffer())
}

fn text(buffer: &Buffer) -> String {
    let columns = usize::from(buffer.area.width);
    let mut out = String::new();
    for row in buffer.content.chunks(columns) {
        let mut line = String::new();
        let mut skip = 0;
        for cell in row {
            if skip == 0 {
                line.push_str(cell.symbol());
                skip = cell.symbol().width().saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn snapshots(name: &str, mut screen: Screen) {
    for size in SIZES {
        let name = format!("{name}_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, shown(&mut screen, size));
    }
}

#[test]
fn a_quiet_machine_is_calm() {
    let mut screen = screen();
    quiet(&mut screen);
    snapshots("quiet", screen);
}

#[test]
fn an_outage_is_seen_at_once() {
    let mut screen = screen();
    incident(&mut screen, false);
    snapshots("outage", screen);
}

#[test]
fn the_list_of_incidents_says_what_each_cost() {
    let mut screen = screen();
    incident(&mut screen, true);
    press(&mut screen, "2");
    snapshots("incidents", screen);
}

#[test]
fn an_incidents_story_has_cause_effects_requests_recovery_and_advice() {
    let mut screen = screen();
    incident(&mut screen, true);
    press(&mut screen, "2\n");
    snapshots("story", screen);
}

#[test]
fn the_events_are_filtered_and_searched() {
    let mut screen = screen();
    incident(&mut screen, true);
    press(&mut screen, "fapi !CUT\n/DOWN\n");
    snapshots("events", screen);
}

#[test]
fn every_key_is_in_the_help() {
    let mut screen = screen();
    quiet(&mut screen);
    press(&mut screen, "?");
    snapshots("help", screen);
}

#[test]
fn hostile_names_break_nothing() {
    for pane in ["1", "2", "3", "4"] {
        for name in HOSTILE {
            let mut screen = screen();
            many(&mut screen, name);
            press(&mut screen, pane);
            for size in SIZES {
                let shown = shown(&mut screen, size);
                assert!(!shown.contains('\u{202e}'), "{shown}");
                for line in shown.lines() {
                    assert!(!line.contains(char::is_control), "{line:?}");
                    assert!(line.width() <= usize::from(size.0), "{line:?}");
                }
                // What is below the row with the name is where it belongs.
                let last = shown.lines().last().unwrap();
                assert!(last.ends_with("? help  q quit"), "{last}");
            }
        }
    }
}

#[test]
fn a_window_that_is_too_small_says_so() {
    for size in [(59, 15), (60, 14), (20, 3), (1, 1), (300, 2)] {
        let mut screen = screen();
        incident(&mut screen, false);
        let shown = shown(&mut screen, size);
        if size.0 > 40 && size.1 > 2 {
            let wanted = format!("60 by 15 at least, this is {} by {}", size.0, size.1);
            assert!(shown.contains(&wanted), "{shown}");
        }
        assert_eq!(press(&mut screen, "q"), Some(Want::Quit));
    }
}

#[test]
fn plain_terminals_get_the_same_in_ascii_without_colour() {
    for size in SIZES {
        let mut full = screen();
        incident(&mut full, true);
        let mut plain = Screen::new(
            Theme {
                colour: false,
                unicode: false,
            },
            jiff::tz::TimeZone::UTC,
        );
        incident(&mut plain, true);
        let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
        plain.draw(&mut buffer);
        let ascii = text(&buffer);
        assert!(ascii.is_ascii(), "{ascii}");
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset));
        for (plain, full) in ascii.lines().zip(shown(&mut full, size).lines()) {
            assert_eq!(plain.width(), full.width(), "{plain}\n{full}");
        }
    }
}

#[test]
fn only_the_sixteen_colours_are_used() {
    let mut screen = screen();
    incident(&mut screen, false);
    let mut buffer = Buffer::empty(Rect::new(0, 0, 120, 40));
    screen.draw(&mut buffer);
    for cell in &buffer.content {
        assert!(!matches!(cell.fg, Color::Rgb(..) | Color::Indexed(_)));
        assert_eq!(cell.bg, Color::Reset);
    }
}

#[test]
fn enter_on_a_service_shows_its_events_and_escape_shows_all() {
    let mut screen = screen();
    incident(&mut screen, true);
    shown(&mut screen, (120, 40));
    let all = screen.events.len();
    press(&mut screen, "j\n");
    let events = shown(&mut screen, (120, 40));
    assert!(events.contains("filter: api.service"), "{events}");
    assert!(screen.events.len() < all && !screen.events.is_empty());
    press(&mut screen, "\x1b");
    shown(&mut screen, (120, 40));
    assert_eq!(screen.events.len(), all);
}

#[test]
fn the_next_match_wraps_around() {
    let mut screen = screen();
    incident(&mut screen, true);
    shown(&mut screen, (120, 40));
    press(&mut screen, "/REFUSED\n");
    let first = screen.event;
    assert!(first.is_some());
    press(&mut screen, "n");
    press(&mut screen, "N");
    assert_eq!(screen.event, first);
}

#[test]
fn a_click_chooses_and_a_second_opens() {
    let mut screen = screen();
    incident(&mut screen, true);
    let before = shown(&mut screen, (80, 24));
    let row = before.lines().position(|line| line.contains("OOM (cgroup"));
    screen.input(Input::Mouse(Mouse {
        kind: MouseKind::Click,
        column: 20,
        row: u16::try_from(row.unwrap()).unwrap(),
    }));
    let after = shown(&mut screen, (80, 24));
    assert!(
        after.contains("CAUSE") && after.contains("RECOVERY"),
        "{after}"
    );
}

fn deeds() -> impl Strategy<Value = Vec<(u8, u16, u16)>> {
    prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_a_user_or_a_machine_does_draws_outside(deeds in deeds()) {
        let mut screen = screen();
        let mut size = (80, 24);
        for (what, a, b) in deeds {
            match what % 6 {
                0 => size = (a % 220, b % 70),
                1 => stories::any(&mut screen, a, b),
                2 => {
                    let kinds = [
                        MouseKind::Click,
                        MouseKind::ScrollUp,
                        MouseKind::ScrollDown,
                    ];
                    screen.input(Input::Mouse(Mouse {
                        kind: kinds[usize::from(what / 6) % 3],
                        column: a % 220,
                        row: b % 70,
                    }));
                }
                3 => {
                    let codes = [
                        KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End,
                        KeyCode::Up, KeyCode::Down, KeyCode::Enter, KeyCode::Esc, KeyCode::Left,
                        KeyCode::Backspace,
                    ];
                    let code = codes[usize::from(a) % codes.len()];
                    screen.input(Input::Key(Key::plain(code)));
                }
                _ => {
                    let keys = "1234jkgG/fnN?s[]m\t abc.:界";
                    let at = usize::from(a) % keys.chars().count();
                    let key: String = keys.chars().skip(at).take(1).collect();
                    press(&mut screen, &key);
                }
            }
            // A buffer panics when something is drawn outside of it.
            let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
            screen.draw(&mut buffer);
            for cell in &buffer.content {
                prop_assert!(!cell.symbol().contains(char::is_control));
            }
        }
    }
}
