//! Decides when to scan for listeners, and remembers what the last scan found.
//!
//! Hooks report TCP listeners; unix listeners are found only by scanning. A scan follows soon after
//! processes started or exited. Further scans follow at growing intervals, because many servers bind
//! seconds after their last exec or fork.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tracer_model::{Endpoint, NetNs, Observation, ProcessKey, Timestamp, What};

use super::listeners::{self, Windows};
use super::now::push;
use super::{clock, proc_dir};

/// Delay after processes started or exited …
const AFTER_CHANGE: Duration = Duration::from_millis(300);
/// … and the shortest interval between scans.
const EVERY: Duration = Duration::from_secs(1);
/// Delay after the holder of a unix listener exited: the kernel closes its sockets after it reports the
/// exit.
const AFTER_CLOSE: Duration = Duration::from_millis(10);
/// The longest interval between scans.
const SELDOM: Duration = Duration::from_secs(30);

/// Scans for listeners when it is time to.
#[derive(Debug)]
pub(super) struct Lookout {
    /// When to scan next because something happened.
    due: Option<Timestamp>,
    last: Timestamp,
    /// When processes last started or exited.
    changed: Timestamp,
    /// The processes through which the last scan saw the namespaces.
    windows: Windows,
    /// The unix listeners that the last scan found: they are reported again only if they changed.
    seen: BTreeMap<NetNs, Vec<(u64, Endpoint)>>,
    /// The holders of those listeners: when one of them exits, a listener is probably gone.
    holders: HashSet<ProcessKey>,
    /// Whether one of them had no known holder: they are reported again once processes changed.
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

    /// When to call [`Self::run_due`].
    pub(super) fn due(&self) -> Timestamp {
        self.due.unwrap_or_else(|| self.again())
    }

    /// When to scan if nothing happens: the longer the quiet, the later.
    fn again(&self) -> Timestamp {
        let quiet = self.last.since(self.changed);
        self.last.after((quiet / 4).clamp(EVERY, SELDOM))
    }

    /// A process started or exited.
    pub(super) fn processes_changed(&mut self, at: Timestamp) {
        self.changed = at;
        self.scan_by(at.after(AFTER_CHANGE).max(self.last.after(EVERY)));
    }

    /// A process exited.
    pub(super) fn exited(&mut self, key: ProcessKey, at: Timestamp) {
        if self.holders.contains(&key) {
            self.scan_by(at.after(AFTER_CLOSE));
        } else {
            self.processes_changed(at);
        }
    }

    /// Somebody connected to a unix socket at which no listener is known.
    pub(super) fn unix_connect_failed(&mut self, at: Timestamp) {
        self.scan_by(at.max(self.last.after(EVERY)));
    }

    fn scan_by(&mut self, due: Timestamp) {
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
    }

    /// Scans unix listeners if it is time to.
    pub(super) fn run_due(&mut self, now: Timestamp, out: &mut Vec<Observation>) {
        if self.due() > now {
            return;
        }
        match self.due {
            Some(_) => self.scan(false, out),
            // No new process can be in a new namespace or hold a listener without a holder.
            None => self.look(false, false, out),
        }
    }

    /// Reports the unix listeners if they changed. With `tcp`, reports all of them and the TCP listeners.
    pub(super) fn scan(&mut self, tcp: bool, out: &mut Vec<Observation>) {
        self.windows = listeners::windows(&proc_dir::all_pids());
        self.look(tcp, tcp || self.unheld, out);
    }

    /// `anyway` reports unix listeners that did not change, too.
    fn look(&mut self, tcp: bool, anyway: bool, out: &mut Vec<Observation>) {
        self.due = None;
        self.last = clock::now();
        let sockets = listeners::sockets(&self.windows, tcp);
        let mut unix: BTreeMap<NetNs, Vec<(u64, Endpoint)>> = sockets
            .iter()
            .filter(|found| found.unix)
            .map(|found| (found.netns, found.listening.clone()))
            .collect();
        // A namespace whose process exited meanwhile is assumed to be unchanged.
        for (netns, seen) in &self.seen {
            if self.windows.contains_key(netns) {
                unix.entry(*netns).or_insert_with(|| seen.clone());
            }
        }
        if !anyway && unix == self.seen {
            return;
        }
        // A namespace that is gone has no listeners.
        let gone: Vec<NetNs> = self
            .seen
            .keys()
            .filter(|netns| !unix.contains_key(netns))
            .copied()
            .collect();
        self.seen = unix;
        self.holders.clear();
        self.unheld = false;
        // The holder of a socket may be younger than the windows.
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

    fn reports(out: &[Observation], name: &str) -> bool {
        out.iter().any(|observation| match &observation.what {
            What::ListenersScanned { listeners, .. } => listeners
                .iter()
                .any(|listener| listener.address.to_string().ends_with(name)),
            _ => false,
        })
    }

    #[test]
    fn a_scan_follows_as_soon_as_a_holder_exits() {
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
    fn unchanged_listeners_are_not_reported_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut lookout = Lookout::new(clock::now());
        lookout.scan(true, &mut Vec::new());
        let _listener = UnixListener::bind(dir.path().join("new.sock")).unwrap();
        let mut out = Vec::new();
        lookout.scan(false, &mut out);
        assert!(reports(&out, "new.sock"));
        // Others on this machine open and close sockets of their own, which repeats the whole list.
        let quiet = (0..50).any(|_| {
            out.clear();
            lookout.scan(false, &mut out);
            !reports(&out, "new.sock")
        });
        assert!(quiet, "{out:?}");
    }

    /// A server binds long after it started, and no process starts or exits meanwhile.
    #[test]
    fn a_listener_is_found_even_if_nothing_else_happens() {
        let dir = tempfile::tempdir().unwrap();
        let mut lookout = Lookout::new(clock::now());
        lookout.scan(true, &mut Vec::new());
        let _listener = UnixListener::bind(dir.path().join("late.sock")).unwrap();
        assert!(lookout.due().since(lookout.last) <= EVERY);
        let mut out = Vec::new();
        thread::sleep(lookout.due().since(clock::now()));
        lookout.run_due(clock::now(), &mut out);
        assert!(reports(&out, "late.sock"), "{out:?}");
    }

    /// Finding a holder means looking at all processes, which must not be repeated for nothing.
    #[test]
    fn a_listener_without_a_holder_is_reported_again_only_after_processes_changed() {
        let dir = tempfile::tempdir().unwrap();
        // Its only descriptor is in a message that nobody has received.
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
        assert!(reports(&out, "sent.sock"));
        out.clear();
        lookout.run_due(lookout.due(), &mut out);
        let quiet = reports(&out, "sent.sock");
        lookout.processes_changed(clock::now());
        lookout.run_due(lookout.due(), &mut out);
        let changed = reports(&out, "sent.sock");
        drop(python.stdin.take());
        python.wait().unwrap();
        assert_eq!((quiet, changed), (false, true));
    }

    #[test]
    fn scans_become_rarer_the_longer_nothing_happens() {
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
