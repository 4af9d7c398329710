//! All input that does not come from the kernel's hooks: /proc, cgroups, listeners, the kernel log,
//! container engines, proxy logs. It turns what it reads into observations and concludes nothing.

pub mod clock;
pub mod usage;

mod cgroups;
mod containers;
mod diag;
mod kmsg;
mod listeners;
mod logs;
mod lookout;
mod now;
mod proc_dir;
mod process;
mod schedule;
mod session;
mod sight;
#[cfg(any(test, feature = "fixtures"))]
#[doc(hidden)]
pub mod slow_exit;
mod users;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cgroups::CgroupTree;
use containers::Engines;
use kmsg::KernelLog;
use logs::Logs;
use lookout::Lookout;
use now::push;
use process::ProcessReader;
use schedule::{Bucket, Later};
use sight::Sight;
use users::Users;

use tracer_model::{
    ClockAnchor, Endpoint, Hierarchy, NetNs, Observation, OomReport, OomScope, Pid, ProcessFacts,
    ProcessKey, ProxyProcess, Ring, Side, Timestamp, What,
};

pub use proc_dir::{is_there, lives};
pub use process::process_facts;
pub use session::session;

/// A forked process that does not exec may set its own title (php-fpm pools, nginx workers). It is read
/// once it has lived this long.
const TITLE_DELAY: Duration = Duration::from_millis(300);
/// A manager sets the limits of a cgroup only after it has created the cgroup.
const LIMIT_DELAY: Duration = Duration::from_millis(200);
/// Shortest interval between rescans after lost events, because rescans themselves may cause losses.
const RESYNC_EVERY: Duration = Duration::from_secs(10);
/// Delayed work is done in portions of this size, so that no event waits long behind it.
const PORTION: usize = 32;
/// Interval between checks of the wall clock.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// Inode of the tracer's own network namespace.
pub fn own_netns() -> NetNs {
    proc_dir::netns_of("self").unwrap_or(0)
}

/// Reads what the hooks don't report, at start-up and around their events.
#[derive(Debug)]
pub struct Observer {
    reader: ProcessReader,
    /// The hierarchy whose cgroups kernel programs are attached to.
    unified: CgroupTree,
    engines: Engines,
    kernel_log: Option<KernelLog>,
    logs: Option<Logs>,
    blind: Vec<String>,
    anchor: ClockAnchor,
    reads: Bucket,
    titles: Later<ProcessKey>,
    limits: Later<(u64, Box<str>)>,
    resync: Option<Timestamp>,
    last_resync: Option<Timestamp>,
    /// Whether a process that is not found in /proc does not exist.
    shows_all: bool,
    rescanned: bool,
    lookout: Lookout,
    clock_check: Timestamp,
}

impl Observer {
    /// Opens the sources. [`Self::blind`] names those that can't be opened.
    pub fn new(hierarchy: Hierarchy, read_kernel_log: bool) -> Self {
        let sight = Sight::here();
        let mut blind = sight.blind_spots();
        let kernel_log = read_kernel_log.then(KernelLog::open).and_then(|log| {
            log.map_err(|error| {
                blind.push(format!(
                    "the kernel log's reports of OOM kills (/dev/kmsg: {error}); the scope of a kill \
                     may have to be inferred from the cgroups' usage"
                ));
            })
            .ok()
        });
        let now = clock::now();
        Self {
            reader: ProcessReader {
                hierarchy,
                cgroups: CgroupTree::find(hierarchy),
                users: Users::default(),
                scratch: Vec::new(),
            },
            unified: CgroupTree::find(Hierarchy::Unified),
            engines: Engines::default(),
            kernel_log,
            logs: None,
            blind,
            anchor: clock::anchor(),
            reads: Bucket::new(1000, 2000, now),
            titles: Later::new(TITLE_DELAY, 4096),
            limits: Later::new(LIMIT_DELAY, 1024),
            resync: None,
            last_resync: None,
            shows_all: sight.shows_all(),
            rescanned: false,
            lookout: Lookout::new(now),
            clock_check: now.after(CLOCK_EVERY),
        }
    }

    /// Follows the error logs of proxies, too, once [`Self::follow_logs`] names the proxies: the logs that
    /// their processes have open, and those at `configured`.
    #[must_use]
    pub fn with_logs(mut self, show_query: bool, configured: &[PathBuf]) -> Self {
        self.logs = Some(Logs::new(show_query, configured.to_vec()));
        self
    }

    /// Sets the running proxies. To be called whenever one started or exited.
    pub fn follow_logs(&mut self, proxies: &[ProxyProcess]) {
        if let Some(logs) = &mut self.logs {
            logs.follow(proxies);
        }
    }

    /// Whether a log of this process is followed.
    pub fn logged(&self, key: ProcessKey) -> bool {
        self.logs.as_ref().is_some_and(|logs| logs.logged(key))
    }

    /// Whether the answers of [`Self::logged`] may have changed since the last call.
    pub fn clear_logged_changed(&mut self) -> bool {
        self.logs.as_mut().is_some_and(Logs::clear_changed)
    }

    /// Returns when proxies wrote to their logs; [`Self::due`] then says when to read them. Needs tokio's
    /// runtime.
    pub async fn readable(&mut self) -> io::Result<()> {
        match &mut self.logs {
            Some(logs) => logs.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Reads what proxies have written to their logs so far.
    pub fn read_logs(&mut self, out: &mut Vec<Observation>) {
        if let Some(logs) = &mut self.logs {
            logs.read(clock::now(), out);
        }
    }

    /// The blind spots, in words; complete after [`Self::scan`].
    pub fn blind(&self) -> Vec<String> {
        self.blind.clone()
    }

    /// The directories of the unified hierarchy's cgroups that hold these processes; without `pids`, the
    /// root directory.
    ///
    /// # Errors
    ///
    /// If that hierarchy is not mounted.
    pub fn cgroups_of(&self, pids: Option<&BTreeSet<Pid>>) -> Result<BTreeSet<PathBuf>, String> {
        let root = self.unified.root().ok_or(
            "no cgroup v2 hierarchy is mounted (mount -t cgroup2 none /sys/fs/cgroup/unified)",
        )?;
        Ok(match pids {
            None => BTreeSet::from([root]),
            Some(pids) => pids
                .iter()
                .filter_map(|pid| self.unified.of_process(*pid))
                .collect(),
        })
    }

    /// Scans cgroups, containers, processes (parents first) and listeners.
    pub fn scan(&mut self, out: &mut Vec<Observation>) {
        for (id, path, memory_limit_bytes) in self.reader.cgroups.walk() {
            push(
                out,
                What::Cgroup {
                    id,
                    path: path.into(),
                    memory_limit_bytes,
                },
            );
        }
        for container in self.engines.all() {
            push(out, What::Container(Box::new(container)));
        }
        let contained = self.scan_processes(out);
        if contained && !Engines::reachable() {
            self.blind.push(
                "names of containers, which are shown by id (no engine socket at \
                 /var/run/docker.sock or /run/podman/podman.sock)"
                    .to_owned(),
            );
        }
        self.lookout.scan(true, out);
    }

    /// Passes an observation on, together with what must be read at once around it.
    pub fn enrich(&mut self, observation: Observation, out: &mut Vec<Observation>) {
        let at = observation.at;
        match &observation.what {
            What::Executed { task, .. } => {
                let key = task.key;
                self.lookout.processes_changed(at);
                out.push(observation);
                // In a storm of execs, the kernel's copy of the arguments must suffice.
                if self.reads.spend(at) {
                    self.read_process(key, out);
                }
                return;
            }
            What::Forked { child, .. } => {
                self.titles.push(at, child.key);
                self.lookout.processes_changed(at);
            }
            What::Exited(exit) => {
                // Most processes live only briefly. Reading each would cost more than everything else.
                self.titles.cancel(&exit.task.key);
                self.lookout.exited(exit.task.key, at);
            }
            What::ListenerUp(listener) => {
                for holder in &listener.holders {
                    if self.reads.spend(at) {
                        self.read_process(*holder, out);
                    }
                }
            }
            What::ConnectFailed(failed) if matches!(failed.remote, Endpoint::Unix(_)) => {
                self.lookout.unix_connect_failed(at);
            }
            What::OomVictim(_) => {
                self.oom_victim(observation, out);
                return;
            }
            What::Http(exchange) if exchange.side == Side::Inbound => {
                // nginx and Apache write their line before they respond. The line keeps the time of
                // reading: if the rings are read late, it may concern a request that began after this one.
                if let Some(logs) = &mut self.logs {
                    logs.read_written_before(at, out);
                }
            }
            What::Cgroup { id, path, .. } => {
                self.engines.look_up(path);
                self.limits.push(at, (*id, path.clone()));
            }
            _ => {}
        }
        out.push(observation);
    }

    /// When to call [`Self::run_due`].
    pub fn due(&self) -> Option<Timestamp> {
        [
            self.titles.due(),
            self.limits.due(),
            self.resync,
            Some(self.lookout.due()),
            self.engines.due(),
            self.logs.as_ref().and_then(Logs::due),
            Some(self.clock_check),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does the delayed work that is due, or a portion of it; [`Self::due`] then remains in the past.
    pub fn run_due(&mut self, now: Timestamp, out: &mut Vec<Observation>) {
        for _ in 0..PORTION {
            let Some(key) = self.titles.pop(now) else {
                break;
            };
            self.read_process(key, out);
        }
        for _ in 0..PORTION {
            let Some((id, path)) = self.limits.pop(now) else {
                break;
            };
            if let Some(limit) = self.reader.cgroups.limit_bytes(&path) {
                push(
                    out,
                    What::Cgroup {
                        id,
                        path,
                        memory_limit_bytes: Some(limit),
                    },
                );
            }
        }
        if let Some(logs) = &mut self.logs {
            logs.run_due(now, out);
        }
        for container in self.engines.collect(now) {
            push(out, What::Container(Box::new(container)));
        }
        if self.resync.is_some_and(|due| due <= now) {
            self.rescan(out);
        }
        self.lookout.run_due(now, out);
        if self.clock_check <= now {
            self.clock_check = now.after(CLOCK_EVERY);
            if let Some(anchor) = clock::stepped(&self.anchor) {
                self.anchor = anchor;
                push(out, What::Clock(anchor));
            }
        }
    }

    /// After lost events: rescans everything, at once or, if the last rescan was a moment ago, later in
    /// [`Self::run_due`].
    pub fn resync(&mut self, out: &mut Vec<Observation>) {
        match self.last_resync.map(|last| last.after(RESYNC_EVERY)) {
            Some(due) if due > clock::now() => self.resync = Some(due),
            _ => self.rescan(out),
        }
    }

    /// Whether a rescan has completed since the last call. Only a rescan that shows all processes counts:
    /// a process that it did not find does not exist.
    pub fn clear_rescanned(&mut self) -> bool {
        std::mem::take(&mut self.rescanned)
    }

    fn rescan(&mut self, out: &mut Vec<Observation>) {
        self.resync = None;
        self.rescanned = self.shows_all;
        self.scan_processes(out);
        self.lookout.scan(true, out);
        self.last_resync = Some(clock::now());
    }

    /// Scans processes and returns whether any of them is in a container.
    fn scan_processes(&mut self, out: &mut Vec<Observation>) -> bool {
        let mut processes: Vec<ProcessFacts> = proc_dir::all_pids()
            .into_iter()
            .filter_map(|pid| self.reader.read(pid))
            .collect();
        processes.sort_by_key(|facts| (facts.task.key.start_ticks, facts.task.key.pid));
        let contained = processes.iter().any(|facts| contained_in(facts).is_some());
        for facts in processes {
            push(out, What::Process(Box::new(facts)));
        }
        contained
    }

    /// Reads that process from /proc, unless another one has its pid by now.
    fn read_process(&mut self, key: ProcessKey, out: &mut Vec<Observation>) {
        let facts = self.reader.read(key.pid);
        if let Some(facts) = facts.filter(|facts| facts.task.key == key) {
            if let Some(path) = contained_in(&facts) {
                self.engines.look_up(path);
            }
            push(out, What::Process(Box::new(facts)));
        }
    }

    /// Adds the kernel log's reports before an OOM victim, because the kernel wrote them before it sent
    /// the event.
    fn oom_victim(&mut self, mut observation: Observation, out: &mut Vec<Observation>) {
        if let Some(log) = &mut self.kernel_log {
            let round = log.read();
            if round.overwritten > 0 {
                push(
                    out,
                    What::Lost {
                        ring: Ring::KernelLog,
                        count: round.overwritten,
                    },
                );
            }
            for mut report in round.reports {
                self.complete(&mut report);
                out.push(Observation {
                    at: observation.at,
                    what: What::OomReported(Box::new(report)),
                });
            }
        }
        // Some kernels pass only a pid, which may be a thread's.
        if let What::OomVictim(victim) = &mut observation.what
            && victim.task.key.start_ticks == 0
            && let Some(pid) = proc_dir::process_of(victim.task.key.pid)
            && let Some(facts) = self.reader.read_victim(pid)
        {
            victim.task = facts.task;
        }
        out.push(observation);
    }

    /// Adds the id and the limit of the cgroup that a report names.
    fn complete(&self, report: &mut OomReport) {
        if let OomScope::Cgroup {
            id,
            path: Some(path),
            limit_bytes,
        } = &mut report.scope
        {
            *id = self.reader.cgroups.id(path).unwrap_or(0);
            *limit_bytes = self.reader.cgroups.limit_bytes(path);
        }
    }
}

/// The cgroup path that identifies the container of a process.
fn contained_in(facts: &ProcessFacts) -> Option<&str> {
    let path = facts.cgroup_path.as_deref()?;
    containers::container_id(path).map(|_| path)
}

#[cfg(test)]
mod tests;
