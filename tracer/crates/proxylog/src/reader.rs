//! Reads the lines of one log in their order.

use crate::line::Line;
use crate::profile::{Memory, Profile};

/// Reads the lines of one log in their order, and remembers what matters to later ones.
#[derive(Debug)]
pub struct Reader {
    profile: &'static Profile,
    memory: Option<Box<dyn Memory>>,
}

impl Reader {
    /// For a log of that proxy.
    pub fn new(profile: &'static Profile) -> Self {
        Self {
            profile,
            memory: profile.memory.map(|new| new()),
        }
    }

    /// Whose log it is.
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// Reads the next line; `show_query` keeps query strings.
    pub fn read(&mut self, line: &str, show_query: bool) -> Line {
        let read = self.profile.read(line, show_query);
        match (&mut self.memory, &read) {
            (Some(memory), Line::Entry(_)) => memory.join(line, read),
            _ => read,
        }
    }
}
