//! What is to be known of a manager, as one struct: the shape of the profiles, without any of them.

use std::borrow::Cow;

use tracer_model::{Manager, Pid, Service};

use crate::candidate::Candidate;

/// Names the service of a process, or leaves it to the next rule.
pub(crate) type Rule = fn(&Candidate<'_>) -> Option<Service>;

/// Everything that is known of one manager.
pub(crate) struct Profile {
    /// Which manager.
    pub(super) kind: ManagerKind,

    /// Names services by what only the process itself has: its environment, title, container or
    /// parent.
    pub(super) by_own_evidence: Option<Rule>,
    /// Names services by a place that several may share: the unit that the process runs in.
    pub(super) by_place: Option<Rule>,
    /// Names services by where their files are.
    pub(super) by_files: Option<Rule>,
    /// Which service the children of its services' processes belong to.
    pub(super) children: Children,
    /// Whether processes of the service with this name start what isn't their own: a manager's
    /// daemon has a service too.
    pub(super) starts_others: fn(&str) -> bool,
    /// Whether a program is the manager's own: what it starts isn't its own.
    pub(super) is_program: fn(&str) -> bool,
    /// The same for a script that an interpreter runs.
    pub(super) is_script: fn(&str) -> bool,

    /// Recognises a process of the manager's that sent a signal.
    pub(super) sender: fn(&SenderFacts<'_>) -> Option<SenderName>,
    /// What a SIGKILL means that followed no request to stop.
    pub(super) kill_means: Option<&'static str>,
    /// Whether a SIGKILL right after its own request to stop is its ordinary way to stop a process.
    pub(super) kill_completes_stop: bool,

    /// The programs that people use to make it start and stop services.
    pub(super) clients: &'static [Client],
    /// What to do about a death.
    pub(super) advice: Advice,
}

impl Profile {
    /// A profile without anything but the kind.
    pub(super) const fn new(kind: ManagerKind) -> Self {
        Self {
            kind,
            by_own_evidence: None,
            by_place: None,
            by_files: None,
            children: Children::Inherit,
            starts_others: |_| false,
            is_program: |_| false,
            is_script: |_| false,
            sender: |_| None,
            kill_means: None,
            kill_completes_stop: false,
            clients: &[],
            advice: Advice::NONE,
        }
    }
}

/// Which manager: those that name services, and those that only start and stop processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagerKind {
    /// One that services can have.
    Of(Manager),
    /// The machine's first process, when that isn't systemd.
    Init,
    /// The parent of the process: a master with workers, a wrapper.
    Parent,
}

/// Which service the children of a service's processes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Children {
    /// Their parent's, while they stay in its cgroup.
    Inherit,
    /// The one that their own cgroup names.
    OfCgroup,
}

/// What the sender of a signal is recognised by.
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

/// What a manager that sent a signal is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderName {
    /// It is the only one of that name: `systemd`.
    Only(&'static str),
    /// There may be several: `the container engine runc[9]`.
    OneOf(&'static str),
}

impl SenderName {
    /// As a part of a sentence. `comm` and `pid` are the sender's.
    pub(crate) fn with(self, comm: &str, pid: Pid) -> Cow<'static, str> {
        match self {
            Self::Only(name) => name.into(),
            Self::OneOf(name) => format!("{name} {comm}[{pid}]").into(),
        }
    }
}

/// Programs with which people make a manager start and stop services, and the words of theirs that
/// are not common to all managers' (see `clients`).
pub(crate) struct Client {
    /// Names of the programs.
    pub(super) programs: &'static [&'static str],
    /// Asks for something to run (again).
    pub(super) starts: &'static [&'static str],
    /// Asks for something to stop.
    pub(super) stops: &'static [&'static str],
    /// Neither.
    pub(super) looks: &'static [&'static str],
}

/// What to do about a death, as sentences and commands that run as they are. The functions get the
/// service's name, printable.
#[derive(Clone, Copy)]
pub(crate) struct Advice {
    /// After an OOM kill at the limit of a cgroup.
    pub(crate) at_cgroup_limit: Option<fn(&str) -> String>,
    /// What else happens then.
    pub(crate) after_cgroup_limit: Option<&'static str>,
    /// After an OOM kill because the machine was short of memory.
    pub(crate) when_memory_is_short: Option<fn(&str) -> String>,
    /// How to read the last lines of the service's log.
    pub(crate) read_log: Option<fn(&str) -> String>,
    /// What decides whether it is started again.
    pub(crate) restart: Option<fn(&str) -> String>,
}

impl Advice {
    /// None.
    pub(crate) const NONE: Self = Self {
        at_cgroup_limit: None,
        after_cgroup_limit: None,
        when_memory_is_short: None,
        read_log: None,
        restart: None,
    };
}
