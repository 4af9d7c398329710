//! The processes of the deployment's command, and the clients of service managers among them
//! (`systemctl restart`, `pm2 reload`): from these it follows who asked for a death.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tracer_analysis::managers;
use tracer_analysis::verdict::{SenderFacts, SenderKind, sender_kind};
use tracer_model::{
    Exit, Observation, Pid, ProcessKey, SignalName, SignalSent, Timestamp, What, printable,
};

/// How many processes of the command are remembered; the oldest are forgotten.
const MAX_MEMBERS: usize = 65_536;
/// How many runs of clients are remembered.
const MAX_CLIENTS: usize = 256;
/// How many arguments of a client are kept.
const MAX_ARGS: usize = 64;
/// A manager acts on a request within this time when the client did not wait for it.
const JUST_AFTER: Duration = Duration::from_secs(10);
/// A manager kills a process that ignores its stop within this time at most.
const STOP_TIMEOUT: Duration = Duration::from_mins(10);

/// Who sent a signal, from the point of view of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sender {
    /// A process of the command.
    Command,
    /// A service manager.
    Manager,
    /// Anybody else.
    Other,
}

/// Who asked for a process to exit, judged by its signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The process that died.
    pub(super) pid: Pid,
    /// Whether the deployment sent, or had sent, the signal that killed it.
    pub(super) by_signal: bool,
    /// The stop signal that it ignored until it was killed.
    pub(super) ignored: Option<String>,
    /// Whether a manager's client was running then: an exit without a signal may be its doing.
    pub(super) client: bool,
    /// Whether the process was one of the command's.
    pub(super) member: bool,
}

/// A run of a manager's client.
#[derive(Debug)]
struct Client {
    key: ProcessKey,
    args: Vec<Box<str>>,
    stops: bool,
    from: Timestamp,
    until: Option<Timestamp>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Option<Pid>,
    members: BTreeSet<ProcessKey>,
    order: VecDeque<ProcessKey>,
    clients: VecDeque<Client>,
}

impl Tree {
    /// The command runs as this process. Its creation has yet to be observed.
    pub(super) fn root(&mut self, pid: Pid) {
        self.root = Some(pid);
    }

    /// Takes in an observation; for an exit, says who asked for it.
    pub(super) fn observe(&mut self, observation: &Observation) -> Option<Asked> {
        match &observation.what {
            What::Forked { child, parent } => {
                // The first process of that pid after it was named is the command itself.
                let root = self.members.is_empty() && Some(child.key.pid) == self.root;
                if root || self.members.contains(parent) {
                    self.join(child.key);
                }
                None
            }
            What::Executed { task, args } => {
                if self.members.is_empty() && Some(task.key.pid) == self.root {
                    self.join(task.key);
                }
                if self.members.contains(&task.key) {
                    self.client(task.key, args, observation.at);
                }
                None
            }
            What::Exited(exit) => {
                let asked = self.asked(exit, observation.at);
                for client in &mut self.clients {
                    if client.key == exit.task.key {
                        client.until = Some(observation.at);
                    }
                }
                Some(asked)
            }
            _ => None,
        }
    }

    /// Whether the newest client that named the service stopped it, and so it need not come back.
    pub(super) fn stopped_for_good(&self, service: &str) -> bool {
        let bare = service.strip_suffix(".service").unwrap_or(service);
        let names = |arg: &str| {
            let arg = arg.strip_suffix(".service").unwrap_or(arg);
            // The service directory of runit and s6.
            let arg = arg.trim_end_matches('/');
            let arg = arg.rsplit('/').next().unwrap_or(arg);
            // supervisord's `group:program`.
            arg == "all" || arg == bare || arg.split(':').any(|part| part == bare)
        };
        self.clients
            .iter()
            .rev()
            .find(|client| client.args.iter().any(|arg| names(arg)))
            .is_some_and(|client| client.stops)
    }

    /// Whether a process of the command has, or had, that pid.
    pub(super) fn has(&self, pid: Pid) -> bool {
        let first = ProcessKey {
            pid,
            start_ticks: 0,
        };
        let mut from = self.members.range(first..);
        self.root == Some(pid) || from.next().is_some_and(|key| key.pid == pid)
    }

    fn join(&mut self, key: ProcessKey) {
        if !self.members.insert(key) {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > MAX_MEMBERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
    }

    fn client(&mut self, key: ProcessKey, args: &[Box<str>], at: Timestamp) {
        let Some(request) = managers::request(args) else {
            return;
        };
        if self.clients.len() == MAX_CLIENTS {
            self.clients.pop_front();
        }
        self.clients.push_back(Client {
            key,
            args: request.args.iter().take(MAX_ARGS).cloned().collect(),
            stops: request.stops,
            from: at,
            until: None,
        });
    }

    /// Whether a client ran at `at`, or had just exited.
    fn client_at(&self, at: Timestamp) -> bool {
        self.clients.iter().any(|client| {
            client.from <= at && client.until.is_none_or(|end| at <= end.after(JUST_AFTER))
        })
    }

    fn sender(&self, sent: &SignalSent) -> Sender {
        let comm = sent.sender.comm.to_text();
        let kind = sender_kind(&SenderFacts {
            pid: sent.sender.key.pid,
            comm: &comm,
            code: sent.code,
            ..SenderFacts::default()
        });
        match kind {
            // Even if the command started it: what it does later is its own decision.
            SenderKind::Manager(_) => Sender::Manager,
            SenderKind::Kernel | SenderKind::OomDaemon => Sender::Other,
            _ if self.members.contains(&sent.sender.key) => Sender::Command,
            _ => Sender::Other,
        }
    }

    fn wanted(&self, sent: &SignalSent) -> bool {
        match self.sender(sent) {
            Sender::Command => true,
            Sender::Manager => self.client_at(sent.at),
            Sender::Other => false,
        }
    }

    fn asked(&self, exit: &Exit, at: Timestamp) -> Asked {
        const KILL: u32 = 9;
        const ABRT: u32 = 6;
        // A process usually raises SIGABRT itself: it is no request to stop.
        let polite = exit.stop.as_deref().filter(|sent| sent.signal != ABRT);
        let kill = exit.other.as_deref().filter(|sent| sent.signal == KILL);
        let lethal = match exit.status.signal() {
            Some(signal) => [polite, kill]
                .into_iter()
                .flatten()
                .find(|sent| sent.signal == u32::from(signal)),
            None => polite,
        };
        let stop = polite.filter(|stop| {
            kill.is_some_and(|kill| stop.at <= kill.at && kill.at.since(stop.at) <= STOP_TIMEOUT)
                && self.wanted(stop)
        });
        let killed = lethal.is_some_and(|sent| sent.signal == KILL);
        // The kill comes when the stop times out, long after the client may have exited.
        let follows =
            killed && stop.is_some() && kill.is_some_and(|sent| self.sender(sent) != Sender::Other);
        Asked {
            pid: exit.task.key.pid,
            by_signal: follows || lethal.is_some_and(|sent| self.wanted(sent)),
            ignored: stop
                .filter(|_| follows)
                .map(|stop| SignalName(stop.signal).to_string()),
            client: self.client_at(at),
            member: self.members.contains(&exit.task.key),
        }
    }
}

/// A command line as one line of text, so that it can be shown.
pub(super) fn command_line<'a>(args: impl IntoIterator<Item = &'a str>) -> String {
    const LONGEST: usize = 200;
    let mut line = String::new();
    for arg in args {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(arg);
        if line.len() > LONGEST {
            line.truncate(line.floor_char_boundary(LONGEST));
            line.push('…');
            break;
        }
    }
    printable(&line).into_owned()
}
