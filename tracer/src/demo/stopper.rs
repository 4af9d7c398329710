//! Ends an incident early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a [`super::Stack::run_incident`] that runs on another thread.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Makes it return [`super::DemoError::Stopped`] soon.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
