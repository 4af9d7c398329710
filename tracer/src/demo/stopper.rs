//! Stops an incident early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops a [`super::Stack::run_incident`] that runs on another thread.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Makes `run_incident` return [`super::DemoError::Stopped`] soon.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
