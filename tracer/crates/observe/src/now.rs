//! Observations that are made by reading: their time is that of the reading.

use tracer_model::{Observation, What};

use super::clock;

/// Appends an observation that is made now.
pub(super) fn push(out: &mut Vec<Observation>, what: What) {
    out.push(Observation {
        at: clock::now(),
        what,
    });
}
