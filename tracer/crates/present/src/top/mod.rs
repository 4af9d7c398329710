//! The live screen of `tracer top`: findings and samples in, a picture out. Pure: the command reads
//! keys, waits, and writes to the terminal.
//!
//! `state` is what is known; `screen` adds what the user chose of it; `control` changes that choice
//! by `input`, as `keys` says; `view` draws the screen, one file per pane of `panes`; `theme` is what
//! the terminal can show.

mod control;
mod input;
mod keys;
mod panes;
mod screen;
mod state;
mod theme;
mod view;

#[cfg(test)]
mod tests;

pub use control::Want;
pub use input::{Input, Key, KeyCode, Mouse, MouseKind};
pub use screen::{Playback, Screen};
pub use state::Sample;
pub use theme::Theme;
pub use view::{MIN_COLUMNS, MIN_ROWS};
