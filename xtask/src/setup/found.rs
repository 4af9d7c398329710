//! The line that set-up prints for each thing that is in place.

/// Prints that `what` is installed; `detail` is its version or path.
pub(super) fn found(what: &str, detail: &str) {
    println!("  ok       {what:<14} {detail}");
}
