//! Which key does what. The tables at the end are the help.

use super::input::{Key, KeyCode};

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    Redraw,
    Help,
    NextPane,
    PreviousPane,
    Pane(usize),
    Up(usize),
    Down(usize),
    PageUp,
    PageDown,
    Home,
    End,
    Open,
    Back,
    Search,
    NextMatch,
    PreviousMatch,
    Filter,
    Sort,
    Mouse,
    /// Replay: pause or play.
    Pause,
    /// Replay: move by so many seconds.
    Seek(i64),
    PreviousIncident,
    NextIncident,
    Faster,
    Slower,
    /// While a text is typed.
    Typed(char),
    Erase,
    EraseAll,
    Accept,
    Cancel,
}

/// What else decides the meaning of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// A text is being typed.
    pub(crate) typing: bool,
    /// A capture is shown.
    pub(crate) replay: bool,
}

/// What a key means.
pub(crate) fn action(key: Key, mode: Mode) -> Option<Action> {
    let control = key.control;
    match key.code {
        KeyCode::Char('c') if control => return Some(Action::Quit),
        KeyCode::Char('l') if control => return Some(Action::Redraw),
        _ => {}
    }
    if mode.typing {
        return match key.code {
            KeyCode::Enter => Some(Action::Accept),
            KeyCode::Esc => Some(Action::Cancel),
            KeyCode::Backspace => Some(Action::Erase),
            KeyCode::Char('u') if control => Some(Action::EraseAll),
            KeyCode::Char('h') if control => Some(Action::Erase),
            KeyCode::Char(c) if !control => Some(Action::Typed(c)),
            _ => None,
        };
    }
    if mode.replay
        && let Some(action) = replay(key)
    {
        return Some(action);
    }
    Some(match key.code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Char('?' | 'h') | KeyCode::F1 => Action::Help,
        KeyCode::Tab => Action::NextPane,
        KeyCode::BackTab => Action::PreviousPane,
        KeyCode::Char(digit @ '1'..='4') => Action::Pane(usize::from(digit as u8 - b'1')),
        KeyCode::Char('d') if control => Action::PageDown,
        KeyCode::Char('u') if control => Action::PageUp,
        KeyCode::Up | KeyCode::Char('k') => Action::Up(1),
        KeyCode::Down | KeyCode::Char('j') => Action::Down(1),
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Action::Home,
        KeyCode::End | KeyCode::Char('G') => Action::End,
        KeyCode::Enter => Action::Open,
        KeyCode::Esc | KeyCode::Backspace => Action::Back,
        KeyCode::Char('/') => Action::Search,
        KeyCode::Char('n') => Action::NextMatch,
        KeyCode::Char('N') => Action::PreviousMatch,
        KeyCode::Char('f') => Action::Filter,
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Char('m') => Action::Mouse,
        KeyCode::Char('[') => Action::PreviousIncident,
        KeyCode::Char(']') => Action::NextIncident,
        _ => return None,
    })
}

fn replay(key: Key) -> Option<Action> {
    let seconds = if key.shift { 60 } else { 1 };
    Some(match key.code {
        KeyCode::Char(' ') => Action::Pause,
        KeyCode::Left => Action::Seek(-seconds),
        KeyCode::Right => Action::Seek(seconds),
        KeyCode::Char('<' | ',') => Action::Seek(-10),
        KeyCode::Char('>' | '.') => Action::Seek(10),
        KeyCode::Char('+' | '=') => Action::Faster,
        KeyCode::Char('-') => Action::Slower,
        _ => return None,
    })
}

/// Keys and what they do, for the help.
pub(crate) const HELP: [(&str, &str); 12] = [
    ("Tab  1 2 3 4", "next pane, or a pane by its number"),
    ("↑ ↓  j k", "move; also PgUp PgDn Home End"),
    ("Enter", "show a service's events, an incident's story"),
    ("Esc", "back; clear the filter, then the search"),
    ("/  n N", "search the events; next, previous match"),
    ("f", "filter the events: words, !excluded"),
    ("s", "sort services: worst, name, memory, failures"),
    ("[  ]", "previous, next incident"),
    ("m", "give the mouse to the terminal, take it back"),
    ("Ctrl-L", "redraw"),
    ("?", "this help"),
    ("q  Ctrl-C", "quit"),
];

/// The same for a capture.
pub(crate) const REPLAY_HELP: [(&str, &str); 4] = [
    ("Space", "pause, play"),
    ("← →", "back, forward 1 s; with Shift 1 min"),
    ("<  >", "back, forward 10 s"),
    ("+  -", "faster, slower"),
];
