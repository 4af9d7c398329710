//! The live screen of `tracer top`: what findings and samples come to, and how it looks. Pure: the
//! command reads keys, waits and writes to the terminal.
//!
//! `state` is what is known, `screen` what the user chose of it, `keys` what a key means, `view` how
//! it is drawn, one file per pane, `theme` what the terminal can show.

mod keys;
mod screen;
mod state;
mod theme;
mod view;

#[cfg(test)]
mod tests;

pub use screen::{Playback, Screen, Want};
pub use state::Sample;
pub use theme::Theme;
pub use view::{MIN_COLUMNS, MIN_ROWS};
