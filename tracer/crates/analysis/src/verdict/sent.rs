//! Signals and their senders: who that is, and what it is called.

use tracer_model::{Pid, SI_KERNEL, SignalName, Timestamp, printable};

use crate::managers::{self, ManagerSender, SenderFacts};
use crate::world::is_shell;

pub(super) const HUP: u32 = 1;
pub(super) const INT: u32 = 2;
pub(super) const QUIT: u32 = 3;
pub(super) const ABRT: u32 = 6;
pub(super) const KILL: u32 = 9;
pub(super) const PIPE: u32 = 13;
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
    Manager(ManagerSender),
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
    if let Some(manager) = managers::sender(facts) {
        return SenderKind::Manager(manager);
    }
    let tool = matches!(
        comm,
        "kill" | "pkill" | "killall" | "htop" | "top" | "btop" | "skill" | "fuser"
    );
    if tool || is_shell(comm) {
        return SenderKind::Shell {
            user: printable(facts.user).into_owned(),
            from: facts
                .shell
                .filter(|_| tool)
                .map(|(shell, pid)| format!("{}[{pid}]", printable(shell))),
        };
    }
    if facts.is_parent {
        return SenderKind::Manager(ManagerSender::PARENT);
    }
    SenderKind::Other
}

impl Sent {
    /// Whether the signal asks a process to stop, which it may refuse.
    pub(super) fn is_polite(&self) -> bool {
        matches!(self.signal, HUP | INT | QUIT | TERM)
    }

    pub(super) fn by_itself(&self) -> bool {
        self.kind == SenderKind::Itself
    }

    /// The manager that sent it, if one did.
    pub(super) fn manager(&self) -> Option<ManagerSender> {
        match self.kind {
            SenderKind::Manager(manager) => Some(manager),
            _ => None,
        }
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
            SenderKind::Manager(manager) => manager.name.with(comm, *pid).into_owned(),
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
