//! Deaths by signal: who sent it, or which fault the process raised itself.

use std::borrow::Cow;

use tracer_model::printable;
use tracer_model::quantity::duration;
use tracer_model::{Cause, Pid, SI_KERNEL, SignalName, Timestamp};

use super::{Evidence, Tail, Verdict};

pub(super) const KILL: u32 = 9;
const HUP: u32 = 1;
pub(super) const INT: u32 = 2;
pub(super) const QUIT: u32 = 3;
const ABRT: u32 = 6;
const PIPE: u32 = 13;
pub(super) const TERM: u32 = 15;

/// Who sent a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderKind {
    /// The process itself.
    Itself,
    /// The kernel.
    Kernel,
    /// What starts and stops it: systemd, supervisord, pm2, dockerd, the PHP-FPM master, its
    /// parent.
    Manager(&'static str),
    /// An OOM daemon.
    OomDaemon,
    /// A person's shell, or a tool (kill, pkill, htop) run from one.
    Shell {
        /// User name, or the user id.
        user: String,
        /// The shell, when the sender is a tool run from it: `bash[700]`.
        from: Option<String>,
    },
    /// Any other process.
    Other,
}

/// A signal and what is known of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// Number.
    pub signal: u32,
    /// `si_code`.
    pub code: i32,
    /// Sender's pid.
    pub pid: Pid,
    /// Sender's name, printable.
    pub comm: String,
    /// Who that is.
    pub kind: SenderKind,
}

/// What a sender is judged by.
#[derive(Clone, Copy, Debug, Default)]
pub struct SenderFacts<'a> {
    /// Sender's pid.
    pub pid: Pid,
    /// Sender's thread or process name.
    pub comm: &'a str,
    /// `si_code` of the signal.
    pub code: i32,
    /// Whether the sender is the process that died.
    pub is_self: bool,
    /// Whether the sender is its parent.
    pub is_parent: bool,
    /// User name, or the user id.
    pub user: &'a str,
    /// Name and pid of the shell among the sender's ancestors, when there is one.
    pub shell: Option<(&'a str, Pid)>,
}

/// Who a sender is.
pub fn sender_kind(facts: &SenderFacts<'_>) -> SenderKind {
    let comm = facts.comm;
    if facts.code == SI_KERNEL {
        return SenderKind::Kernel;
    }
    if facts.is_self {
        return SenderKind::Itself;
    }
    if matches!(comm, "systemd-oomd" | "earlyoom" | "nohang" | "oomd") {
        return SenderKind::OomDaemon;
    }
    if comm == "systemd" || facts.pid == 1 {
        return SenderKind::Manager(if facts.pid == 1 && comm != "systemd" {
            "init"
        } else {
            "systemd"
        });
    }
    for (prefix, name) in [
        ("supervisord", "supervisord"),
        ("PM2 v", "pm2"),
        ("dockerd", "Docker"),
        ("containerd", "the container engine"),
        ("runc", "the container engine"),
        ("crun", "the container engine"),
        ("podman", "Podman"),
        ("conmon", "Podman"),
    ] {
        if comm.starts_with(prefix) {
            return SenderKind::Manager(name);
        }
    }
    let tool = matches!(
        comm,
        "kill" | "pkill" | "killall" | "htop" | "top" | "btop" | "skill" | "fuser"
    );
    if tool || crate::world::is_shell(comm) {
        return SenderKind::Shell {
            user: printable(facts.user).into_owned(),
            from: facts
                .shell
                .filter(|_| tool)
                .map(|(shell, pid)| format!("{}[{pid}]", printable(shell))),
        };
    }
    if facts.is_parent {
        return SenderKind::Manager(if comm.starts_with("php-fpm") {
            "the PHP-FPM master"
        } else {
            "its parent"
        });
    }
    SenderKind::Other
}

impl Sent {
    pub(super) fn is_polite(&self) -> bool {
        matches!(self.signal, HUP | INT | QUIT | TERM)
    }

    pub(super) fn by_itself(&self) -> bool {
        self.kind == SenderKind::Itself
    }

    pub(super) fn by_manager(&self) -> bool {
        matches!(self.kind, SenderKind::Manager(_))
    }

    pub(super) fn name(&self) -> SignalName {
        SignalName(self.signal)
    }

    /// `systemd`, `its parent gunicorn[12]`, `kill[812] of user deploy (shell bash[700])`.
    pub(super) fn by(&self) -> String {
        let Self { pid, comm, .. } = self;
        match &self.kind {
            SenderKind::Itself => "itself".to_owned(),
            SenderKind::Kernel => "the kernel".to_owned(),
            SenderKind::Manager(name @ ("its parent" | "the container engine")) => {
                format!("{name} {comm}[{pid}]")
            }
            SenderKind::Manager(name) => (*name).to_owned(),
            SenderKind::Shell { user, from } => {
                let from = from
                    .as_ref()
                    .map_or_else(String::new, |shell| format!(" (shell {shell})"));
                format!("{comm}[{pid}] of user {user}{from}")
            }
            SenderKind::OomDaemon | SenderKind::Other => format!("{comm}[{pid}]"),
        }
    }

    /// `stopped by systemd`.
    pub(super) fn stopped(&self) -> String {
        format!("stopped by {}", self.by())
    }
}

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
        Some(sent) if sent.is_polite() && sent.by_manager() => Verdict::new(
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
    let said: Cow<'static, str> = match &sent.kind {
        SenderKind::Kernel => {
            "killed with SIGKILL by the kernel, not for memory: its pid namespace ended, mostly"
                .into()
        }
        SenderKind::Manager("systemd") => {
            "systemd killed it (SIGKILL): its start timeout expired, its main process \
             ended, or systemctl kill"
                .into()
        }
        SenderKind::Manager("the PHP-FPM master") => {
            "killed with SIGKILL by the PHP-FPM master: request_terminate_timeout, or it ignored \
             its stop"
                .into()
        }
        SenderKind::Itself => "killed itself with SIGKILL".into(),
        _ => format!("killed with SIGKILL by {}", sent.by()).into(),
    };
    Verdict::new(
        Cause::Killed,
        said,
        Tail::Up,
        format!("SIGKILL from {}", sent.by()),
    )
}

/// It was asked to stop and then killed.
fn kill_after_stop(sent: &Sent, stop: &Sent) -> Verdict {
    let by = sent.by();
    // Its ordinary way of stopping children, with process_control_timeout at its default.
    if sent.kind == SenderKind::Manager("the PHP-FPM master") && stop.pid == sent.pid {
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
    let meaning = meaning(signal).unwrap_or("it ended itself with a signal");
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
