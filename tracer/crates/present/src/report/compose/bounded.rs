//! Copies text from outside and keeps it short, so that no name or command line can fill the memory.

use tracer_model::{Death, WallTime};

use super::super::model::DeathAt;

/// How many bytes of a text from outside are kept.
const MAX_TEXT: usize = 1024;

/// `outside`, at most [`MAX_TEXT`] bytes of it.
pub(super) fn text(outside: &str) -> String {
    if outside.len() <= MAX_TEXT {
        return outside.to_owned();
    }
    let mut cut = outside[..outside.floor_char_boundary(MAX_TEXT)].to_owned();
    cut.push('…');
    cut
}

/// A copy of a death whose longest texts are cut.
pub(super) fn death_at(at: WallTime, death: &Death) -> DeathAt {
    let mut death = Box::new(death.clone());
    for long in [&mut death.why, &mut death.process.comm] {
        *long = text(long);
    }
    if let Some(cmdline) = &mut death.process.cmdline {
        *cmdline = text(cmdline);
    }
    DeathAt { at, death }
}
