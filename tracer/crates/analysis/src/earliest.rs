//! When something that waits is due, without looking at all that waits for each observation.

use tracer_model::Timestamp;

/// The earliest of many deadlines, or an instant before it: known when one is added, and found again
/// only after it has passed.
#[derive(Debug, Default)]
pub(super) struct Earliest(Option<Timestamp>);

impl Earliest {
    pub(super) fn get(&self) -> Option<Timestamp> {
        self.0
    }

    /// Something waits until then.
    pub(super) fn add(&mut self, until: Timestamp) {
        self.0 = Some(self.0.map_or(until, |known| known.min(until)));
    }

    /// These are all that still wait.
    pub(super) fn find(&mut self, all: impl Iterator<Item = Timestamp>) {
        self.0 = all.min();
    }
}
