//! What is usual: medians and intervals.

use tracer_model::WallTime;

use super::super::formatting::ms_between;

/// The median of `values`, which it sorts.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The intervals between successive instants, ms.
pub(super) fn intervals(times: &[WallTime]) -> Vec<f64> {
    times
        .windows(2)
        .map(|pair| ms_between(pair[0], pair[1]))
        .collect()
}
