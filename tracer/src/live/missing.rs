//! After lost events: processes that should be running and are not there.

use std::time::Duration;

use tracer_analysis::World;
use tracer_model::{ProcessKey, Timestamp};

/// How long to wait for their exits: an exit that was not lost is on its way, and carries more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Processes that were not there at the last look.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    keys: Vec<ProcessKey>,
    looked: Timestamp,
}

impl Missing {
    /// Looks for every process that is running as far as `world` knows.
    pub(crate) fn look(world: &World, now: Timestamp) -> Self {
        let believed = world.processes.live().map(|process| process.task.key);
        Self {
            keys: believed
                .filter(|key| !tracer_observe::lives(*key))
                .collect(),
            looked: now,
        }
    }

    /// When [`Self::drain_due`] has some.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        (!self.keys.is_empty()).then(|| self.looked.after(PATIENCE))
    }

    /// Those whose exits have not arrived since then. A process that takes longer to exit stays for a
    /// later call.
    pub(crate) fn drain_due(&mut self, world: &World, now: Timestamp) -> Vec<ProcessKey> {
        if self.due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let known = |key: &ProcessKey| world.processes.get(*key);
        self.keys
            .retain(|key| known(key).is_some_and(|process| process.dead.is_none()));
        self.looked = now;
        self.keys
            .extract_if(.., |key| !tracer_observe::is_there(*key))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracer_analysis::rules::Rules;
    use tracer_analysis::{Analysis, Options};
    use tracer_model::{Hierarchy, Observation, ProcessFacts, TaskFacts, What};
    use tracer_observe::process_facts;
    use tracer_observe::slow_exit::SlowExit;

    const SECOND: u64 = 1_000_000_000;

    /// What analysis knows about a machine with one process.
    fn machine_with(key: ProcessKey) -> Analysis {
        let mut analysis = Analysis::new(Rules::none(), Options::default());
        let task = TaskFacts {
            key,
            ..TaskFacts::default()
        };
        let facts = ProcessFacts {
            task,
            ..ProcessFacts::default()
        };
        let learned = Observation {
            at: Timestamp(SECOND),
            what: What::Process(Box::new(facts)),
        };
        analysis.observe(&learned, &mut Vec::new());
        analysis
    }

    #[test]
    fn a_process_that_exits_slowly_is_missing_only_once_it_is_gone() {
        let slow = SlowExit::start();
        let key = slow.key;
        let analysis = machine_with(key);
        let world = analysis.world();
        let at = |seconds: u64| Timestamp(seconds * SECOND);

        let mut missing = Missing::look(world, at(10));
        assert_eq!(missing.due(), Some(at(11)));
        assert_eq!(missing.drain_due(world, at(10)), []);
        assert_eq!(missing.drain_due(world, at(11)), [], "it is still there");
        assert_eq!(missing.due(), Some(at(12)));
        slow.finish();
        assert_eq!(missing.drain_due(world, at(12)), [key]);
        assert_eq!(missing.due(), None);
    }

    #[test]
    fn a_running_process_is_not_missing() {
        let pid = std::process::id();
        let facts = process_facts(pid, Hierarchy::MemoryV1).unwrap();
        let analysis = machine_with(facts.task.key);
        let missing = Missing::look(analysis.world(), Timestamp(10 * SECOND));
        assert_eq!(missing.due(), None);
    }
}
