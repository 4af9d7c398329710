//! The terminal: set up for drawing, and restored however the screen exits.

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

use super::input::input;

/// The shortest time between two frames: the screen is drawn at most ten times a second.
pub(super) const FRAME: Duration = Duration::from_millis(100);

/// The terminal while the screen is drawn on it. Dropping this restores it.
pub(super) struct Terminal {
    drawn: Drawn<CrosstermBackend<io::Stdout>>,
    last: Option<Instant>,
    dirty: bool,
}

impl Terminal {
    /// Switches to the alternate screen, raw mode and mouse events.
    pub(super) fn open(screen: &Screen) -> io::Result<Self> {
        restore_on_panic();
        // --color and NO_COLOR have already been taken into account.
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
                restore();
                Err(error)
            }
        }
    }

    /// Requests a redraw at the next frame.
    pub(super) fn changed(&mut self) {
        self.dirty = true;
    }

    /// Draws if something changed and the last frame is old enough.
    pub(super) fn draw(&mut self, screen: &mut Screen) -> io::Result<()> {
        if !self.dirty || self.last.is_some_and(|last| last.elapsed() < FRAME) {
            return Ok(());
        }
        self.dirty = false;
        self.last = Some(Instant::now());
        self.drawn.draw(|frame| screen.draw(frame.buffer_mut()))?;
        Ok(())
    }

    /// Waits for input, for the next frame, or for `limit`, whichever comes first. Returns the
    /// request if the user made one that the caller must carry out.
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
            // Input is answered with a frame at once.
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
        restore();
    }
}

/// Restores the terminal. Failures are ignored: a terminal that is gone needs no restoring.
pub(super) fn restore() {
    let _ = execute!(
        io::stdout(),
        DisableMouseCapture,
        Show,
        LeaveAlternateScreen
    );
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}

/// Restores the terminal before a panic's message is printed.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}
