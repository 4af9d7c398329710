//! The terminal: taken over, drawn on, and given back however the screen ends.

use std::io::{self, Write as _};
use std::sync::Once;
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{self, DisableMouseCapture, EnableMouseCapture, Event};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal as Drawn;
use ratatui::backend::CrosstermBackend;
use tracer_present::top::{Screen, Want};

use super::FRAME;
use super::input::input;

/// A terminal that is ours. Dropping it gives it back.
pub(super) struct Terminal {
    drawn: Drawn<CrosstermBackend<io::Stdout>>,
    last: Option<Instant>,
    dirty: bool,
}

impl Terminal {
    /// Takes it over.
    pub(super) fn take(screen: &Screen) -> io::Result<Self> {
        give_back_on_panic();
        // What --color and NO_COLOR come to is decided already.
        crossterm::style::force_color_output(screen.is_coloured());
        enable_raw_mode()?;
        let terminal = execute!(io::stdout(), EnterAlternateScreen, Hide, EnableMouseCapture)
            .and_then(|()| Drawn::new(CrosstermBackend::new(io::stdout())));
        match terminal {
            Ok(drawn) => Ok(Self {
                drawn,
                last: None,
                dirty: true,
            }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Something changed: it is drawn when it is time.
    pub(super) fn changed(&mut self) {
        self.dirty = true;
    }

    /// Draws if something changed and the last time is long enough ago.
    pub(super) fn draw(&mut self, screen: &mut Screen) -> io::Result<()> {
        if !self.dirty || self.last.is_some_and(|last| last.elapsed() < FRAME) {
            return Ok(());
        }
        self.dirty = false;
        self.last = Some(Instant::now());
        self.drawn.draw(|frame| screen.draw(frame.buffer_mut()))?;
        Ok(())
    }

    /// Waits until the user does something, or it is time to draw, or nothing more than `limit`;
    /// gives what is wanted outside the screen.
    pub(super) fn wait(
        &mut self,
        screen: &mut Screen,
        limit: Duration,
    ) -> io::Result<Option<Want>> {
        let until_frame = self
            .last
            .map_or(Duration::ZERO, |last| FRAME.saturating_sub(last.elapsed()));
        let limit = if self.dirty {
            limit.min(until_frame)
        } else {
            limit
        };
        if !event::poll(limit)? {
            return Ok(None);
        }
        let event = event::read()?;
        self.dirty = true;
        if !matches!(event, Event::Resize(..)) {
            // What the user does is seen at once.
            self.last = None;
        }
        let Some(want) = input(&event).and_then(|input| screen.input(input)) else {
            return Ok(None);
        };
        match want {
            Want::Redraw => self.drawn.clear()?,
            Want::Mouse(true) => execute!(io::stdout(), EnableMouseCapture)?,
            Want::Mouse(false) => execute!(io::stdout(), DisableMouseCapture)?,
            other => return Ok(Some(other)),
        }
        Ok(None)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back as it was. A terminal that is gone needs nothing.
pub(super) fn give_back() {
    let _ = execute!(
        io::stdout(),
        DisableMouseCapture,
        Show,
        LeaveAlternateScreen
    );
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}

/// A panic's message is for the terminal as it was.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}
