//! Deaths by signal: who sent it, or which fault the process raised itself.

use tracer_model::quantity::duration;
use tracer_model::{Cause, SignalName};

use super::conclusion::{Tail, Verdict};
use super::evidence::Evidence;
use super::sent::{ABRT, KILL, PIPE, SenderKind, Sent};
use crate::managers::ManagerSender;

pub(super) fn verdict(signal: u32, core_dumped: bool, evidence: &Evidence) -> Verdict {
    let sent = [&evidence.stop, &evidence.other]
        .into_iter()
        .flatten()
        .find(|sent| sent.signal == signal);
    let name = SignalName(signal);
    match sent {
        Some(sent) if sent.kind == SenderKind::OomDaemon => Verdict::new(
            Cause::OomDaemon,
            format!(
                "killed by the OOM daemon {} ({name}): memory was short",
                sent.by()
            ),
            Tail::PeakAndUp,
            format!("OOM daemon {}", sent.comm),
        ),
        Some(sent) if signal == KILL => killed(sent, evidence),
        Some(sent) if sent.is_polite() && sent.manager().is_some() => Verdict::new(
            Cause::Clean,
            format!("{} ({name})", sent.stopped()),
            Tail::Up,
            sent.stopped(),
        ),
        Some(sent) if signal != PIPE && is_crash(signal, sent) => crash(signal, core_dumped),
        None if meaning(signal).is_some() => crash(signal, core_dumped),
        _ if signal == PIPE => Verdict::new(
            Cause::Error,
            "killed by SIGPIPE: it wrote to a closed pipe or connection",
            Tail::Up,
            "SIGPIPE",
        ),
        Some(sent) => Verdict::new(
            Cause::Killed,
            format!("killed with {name} by {}", sent.by()),
            Tail::Up,
            format!("{name} from {}", sent.by()),
        ),
        None => Verdict::new(
            Cause::Killed,
            format!("killed with {name}, the sender was not seen"),
            Tail::Up,
            format!("{name}, sender not seen"),
        ),
    }
}

fn killed(sent: &Sent, evidence: &Evidence) -> Verdict {
    if let Some(stop) = evidence.ignored_stop(sent) {
        return kill_after_stop(sent, stop);
    }
    let by = sent.by();
    let said = match &sent.kind {
        SenderKind::Kernel => "killed by the kernel (SIGKILL), not because of memory; most likely \
             its PID namespace ended"
            .to_owned(),
        SenderKind::Itself => "killed itself with SIGKILL".to_owned(),
        SenderKind::Manager(manager) => match manager.kill_means() {
            Some(means) => format!("killed with SIGKILL by {by}: {means}"),
            None => format!("killed with SIGKILL by {by}"),
        },
        _ => format!("killed with SIGKILL by {by}"),
    };
    Verdict::new(Cause::Killed, said, Tail::Up, format!("SIGKILL from {by}"))
}

/// It was asked to stop, and killed later.
fn kill_after_stop(sent: &Sent, stop: &Sent) -> Verdict {
    let by = sent.by();
    let completes = |manager: ManagerSender| manager.kill_completes_stop();
    if sent.manager().is_some_and(completes) && stop.pid == sent.pid {
        return Verdict::new(
            Cause::Clean,
            format!("stopped by {by} ({}, then SIGKILL)", stop.name()),
            Tail::Up,
            format!("stopped by {by}"),
        );
    }
    let waited = duration(sent.at.since(stop.at));
    let asked = if stop.pid == sent.pid {
        stop.name().to_string()
    } else {
        format!("{} from {}", stop.name(), stop.by())
    };
    Verdict::new(
        Cause::Killed,
        format!("killed with SIGKILL by {by}: it had not stopped {waited} after {asked}"),
        Tail::Up,
        format!("SIGKILL from {by}, {waited} after {}", stop.name()),
    )
}

fn is_crash(signal: u32, sent: &Sent) -> bool {
    let raised = sent.by_itself() || sent.code > 0;
    raised && (meaning(signal).is_some() || !sent.is_polite())
}

fn crash(signal: u32, core_dumped: bool) -> Verdict {
    let name = SignalName(signal);
    let core = if core_dumped { ", core dumped" } else { "" };
    let meaning = meaning(signal).unwrap_or("it raised a fatal signal itself");
    Verdict::new(
        Cause::Crash,
        format!("crashed: {meaning} ({name}){core}"),
        Tail::Up,
        format!("crash ({name})"),
    )
}

/// What a fatal signal that a process raises itself means.
fn meaning(signal: u32) -> Option<&'static str> {
    Some(match signal {
        4 => "illegal instruction",
        5 => "trap",
        ABRT => "aborted",
        7 => "bus error",
        8 => "arithmetic error",
        11 => "segmentation fault",
        24 => "CPU time limit exceeded",
        25 => "file size limit exceeded",
        31 => "bad system call",
        _ => return None,
    })
}
