//! What all conclusions share: what is known of the machine, the incidents, the totals, and the way
//! a finding is reported.

use tracer_model::{Body, End, Finding, SCHEMA_VERSION, Timestamp};

use super::incident::Incidents;
use super::options::Options;
use super::rules::Rules;
use super::world::World;

/// See the module.
pub(super) struct Context {
    pub options: Options,
    pub world: World,
    pub incidents: Incidents,
    pub totals: End,
    /// Whether everything that existed at the start is known; nothing is reported before that.
    pub armed: bool,
    /// Time of the newest observation.
    pub now: Timestamp,
}

impl Context {
    /// Nothing is known yet.
    pub(super) fn new(rules: Rules, options: Options) -> Self {
        Self {
            options,
            world: World::new(rules),
            incidents: Incidents::default(),
            totals: End::default(),
            armed: false,
            now: Timestamp::default(),
        }
    }

    /// Counts lines of proxies' logs that could not be parsed.
    pub(super) fn log_lines_unread(&mut self, count: u64) {
        let unread = &mut self.totals.log_lines_unread;
        *unread = unread.saturating_add(count);
    }

    /// Reports a finding.
    pub(super) fn report(&self, at: Timestamp, body: Body, findings: &mut Vec<Finding>) {
        if self.armed {
            findings.push(Finding {
                v: SCHEMA_VERSION,
                at: self.world.wall(at),
                body,
            });
        }
    }

    /// Reports several findings of one instant.
    pub(super) fn report_all(
        &self,
        at: Timestamp,
        bodies: impl IntoIterator<Item = Body>,
        findings: &mut Vec<Finding>,
    ) {
        for body in bodies {
            self.report(at, body, findings);
        }
    }
}
