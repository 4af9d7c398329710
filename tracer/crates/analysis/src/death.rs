//! Deaths: collects the evidence about an exit, obtains the verdict, decides whether the exit is a
//! death to report, and passes it on to the incidents. Also reports OOM victims, which come first.
//!
//! Reported without `--all`: OOM kills, crashes, reached heap limits and SIGKILLs from other
//! processes, always; any other exit only of a process that matters to its service: main processes
//! (started by something outside the service), its listeners, and their forked workers. A service
//! named only after an executable counts once it has listened. Clean exits count if a manager asked
//! for them, or if the process had listened or run for ten seconds.

use std::sync::Arc;
use std::time::Duration;

use tracer_model::{
    Actor, Body, Cause, Death, Exit, ExitStatus, Finding, Manager, MemoryInfo, OomReport,
    OomVictim, Pid, ProcessInfo, ProcessKey, SIGKILL, SignalName, SignalSent, Timestamp, printable,
};

use super::advice::advice;
use super::context::Context;
use super::incident::Loss;
use super::verdict::{
    Evidence, OomFacts, Scope, SenderFacts, SenderKind, Sent, Verdict, heap_limit, sender_kind,
    verdict,
};
use super::victims::OomVictims;
use super::world::{Exited, Hold, Process, World, is_shell, same};

const LONG_LIVED: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(super) struct Deaths {
    victims: OomVictims,
    summaries: Repeated,
}

/// Keeps texts that are often the same as the one before: those share memory.
#[derive(Default)]
struct Repeated(Arc<str>);

impl Repeated {
    fn keep(&mut self, text: &str) -> Arc<str> {
        if *self.0 != *text {
            self.0 = text.into();
        }
        Arc::clone(&self.0)
    }
}

/// What a process was to its service.
#[derive(Clone, Copy)]
struct Part {
    is_main: bool,
    is_worker: bool,
}

/// An exit that is reported as a death.
struct Reported<'a> {
    process: Process,
    part: Part,
    holds: Hold,
    /// None if the exit was lost.
    exit: Option<&'a Exit>,
    evidence: &'a Evidence,
    verdict: Verdict,
}

impl Deaths {
    /// The kernel log reported an OOM kill.
    pub(super) fn oom_reported(&mut self, report: &OomReport, at: Timestamp) {
        self.victims.reported(report, at);
    }

    /// The OOM killer chose a victim.
    pub(super) fn oom_victim(
        &mut self,
        context: &Context,
        victim: &OomVictim,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        self.victims.chosen(victim, at);
        let world = &context.world;
        let known = world.processes.find(victim.task.key);
        if !context.armed || known.is_some_and(|process| process.dead.is_some()) {
            return;
        }
        let process = known.cloned().unwrap_or_else(|| {
            let parent = ProcessKey {
                pid: victim.task.ppid,
                start_ticks: 0,
            };
            world.unknown(victim.task, parent)
        });
        let cgroup = victim.task.cgroup;
        let oom = self
            .victims
            .kill_of_victim(world, Some(victim), &process, cgroup, at);
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
            memory: memory(&process, 0, Some(&oom), Some(victim)),
            trigger: (victim.trigger.key.pid != 0).then(|| world.party(&victim.trigger)),
            why: verdict.why(&evidence),
            incident: None,
        };
        context.report(at, Body::Oom(Box::new(body)), findings);
    }

    /// A process exited. Returns whether that is news.
    pub(super) fn exited(
        &mut self,
        context: &mut Context,
        exit: &Exit,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) -> bool {
        let key = exit.task.key;
        let world = &mut context.world;
        match world.processes.get_mut(key) {
            Some(known) if known.dead.is_some() => return false,
            Some(known) => {
                known.task.comm = exit.task.comm;
                known.task.ppid = exit.task.ppid;
            }
            None => {
                let process = world.unknown(exit.task, exit.parent);
                world.processes.insert(process);
            }
        }
        let world = &context.world;
        let Some(process) = world.processes.get(key) else {
            return false;
        };
        let sent = |signal: &Option<Box<SignalSent>>| {
            let signal = signal.as_ref()?;
            Some(sent(world, signal, exit, process))
        };
        let evidence = Evidence {
            status: Some(exit.status),
            at,
            uptime: at.since(key.started()),
            peak_bytes: exit.peak_bytes,
            stop: sent(&exit.stop),
            other: sent(&exit.other),
            oom: self.victims.kill_of(world, exit, process, at),
            // A process that exits without a signal did not reach its heap limit.
            heap_limit_bytes: exit
                .status
                .signal()
                .and_then(|_| heap_limit(&process.facts, world.session.memory_bytes)),
        };
        self.conclude(context, key, &evidence, Some(exit), findings);
        true
    }

    /// A process vanished: its exit was lost. The death is reported, with an unknown cause. Returns
    /// whether that is news.
    pub(super) fn vanished(
        &mut self,
        context: &mut Context,
        key: ProcessKey,
        at: Timestamp,
        findings: &mut Vec<Finding>,
    ) -> bool {
        let known = context.world.processes.get(key);
        if known.is_none_or(|known| known.dead.is_some()) {
            return false;
        }
        let evidence = Evidence {
            at,
            uptime: at.since(key.started()),
            ..Evidence::default()
        };
        self.conclude(context, key, &evidence, None, findings);
        true
    }

    fn conclude(
        &mut self,
        context: &mut Context,
        key: ProcessKey,
        evidence: &Evidence,
        exit: Option<&Exit>,
        findings: &mut Vec<Finding>,
    ) {
        let world = &context.world;
        let Some(process) = world.processes.get(key) else {
            return;
        };
        let verdict = verdict(evidence);
        let part = Part {
            is_main: world.is_main(process),
            is_worker: world.is_worker(process),
        };
        let relevant = context.options.all || is_relevant(process, &verdict, evidence, part);
        let reports = context.armed && relevant && key.pid != context.options.own_pid;
        let end = Exited {
            at: evidence.at,
            cause: verdict.cause,
            summary: self.summaries.keep(&verdict.summary),
        };
        if context.armed {
            // A process that vanished is among the lost events.
            context.totals.exits += u64::from(exit.is_some());
            let is_oom = matches!(verdict.cause, Cause::OomCgroup | Cause::OomGlobal);
            context.totals.oom_kills += u64::from(is_oom);
        }
        let reported = reports.then(|| Reported {
            process: process.clone(),
            part,
            holds: world.listeners.hold_of(key),
            exit,
            evidence,
            verdict,
        });
        context.world.exited(key, end);
        if let Some(reported) = reported {
            self.report(context, &reported, findings);
        }
    }

    /// Reports a death, and the incident that it opens.
    fn report(
        &mut self,
        context: &mut Context,
        reported: &Reported<'_>,
        findings: &mut Vec<Finding>,
    ) {
        let process = &reported.process;
        let service = &process.attribution.service;
        let cause = reported.verdict.cause;
        let at = reported.evidence.at;
        let out_of_memory = matches!(
            cause,
            Cause::OomCgroup | Cause::OomGlobal | Cause::OomDaemon | Cause::HeapLimit
        );
        let part = reported.part;
        let matters = (part.is_main || part.is_worker || process.listened)
            && (service.manager != Manager::Process || process.listened);
        let opens = cause != Cause::Clean && (out_of_memory || matters);
        let loss = self.loss(&context.world, reported);
        let (incident, bodies) = context
            .incidents
            .death(service, at, loss, opens, &context.world);
        let death = self.finding(&context.world, reported, incident);
        context.totals.deaths += 1;
        context.report(at, Body::Death(Box::new(death)), findings);
        context.report_all(at, bodies, findings);
    }

    fn loss(&mut self, world: &World, reported: &Reported<'_>) -> Loss {
        let Reported {
            process,
            part,
            holds,
            evidence,
            verdict,
            ..
        } = reported;
        let service = &process.attribution.service;
        Loss {
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
                && *holds == Hold::Nothing
                && !world.listeners.serves(|other| same(other, service))
                && world.live_mains(service) == 0,
            listens_alone: *holds == Hold::Alone,
        }
    }

    fn finding(&self, world: &World, reported: &Reported<'_>, incident: Option<u64>) -> Death {
        let Reported {
            process,
            exit,
            evidence,
            verdict,
            ..
        } = reported;
        let oom = evidence.oom.as_ref();
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
        let victim = self.victims.get(process.task.key).filter(|_| oom.is_some());
        let trigger = victim
            .map(|victim| &victim.trigger)
            .or(exit.and_then(|exit| exit.oom_trigger.as_deref()))
            .filter(|trigger| oom.is_some() && trigger.key.pid != 0);
        let by = exit.and_then(|exit| sender(exit, evidence, verdict.cause));
        Death {
            service: process.attribution.service.clone(),
            process: info(process, evidence.at),
            cause: verdict.cause,
            exit_code,
            signal,
            core_dumped,
            by: by.map(|sent| world.party(&sent.sender)),
            memory: memory(process, evidence.peak_bytes, oom, victim),
            trigger: trigger.map(|trigger| world.party(trigger)),
            why: verdict.why(evidence),
            incident,
        }
    }
}

fn is_relevant(process: &Process, verdict: &Verdict, evidence: &Evidence, part: Part) -> bool {
    let Part { is_main, is_worker } = part;
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

/// The signal that killed a process, or that it followed when it stopped, if a process sent it.
fn sender<'a>(exit: &'a Exit, evidence: &Evidence, cause: Cause) -> Option<&'a SignalSent> {
    let is_decisive = |sent: &&SignalSent| match evidence.status.and_then(ExitStatus::signal) {
        Some(signal) => u32::from(signal) == sent.signal,
        None => {
            cause == Cause::Clean
                && evidence
                    .asked()
                    .is_some_and(|asked| asked.signal == sent.signal)
        }
    };
    [&exit.stop, &exit.other]
        .into_iter()
        .filter_map(|sent| sent.as_deref())
        .find(is_decisive)
        .filter(|sent| sent.code <= 0 && sent.sender.key.pid != 0)
}

/// A signal as evidence, with what is known of its sender.
fn sent(world: &World, sent: &SignalSent, exit: &Exit, process: &Process) -> Sent {
    let Actor { key, comm, uid, .. } = sent.sender;
    let comm = comm.to_text();
    let sender = world.processes.find(key);
    let uid_text = uid.to_string();
    let user = sender
        .filter(|sender| sender.facts.task.uid == uid)
        .and_then(|sender| sender.facts.user.clone())
        .unwrap_or_else(|| Arc::from(uid_text));
    let shell = sender.and_then(|sender| shell_above(world, sender));
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
    victim: Option<&OomVictim>,
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
        anon_bytes: victim.and_then(|victim| victim.anon_bytes),
        limit_bytes,
        limit_cgroup,
    }
}
