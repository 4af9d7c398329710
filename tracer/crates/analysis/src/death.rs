//! Deaths: gathers the evidence, asks for the verdict, decides whether anybody wants to know, and
//! tells the incidents. Also the OOM killer's marks, which come before.
//!
//! What is reported without `--all`: OOM kills, crashes, heap limits and SIGKILLs from others,
//! always; everything else only of the processes that make a service up: its main processes
//! (started by something outside the service), its listeners and their forked workers. A service
//! that is only an executable's name counts once it has listened; clean exits count when somebody
//! asked for them, or the process had listened or lived for ten seconds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tracer_model::{
    Actor, Body, Cause, Death, Exit, ExitStatus, Finding, Manager, MemoryInfo, OomReport,
    OomVictim, Pid, ProcessInfo, ProcessKey, SIGKILL, SignalName, SignalSent, Timestamp, printable,
};

use super::Analysis;
use super::advice::advice;
use super::incident::Loss;
use super::verdict::{
    Evidence, OomFacts, Scope, SenderFacts, SenderKind, Sent, Verdict, heap_limit, sender_kind,
    verdict,
};
use super::world::{End, Hold, Process, World, is_shell, same};

/// Kills within this of a mark may be of the same OOM event.
const SAME_EVENT: Duration = Duration::from_secs(1);
const LONG_LIVED: Duration = Duration::from_secs(10);
const MAX_MARKS: usize = 256;
const MAX_REPORTS: usize = 64;

/// Marked victims that are not dead yet, or were lately.
#[derive(Default)]
pub(super) struct OomVictims {
    marks: BTreeMap<ProcessKey, (Timestamp, OomVictim)>,
    reports: VecDeque<(Timestamp, OomReport)>,
}

/// Texts of which one is often the same as the one before: those share memory.
#[derive(Default)]
pub(super) struct Repeated(Arc<str>);

impl Repeated {
    fn keep(&mut self, text: &str) -> Arc<str> {
        if *self.0 != *text {
            self.0 = text.into();
        }
        Arc::clone(&self.0)
    }
}

impl OomVictims {
    pub(super) fn reported(&mut self, report: &OomReport, at: Timestamp) {
        self.reports.push_back((at, report.clone()));
        if self.reports.len() > MAX_REPORTS {
            self.reports.pop_front();
        }
    }

    fn marked(&mut self, mark: &OomVictim, at: Timestamp) {
        self.marks.insert(mark.task.key, (at, mark.clone()));
        if self.marks.len() > MAX_MARKS
            && let Some(oldest) = self
                .marks
                .iter()
                .min_by_key(|(_, (at, _))| *at)
                .map(|(key, _)| *key)
        {
            self.marks.remove(&oldest);
        }
    }

    fn report(&self, pid: Pid, at: Timestamp) -> Option<&OomReport> {
        self.reports
            .iter()
            .rev()
            .find(|(seen, report)| report.victim == pid && at.since(*seen) <= 60 * SAME_EVENT)
            .map(|(_, report)| report)
    }

    fn of(&self, key: ProcessKey) -> Option<&OomVictim> {
        let unknown_start = ProcessKey {
            pid: key.pid,
            start_ticks: 0,
        };
        self.marks
            .get(&key)
            .or_else(|| self.marks.get(&unknown_start))
            .map(|(_, mark)| mark)
    }
}

impl Analysis {
    pub(super) fn oom_victim(
        &mut self,
        mark: &OomVictim,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        self.marks.marked(mark, at);
        let known = self.world.processes.find(mark.task.key);
        if !self.armed || known.is_some_and(|process| process.dead.is_some()) {
            return;
        }
        let process = known.cloned().unwrap_or_else(|| {
            let parent = ProcessKey {
                pid: mark.task.ppid,
                start_ticks: 0,
            };
            self.world.unknown(mark.task, parent)
        });
        let oom = self.oom_of_marked(Some(mark), &process, mark.task.cgroup, at);
        let evidence = Evidence {
            status: Some(ExitStatus::Signal {
                signal: SIGKILL,
                core_dumped: false,
            }),
            at,
            uptime: at.since(process.task.key.started()),
            oom: Some(oom.clone()),
            ..Evidence::default()
        };
        let verdict = verdict(&evidence);
        let body = Death {
            service: process.attribution.service.clone(),
            process: info(&process, at),
            cause: verdict.cause,
            exit_code: None,
            signal: None,
            core_dumped: None,
            by: None,
            memory: memory(&process, 0, Some(&oom), Some(mark)),
            trigger: (mark.trigger.key.pid != 0).then(|| self.world.party(&mark.trigger)),
            why: verdict.why(&evidence),
            incident: None,
        };
        self.report(at, Body::Oom(Box::new(body)), findings);
    }

    pub(super) fn exited(&mut self, exit: &Exit, at: Timestamp, findings: &mut Vec<Finding>) {
        let key = exit.task.key;
        match self.world.processes.get_mut(key) {
            Some(known) if known.dead.is_some() => return,
            Some(known) => {
                known.task.comm = exit.task.comm;
                known.task.ppid = exit.task.ppid;
            }
            None => {
                let process = self.world.unknown(exit.task, exit.parent);
                self.world.processes.insert(process);
            }
        }
        let Some(process) = self.world.processes.get(key) else {
            return;
        };
        let evidence = Evidence {
            status: Some(exit.status),
            at,
            uptime: at.since(key.started()),
            peak_bytes: exit.peak_bytes,
            stop: exit
                .stop
                .as_ref()
                .map(|sent| self.sent(sent, exit, process)),
            other: exit
                .other
                .as_ref()
                .map(|sent| self.sent(sent, exit, process)),
            oom: self.oom_of(exit, process, at),
            // No exit of its own accord tells of a full heap.
            heap_limit_bytes: exit
                .status
                .signal()
                .and_then(|_| heap_limit(&process.facts, self.world.session.memory_bytes)),
        };
        self.ended(key, &evidence, Some(exit), at, findings);
    }

    /// A process is gone whose exit was lost: it is told, but not of what it died.
    pub(super) fn vanished(&mut self, key: ProcessKey, at: Timestamp, findings: &mut Vec<Finding>) {
        let known = self.world.processes.get(key);
        if known.is_none_or(|known| known.dead.is_some()) {
            return;
        }
        let evidence = Evidence {
            at,
            uptime: at.since(key.started()),
            ..Evidence::default()
        };
        self.ended(key, &evidence, None, at, findings);
    }

    fn ended(
        &mut self,
        key: ProcessKey,
        evidence: &Evidence,
        exit: Option<&Exit>,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let Some(process) = self.world.processes.get(key) else {
            return;
        };
        let verdict = verdict(evidence);
        let is_main = self.world.is_main(process);
        let is_worker = self.world.is_worker(process);
        let wanted =
            self.options.all || is_relevant(process, &verdict, evidence, is_main, is_worker);
        let told = (self.armed && wanted && key.pid != self.options.own_pid).then(|| {
            let part = Part {
                is_main,
                is_worker,
                holds: self.world.listeners.hold_of(key),
            };
            (process.clone(), part)
        });
        let end = End {
            at,
            cause: verdict.cause,
            summary: self.summaries.keep(&verdict.summary),
        };
        self.world.died(key, end);
        if self.armed {
            // One that was not seen is among the lost.
            self.totals.exits += u64::from(exit.is_some());
            let is_oom = matches!(verdict.cause, Cause::OomCgroup | Cause::OomGlobal);
            self.totals.oom_kills += u64::from(is_oom);
        }
        if let Some((process, part)) = told {
            self.died(exit, &process, evidence, &verdict, part, at, findings);
        }
        for change in self.world.listeners.holder_died(key, at) {
            self.listener_changed(change, at, findings);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one death's facts, used once")]
    fn died(
        &mut self,
        exit: Option<&Exit>,
        process: &Process,
        evidence: &Evidence,
        verdict: &Verdict,
        part: Part,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        let service = &process.attribution.service;
        let out_of_memory = matches!(
            verdict.cause,
            Cause::OomCgroup | Cause::OomGlobal | Cause::OomDaemon | Cause::HeapLimit
        );
        let matters = (part.is_main || part.is_worker || process.listened)
            && (service.manager != Manager::Process || process.listened);
        let loss = Loss {
            process: process.task.key,
            cause: verdict.cause,
            summary: self.summaries.keep(&verdict.summary),
            advice: advice(
                verdict.cause,
                service,
                evidence.oom.as_ref(),
                evidence.heap_limit_bytes,
            ),
            takes_down: part.is_main
                && verdict.cause != Cause::Clean
                && part.holds == Hold::Nothing
                && !self.world.listeners.serves(|other| same(other, service))
                && self.world.live_mains(service) == 0,
            listens_alone: part.holds == Hold::Alone,
        };
        let opens = verdict.cause != Cause::Clean && (out_of_memory || matters);
        let (incident, bodies) = self.incidents.death(service, at, loss, opens, &self.world);
        let (exit_code, signal, core_dumped) = match evidence.status {
            None => (None, None, None),
            Some(ExitStatus::Code(code)) => (Some(code), None, None),
            Some(ExitStatus::Signal {
                signal,
                core_dumped,
            }) => (
                None,
                Some(SignalName(u32::from(signal)).to_string()),
                Some(core_dumped),
            ),
        };
        let sender = exit
            .into_iter()
            .flat_map(|exit| [&exit.stop, &exit.other])
            .flatten()
            .find(|sent| match evidence.status.and_then(ExitStatus::signal) {
                Some(signal) => u32::from(signal) == sent.signal,
                None => {
                    verdict.cause == Cause::Clean
                        && evidence
                            .asked()
                            .is_some_and(|asked| asked.signal == sent.signal)
                }
            })
            .filter(|sent| sent.code <= 0 && sent.sender.key.pid != 0);
        let mark = self
            .marks
            .of(process.task.key)
            .filter(|_| evidence.oom.is_some());
        let death = Death {
            service: service.clone(),
            process: info(process, at),
            cause: verdict.cause,
            exit_code,
            signal,
            core_dumped,
            by: sender.map(|sent| self.world.party(&sent.sender)),
            memory: memory(process, evidence.peak_bytes, evidence.oom.as_ref(), mark),
            trigger: mark
                .map(|mark| &mark.trigger)
                .or(exit.and_then(|exit| exit.oom_trigger.as_deref()))
                .filter(|_| evidence.oom.is_some())
                .filter(|trigger| trigger.key.pid != 0)
                .map(|trigger| self.world.party(trigger)),
            why: verdict.why(evidence),
            incident,
        };
        self.totals.deaths += 1;
        self.report(at, Body::Death(Box::new(death)), findings);
        for body in bodies {
            self.report(at, body, findings);
        }
    }

    fn oom_facts(
        &self,
        mark: Option<&OomVictim>,
        process: &Process,
        at: Timestamp,
        along: bool,
    ) -> OomFacts {
        let victim = mark.map_or(process.task.key.pid, |mark| mark.task.key.pid);
        let report = self.marks.report(victim, at);
        let scope = Scope::of(mark, report, &process.facts, &self.world.cgroups);
        let own = process.facts.cgroup_path.as_deref();
        let above = matches!(&scope, Scope::Cgroup { path, .. } if path.as_deref() != own);
        OomFacts {
            scope,
            along,
            above,
        }
    }

    /// The OOM kill of a marked process. The kernel marks one that is dying already when it asks for
    /// more, without a word: it was killed along with another victim, and of what that one was.
    fn oom_of_marked(
        &self,
        mark: Option<&OomVictim>,
        process: &Process,
        cgroup: u64,
        at: Timestamp,
    ) -> OomFacts {
        let own = self.oom_facts(mark, process, at, false);
        if own.scope != Scope::Unknown {
            return own;
        }
        let along = self.oom_along(process, cgroup, at);
        along
            .filter(|along| along.scope != Scope::Unknown)
            .unwrap_or(own)
    }

    /// An OOM kill of the same cgroup or service, lately; one that is known to be of something, if
    /// there are several.
    fn oom_along(&self, process: &Process, cgroup: u64, at: Timestamp) -> Option<OomFacts> {
        let others = self.marks.marks.values().filter(|(marked, mark)| {
            let victim = self.world.processes.find(mark.task.key);
            at.since(*marked) <= SAME_EVENT
                && *marked <= at
                && ((cgroup != 0 && mark.task.cgroup == cgroup)
                    || victim.is_some_and(|victim| {
                        same(&victim.attribution.service, &process.attribution.service)
                    }))
        });
        let mut facts = others.map(|(_, mark)| self.oom_facts(Some(mark), process, at, true));
        let first = facts.next()?;
        match first.scope {
            Scope::Unknown => facts
                .find(|one| one.scope != Scope::Unknown)
                .or(Some(first)),
            _ => Some(first),
        }
    }

    /// The OOM kill that ended the process: it was marked, or it was killed by the kernel along
    /// with a victim of its cgroup or service.
    fn oom_of(&self, exit: &Exit, process: &Process, at: Timestamp) -> Option<OomFacts> {
        if exit.status.signal() != Some(SIGKILL) {
            return None;
        }
        let cgroup = exit.task.cgroup;
        if exit.oom_victim {
            let mark = self.marks.of(exit.task.key);
            let oom = self.oom_of_marked(mark, process, cgroup, at);
            return Some(oom.or_by_size(&process.facts, exit.peak_bytes));
        }
        if !exit
            .other
            .as_ref()
            .is_some_and(|sent| sent.is_kernel_kill())
        {
            return None;
        }
        self.oom_along(process, cgroup, at)
    }

    fn sent(&self, sent: &SignalSent, exit: &Exit, process: &Process) -> Sent {
        let Actor { key, comm, uid, .. } = sent.sender;
        let comm = comm.to_text();
        let sender = self.world.processes.find(key);
        let uid_text = uid.to_string();
        let user = sender
            .filter(|sender| sender.facts.task.uid == uid)
            .and_then(|sender| sender.facts.user.clone())
            .unwrap_or_else(|| Arc::from(uid_text));
        let shell = sender.and_then(|sender| shell_above(&self.world, sender));
        let kind = sender_kind(&SenderFacts {
            pid: key.pid,
            comm: &comm,
            code: sent.code,
            is_self: key == exit.task.key,
            is_parent: key.pid == exit.parent.pid || key.pid == process.parent.pid,
            user: &user,
            shell: shell.as_ref().map(|(comm, pid)| (comm.as_str(), *pid)),
        });
        Sent {
            at: sent.at,
            signal: sent.signal,
            code: sent.code,
            pid: key.pid,
            comm: printable(&comm).into_owned(),
            kind,
        }
    }
}

/// What a process was to its service.
#[derive(Clone, Copy)]
struct Part {
    is_main: bool,
    is_worker: bool,
    holds: Hold,
}

fn is_relevant(
    process: &Process,
    verdict: &Verdict,
    evidence: &Evidence,
    is_main: bool,
    is_worker: bool,
) -> bool {
    let counts = match process.attribution.service.manager {
        Manager::Process => process.listened,
        Manager::Script => is_main || process.listened,
        _ => is_main || is_worker || process.listened,
    };
    match verdict.cause {
        Cause::OomCgroup
        | Cause::OomGlobal
        | Cause::OomDaemon
        | Cause::Crash
        | Cause::HeapLimit => true,
        Cause::Killed => {
            let by_another = evidence.other.as_ref().is_some_and(|sent| {
                sent.signal == u32::from(SIGKILL)
                    && !matches!(sent.kind, SenderKind::Itself | SenderKind::Kernel)
            });
            let killed = evidence.status.and_then(ExitStatus::signal) == Some(SIGKILL);
            counts || (by_another && killed)
        }
        Cause::Error | Cause::Unknown => counts,
        Cause::Clean => {
            let asked = evidence
                .stop
                .as_ref()
                .is_some_and(|stop| matches!(stop.kind, SenderKind::Manager(_)));
            counts
                && (is_main || (process.listened && !is_worker))
                && (asked || process.listened || evidence.uptime >= LONG_LIVED)
        }
    }
}

/// The nearest shell among the ancestors of a process.
fn shell_above(world: &World, process: &Process) -> Option<(String, Pid)> {
    let mut parent = process.parent;
    for _ in 0..8 {
        let process = world.processes.find(parent)?;
        let comm = process.task.comm.to_text();
        if is_shell(&comm) {
            return Some((comm, process.task.key.pid));
        }
        parent = process.parent;
    }
    None
}

fn info(process: &Process, at: Timestamp) -> ProcessInfo {
    let task = &process.task;
    let uptime = at.since(task.key.started()).as_millis();
    ProcessInfo {
        pid: task.key.pid,
        ppid: task.ppid,
        ns_pid: (task.ns_pid != 0 && task.ns_pid != task.key.pid).then_some(task.ns_pid),
        comm: task.comm.to_text(),
        cmdline: (!process.facts.args.is_empty()).then(|| process.facts.args.join(" ")),
        uid: task.uid,
        uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
    }
}

fn memory(
    process: &Process,
    peak_bytes: u64,
    oom: Option<&OomFacts>,
    mark: Option<&OomVictim>,
) -> MemoryInfo {
    let (limit_bytes, limit_cgroup) = match oom.map(|oom| &oom.scope) {
        Some(Scope::Cgroup { path, limit_bytes }) => (*limit_bytes, path.clone()),
        _ => (
            process.facts.memory_limit_bytes,
            process.facts.memory_limit_cgroup.clone().map(String::from),
        ),
    };
    MemoryInfo {
        peak_bytes: (peak_bytes != 0).then_some(peak_bytes),
        anon_bytes: mark.and_then(|mark| mark.anon_bytes),
        limit_bytes,
        limit_cgroup,
    }
}
