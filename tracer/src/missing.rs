//! After lost events: the processes that are believed to live, and are not there.

use std::time::Duration;

use crate::analyze::World;
use crate::model::{ProcessKey, Timestamp};
use crate::observe;

/// How long their exits are waited for: one that was not lost is on its way, and tells more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Processes that were not there when it was looked.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    keys: Vec<ProcessKey>,
    looked: Timestamp,
}

impl Missing {
    /// Looks for the processes that live as far as `world` knows.
    pub(crate) fn look(world: &World, now: Timestamp) -> Self {
        let believed = world.processes.live().map(|process| process.task.key);
        Self {
            keys: believed.filter(|key| !observe::is_there(*key)).collect(),
            looked: now,
        }
    }

    /// When [`Self::take_due`] gives some.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        (!self.keys.is_empty()).then(|| self.looked.after(PATIENCE))
    }

    /// Those that `world` believes to live even after that.
    pub(crate) fn take_due(&mut self, world: &World, now: Timestamp) -> Vec<ProcessKey> {
        if self.due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let known = |key: &ProcessKey| world.processes.get(*key);
        self.keys
            .drain(..)
            .filter(|key| known(key).is_some_and(|process| process.dead.is_none()))
            .collect()
    }
}
