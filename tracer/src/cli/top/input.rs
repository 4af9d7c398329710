//! The terminal's events as the screen's input. What the screen does not distinguish is dropped.

use crossterm::event::{
    Event, KeyCode as Code, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent,
    MouseEventKind,
};
use tracer_present::top::{Input, Key, KeyCode, Mouse, MouseKind};

/// What an event means to the screen; None when it means nothing.
pub(super) fn input(event: &Event) -> Option<Input> {
    match event {
        Event::Key(event) => key(*event).map(Input::Key),
        Event::Mouse(event) => mouse(*event).map(Input::Mouse),
        _ => None,
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let code = match event.code {
        Code::Char(c) => KeyCode::Char(c),
        Code::Enter => KeyCode::Enter,
        Code::Esc => KeyCode::Esc,
        Code::Tab => KeyCode::Tab,
        Code::BackTab => KeyCode::BackTab,
        Code::Backspace => KeyCode::Backspace,
        Code::Up => KeyCode::Up,
        Code::Down => KeyCode::Down,
        Code::Left => KeyCode::Left,
        Code::Right => KeyCode::Right,
        Code::PageUp => KeyCode::PageUp,
        Code::PageDown => KeyCode::PageDown,
        Code::Home => KeyCode::Home,
        Code::End => KeyCode::End,
        Code::F(1) => KeyCode::F1,
        _ => KeyCode::Other,
    };
    Some(Key {
        code,
        control: event.modifiers.contains(KeyModifiers::CONTROL),
        shift: event.modifiers.contains(KeyModifiers::SHIFT),
    })
}

fn mouse(event: MouseEvent) -> Option<Mouse> {
    let kind = match event.kind {
        MouseEventKind::Down(MouseButton::Left) => MouseKind::Click,
        MouseEventKind::Down(_) => MouseKind::OtherClick,
        MouseEventKind::ScrollUp => MouseKind::ScrollUp,
        MouseEventKind::ScrollDown => MouseKind::ScrollDown,
        _ => return None,
    };
    Some(Mouse {
        kind,
        column: event.column,
        row: event.row,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_key_and_a_moved_mouse_mean_nothing() {
        let mut event = KeyEvent::new(Code::Char('q'), KeyModifiers::NONE);
        assert_eq!(
            input(&Event::Key(event)),
            Some(Input::Key(Key::plain(KeyCode::Char('q'))))
        );
        event.kind = KeyEventKind::Release;
        assert_eq!(input(&Event::Key(event)), None);
        let moved = MouseEvent {
            kind: MouseEventKind::Moved,
            column: 1,
            row: 2,
            modifiers: KeyModifiers::NONE,
        };
        assert_eq!(input(&Event::Mouse(moved)), None);
        assert_eq!(input(&Event::Resize(80, 24)), None);
    }

    #[test]
    fn modifiers_and_positions_are_kept() {
        let event = KeyEvent::new(Code::Left, KeyModifiers::SHIFT | KeyModifiers::CONTROL);
        let want = Key {
            code: KeyCode::Left,
            control: true,
            shift: true,
        };
        assert_eq!(input(&Event::Key(event)), Some(Input::Key(want)));
        let pressed = MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Right),
            column: 7,
            row: 9,
            modifiers: KeyModifiers::NONE,
        };
        let want = Mouse {
            kind: MouseKind::OtherClick,
            column: 7,
            row: 9,
        };
        assert_eq!(input(&Event::Mouse(pressed)), Some(Input::Mouse(want)));
    }

    #[test]
    fn a_key_without_a_name_is_still_a_key() {
        let event = KeyEvent::new(Code::F(5), KeyModifiers::NONE);
        assert_eq!(
            input(&Event::Key(event)),
            Some(Input::Key(Key::plain(KeyCode::Other)))
        );
    }
}
