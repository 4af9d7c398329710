//! OOM victims: the processes that the kernel's OOM killer chose lately, and the kernel log's reports
//! of OOM kills. Finds the OOM kill that a process was part of.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tracer_model::{Exit, OomReport, OomVictim, Pid, ProcessKey, SIGKILL, Timestamp};

use super::verdict::{OomFacts, Scope};
use super::world::{Process, World, same};

/// Kills this soon after the choice of a victim may be of the same OOM event.
const SAME_EVENT: Duration = Duration::from_secs(1);
/// The kernel log's report is of a victim chosen at most this long after it.
const REPORT_HOLDS: Duration = Duration::from_mins(1);
const MAX_VICTIMS: usize = 256;
const MAX_REPORTS: usize = 64;

/// Victims that have not exited yet, or exited lately.
#[derive(Default)]
pub(super) struct OomVictims {
    victims: BTreeMap<ProcessKey, (Timestamp, OomVictim)>,
    reports: VecDeque<(Timestamp, OomReport)>,
}

impl OomVictims {
    /// The kernel log reported an OOM kill.
    pub(super) fn reported(&mut self, report: &OomReport, at: Timestamp) {
        self.reports.push_back((at, report.clone()));
        if self.reports.len() > MAX_REPORTS {
            self.reports.pop_front();
        }
    }

    /// The OOM killer chose a victim.
    pub(super) fn chosen(&mut self, victim: &OomVictim, at: Timestamp) {
        self.victims.insert(victim.task.key, (at, victim.clone()));
        if self.victims.len() > MAX_VICTIMS
            && let Some(oldest) = self
                .victims
                .iter()
                .min_by_key(|(_, (at, _))| *at)
                .map(|(key, _)| *key)
        {
            self.victims.remove(&oldest);
        }
    }

    /// The process as a victim.
    pub(super) fn get(&self, key: ProcessKey) -> Option<&OomVictim> {
        let unknown_start = ProcessKey {
            pid: key.pid,
            start_ticks: 0,
        };
        self.victims
            .get(&key)
            .or_else(|| self.victims.get(&unknown_start))
            .map(|(_, victim)| victim)
    }

    /// The OOM kill of a victim. The kernel also chooses processes that already exit and allocate
    /// more, silently: such a process was killed along with another victim, and shares its scope.
    pub(super) fn kill_of_victim(
        &self,
        world: &World,
        victim: Option<&OomVictim>,
        process: &Process,
        cgroup: u64,
        at: Timestamp,
    ) -> OomFacts {
        let own = self.facts(world, victim, process, at, false);
        if own.scope != Scope::Unknown {
            return own;
        }
        let along = self.kill_along(world, process, cgroup, at);
        along
            .filter(|along| along.scope != Scope::Unknown)
            .unwrap_or(own)
    }

    /// The OOM kill that an exit was part of: the process was a victim, or the kernel killed it
    /// along with a victim of its cgroup or service.
    pub(super) fn kill_of(
        &self,
        world: &World,
        exit: &Exit,
        process: &Process,
        at: Timestamp,
    ) -> Option<OomFacts> {
        if exit.status.signal() != Some(SIGKILL) {
            return None;
        }
        let cgroup = exit.task.cgroup;
        if exit.oom_victim {
            let victim = self.get(exit.task.key);
            let oom = self.kill_of_victim(world, victim, process, cgroup, at);
            return Some(oom.or_by_size(&process.facts, exit.peak_bytes));
        }
        let by_kernel = exit
            .other
            .as_ref()
            .is_some_and(|sent| sent.is_kernel_kill());
        by_kernel
            .then(|| self.kill_along(world, process, cgroup, at))
            .flatten()
    }

    /// A recent OOM kill in the same cgroup or service; of several, one with a known scope.
    fn kill_along(
        &self,
        world: &World,
        process: &Process,
        cgroup: u64,
        at: Timestamp,
    ) -> Option<OomFacts> {
        let others = self.victims.values().filter(|(chosen, victim)| {
            let other = world.processes.find(victim.task.key);
            at.since(*chosen) <= SAME_EVENT
                && *chosen <= at
                && ((cgroup != 0 && victim.task.cgroup == cgroup)
                    || other.is_some_and(|other| {
                        same(&other.attribution.service, &process.attribution.service)
                    }))
        });
        let mut facts =
            others.map(|(_, victim)| self.facts(world, Some(victim), process, at, true));
        let first = facts.next()?;
        match first.scope {
            Scope::Unknown => facts
                .find(|one| one.scope != Scope::Unknown)
                .or(Some(first)),
            _ => Some(first),
        }
    }

    fn facts(
        &self,
        world: &World,
        victim: Option<&OomVictim>,
        process: &Process,
        at: Timestamp,
        along: bool,
    ) -> OomFacts {
        let pid = victim.map_or(process.task.key.pid, |victim| victim.task.key.pid);
        let scope = Scope::of(
            victim,
            self.report_of(pid, at),
            &process.facts,
            &world.cgroups,
        );
        let own = process.facts.cgroup_path.as_deref();
        let above = matches!(&scope, Scope::Cgroup { path, .. } if path.as_deref() != own);
        OomFacts {
            scope,
            along,
            above,
        }
    }

    fn report_of(&self, pid: Pid, at: Timestamp) -> Option<&OomReport> {
        self.reports
            .iter()
            .rev()
            .find(|(seen, report)| report.victim == pid && at.since(*seen) <= REPORT_HOLDS)
            .map(|(_, report)| report)
    }
}
