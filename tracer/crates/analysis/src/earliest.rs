//! The earliest of many deadlines, known without a search at each observation.

use tracer_model::Timestamp;

/// The earliest of many deadlines, or an instant before it: updated when a deadline is added, and
/// searched again only after it has passed.
#[derive(Debug, Default)]
pub(super) struct Earliest(Option<Timestamp>);

impl Earliest {
    pub(super) fn get(&self) -> Option<Timestamp> {
        self.0
    }

    /// Adds a deadline.
    pub(super) fn add(&mut self, until: Timestamp) {
        self.0 = Some(self.0.map_or(until, |known| known.min(until)));
    }

    /// Replaces all deadlines by these.
    pub(super) fn find(&mut self, all: impl Iterator<Item = Timestamp>) {
        self.0 = all.min();
    }
}
