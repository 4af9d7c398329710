//! When it is looked who listens where, and what was seen last.
//!
//! Hooks tell of TCP listeners; those at unix sockets are found by looking. That is done soon after
//! processes came or went, and again and again after that, ever more seldom: many a server binds
//! seconds after its last exec or fork.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tracer_model::{Endpoint, NetNs, Observation, ProcessKey, Timestamp, What};

use super::listeners::{self, Windows};
use super::{clock, proc_dir, push};

/// After processes came or went …
const AFTER_CHANGE: Duration = Duration::from_millis(300);
/// … and no more often than this.
const EVERY: Duration = Duration::from_secs(1);
/// A holder of a unix listener is dead: its sockets are closed after the exit is told.
const AFTER_CLOSE: Duration = Duration::from_millis(10);
/// At least this often, whatever happens.
const SELDOM: Duration = Duration::from_secs(30);

/// Looks for listeners.
#[derive(Debug)]
pub(super) struct Lookout {
    /// When to look next because something happened.
    due: Option<Timestamp>,
    last: Timestamp,
    /// When processes came or went last.
    changed: Timestamp,
    /// Through whom namespaces were seen last.
    windows: Windows,
    /// The unix listeners that were found last: they are told again only when they changed.
    seen: BTreeMap<NetNs, Vec<(u64, Endpoint)>>,
    /// Who held those listeners then: when one of them exits, a listener is probably gone.
    holders: HashSet<ProcessKey>,
    /// Whether nobody was found to hold one of them: they are told again once processes changed.
    unheld: bool,
}

impl Lookout {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            due: None,
            last: Timestamp(0),
            changed: now,
            windows: Windows::new(),
            seen: BTreeMap::new(),
            holders: HashSet::new(),
            unheld: false,
        }
    }

    /// When [`Self::run_due`] wants to be called.
    pub(super) fn due(&self) -> Timestamp {
        self.due.unwrap_or_else(|| self.again())
    }

    /// When to look though nothing happened: the longer nothing has, the later.
    fn again(&self) -> Timestamp {
        let quiet = self.last.since(self.changed);
        self.last.after((quiet / 4).clamp(EVERY, SELDOM))
    }

    /// A process came or went.
    pub(super) fn processes_changed(&mut self, at: Timestamp) {
        self.changed = at;
        self.by(at.after(AFTER_CHANGE).max(self.last.after(EVERY)));
    }

    /// A process is dead.
    pub(super) fn exited(&mut self, key: ProcessKey, at: Timestamp) {
        if self.holders.contains(&key) {
            self.by(at.after(AFTER_CLOSE));
        } else {
            self.processes_changed(at);
        }
    }

    /// Nobody, as far as is known, listens where somebody connected to.
    pub(super) fn unix_connect_failed(&mut self, at: Timestamp) {
        self.by(at.max(self.last.after(EVERY)));
    }

    fn by(&mut self, due: Timestamp) {
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
    }

    /// Looks for unix listeners if it is time to.
    pub(super) fn run_due(&mut self, now: Timestamp, out: &mut Vec<Observation>) {
        if self.due() > now {
            return;
        }
        match self.due {
            Some(_) => self.scan(false, out),
            // No process came that might be in a namespace of its own, or hold what nobody held.
            None => self.look(false, false, out),
        }
    }

    /// Tells of the unix listeners if they changed, and of all, and the TCP ones too, when `tcp`.
    pub(super) fn scan(&mut self, tcp: bool, out: &mut Vec<Observation>) {
        self.windows = listeners::windows(&proc_dir::all_pids());
        self.look(tcp, tcp || self.unheld, out);
    }

    /// `anyway`: also when they did not change.
    fn look(&mut self, tcp: bool, anyway: bool, out: &mut Vec<Observation>) {
        self.due = None;
        self.last = clock::now();
        let sockets = listeners::sockets(&self.windows, tcp);
        let mut unix: BTreeMap<NetNs, Vec<(u64, Endpoint)>> = sockets
            .iter()
            .filter(|found| found.unix)
            .map(|found| (found.netns, found.listening.clone()))
            .collect();
        // Where the process to look through ended meanwhile, it is as it was.
        for (netns, seen) in &self.seen {
            if self.windows.contains_key(netns) {
                unix.entry(*netns).or_insert_with(|| seen.clone());
            }
        }
        if !anyway && unix == self.seen {
            return;
        }
        // A namespace that is gone has no listeners any more.
        let gone: Vec<NetNs> = self
            .seen
            .keys()
            .filter(|netns| !unix.contains_key(netns))
            .copied()
            .collect();
        self.seen = unix;
        self.holders.clear();
        self.unheld = false;
        // Who holds a socket may be younger than the windows.
        let pids = proc_dir::all_pids();
        for (netns, unix, listeners) in listeners::with_holders(sockets, &pids) {
            if unix {
                self.unheld |= listeners.iter().any(|one| one.holders.is_empty());
                let holders = listeners.iter().flat_map(|listener| &listener.holders);
                self.holders.extend(holders);
            }
            push(
                out,
                What::ListenersScanned {
                    netns,
                    unix,
                    listeners,
                },
            );
        }
        for netns in gone {
            push(
                out,
                What::ListenersScanned {
                    netns,
                    unix: true,
                    listeners: Box::default(),
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};
    use std::thread;

    use super::*;

    fn tells_of(out: &[Observation], name: &str) -> bool {
        out.iter().any(|observation| match &observation.what {
            What::ListenersScanned { listeners, .. } => listeners
                .iter()
                .any(|listener| listener.address.to_string().ends_with(name)),
            _ => false,
        })
    }

    #[test]
    fn it_is_looked_as_soon_as_a_holder_is_dead() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(dir.path().join("a.sock")).unwrap();
        let mut lookout = Lookout::new(clock::now());
        lookout.scan(true, &mut Vec::new());
        let pid = std::process::id();
        let start_ticks = proc_dir::start_ticks(pid).unwrap();
        let at = clock::now();
        lookout.exited(ProcessKey::default(), at);
        assert!(lookout.due() >= at.after(AFTER_CHANGE));
        lookout.exited(ProcessKey { pid, start_ticks }, at);
        assert_eq!(lookout.due(), at.after(AFTER_CLOSE));
    }

    #[test]
    fn listeners_that_did_not_change_are_not_told_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut lookout = Lookout::new(clock::now());
        lookout.scan(true, &mut Vec::new());
        let _listener = UnixListener::bind(dir.path().join("new.sock")).unwrap();
        let mut out = Vec::new();
        lookout.scan(false, &mut out);
        assert!(tells_of(&out, "new.sock"));
        out.clear();
        lookout.scan(false, &mut out);
        assert!(!tells_of(&out, "new.sock"), "{out:?}");
    }

    /// A server binds long after it began, and no process comes or goes meanwhile.
    #[test]
    fn a_listener_is_found_though_nothing_else_happens() {
        let dir = tempfile::tempdir().unwrap();
        let mut lookout = Lookout::new(clock::now());
        lookout.scan(true, &mut Vec::new());
        let _listener = UnixListener::bind(dir.path().join("late.sock")).unwrap();
        assert!(lookout.due().since(lookout.last) <= EVERY);
        let mut out = Vec::new();
        thread::sleep(lookout.due().since(clock::now()));
        lookout.run_due(clock::now(), &mut out);
        assert!(tells_of(&out, "late.sock"), "{out:?}");
    }

    /// Who holds a listener is looked for in all processes: not again and again for nothing.
    #[test]
    fn one_that_nobody_holds_is_told_again_only_when_processes_changed() {
        let dir = tempfile::tempdir().unwrap();
        // Its only descriptor is under way in a message.
        let script = "import socket, sys\n\
            listener = socket.socket(socket.AF_UNIX)\n\
            listener.bind(sys.argv[1])\n\
            listener.listen()\n\
            here, there = socket.socketpair()\n\
            socket.send_fds(here, [b'.'], [listener.fileno()])\n\
            listener.close()\n\
            print('sent', flush=True)\n\
            sys.stdin.read()";
        let mut python = Command::new("python3")
            .args(["-c", script])
            .arg(dir.path().join("sent.sock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut sent = [0; 4];
        let mut stdout = python.stdout.take().unwrap();
        std::io::Read::read_exact(&mut stdout, &mut sent).unwrap();

        let mut lookout = Lookout::new(clock::now());
        let mut out = Vec::new();
        lookout.scan(true, &mut out);
        assert!(tells_of(&out, "sent.sock"));
        out.clear();
        lookout.run_due(lookout.due(), &mut out);
        let quiet = tells_of(&out, "sent.sock");
        lookout.processes_changed(clock::now());
        lookout.run_due(lookout.due(), &mut out);
        let changed = tells_of(&out, "sent.sock");
        drop(python.stdin.take());
        python.wait().unwrap();
        assert_eq!((quiet, changed), (false, true));
    }

    #[test]
    fn the_longer_nothing_happens_the_more_seldom_it_is_looked() {
        let mut lookout = Lookout::new(clock::now());
        let at = |seconds| lookout.changed.after(Duration::from_secs(seconds));
        let mut dues = Vec::new();
        for seconds in [0, 1, 8, 40, 4000] {
            let lookout = Lookout {
                last: at(seconds),
                windows: Windows::new(),
                seen: BTreeMap::new(),
                holders: HashSet::new(),
                ..lookout
            };
            dues.push(lookout.due().since(lookout.last).as_secs());
        }
        assert_eq!(dues, [1, 1, 2, 10, 30]);
        let soon = at(4000);
        lookout.last = soon;
        lookout.processes_changed(soon.after(EVERY));
        assert_eq!(lookout.due(), soon.after(EVERY).after(AFTER_CHANGE));
    }
}
