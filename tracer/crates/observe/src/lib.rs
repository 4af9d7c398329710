//! All input that does not come from the kernel's hooks: /proc, cgroups, listeners, the kernel log,
//! container engines. It turns what it reads into observations and concludes nothing from them.

pub mod clock;
pub mod usage;

mod cgroups;
mod containers;
mod diag;
#[cfg(any(test, feature = "fixtures"))]
#[doc(hidden)]
pub mod ending;
mod kmsg;
mod listeners;
mod logs;
mod lookout;
mod proc_dir;
mod process;
mod schedule;
mod session;
mod sight;
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

/// A process forked without an exec may set a title of its own (php-fpm pools, nginx workers);
/// those that live this long are looked at.
const TITLE_DELAY: Duration = Duration::from_millis(300);
/// A manager writes a cgroup's limits after it made the cgroup.
const LIMIT_DELAY: Duration = Duration::from_millis(200);
/// Everything is read again after losses no more often than this, or reading it loses more.
const RESYNC_EVERY: Duration = Duration::from_secs(10);
/// What was put off is done in portions, so that no event waits long behind it.
const PORTION: usize = 32;
/// The wall clock is compared this often.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// Inode of the tracer's own network namespace.
pub fn own_netns() -> NetNs {
    proc_dir::netns_of("self").unwrap_or(0)
}

/// Reads what the hooks don't tell, at start-up and around their events.
#[derive(Debug)]
pub struct Observer {
    reader: ProcessReader,
    /// Where kernel programs are attached to.
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
    /// Whether what is not found in /proc is not there.
    shows_all: bool,
    rescanned: bool,
    lookout: Lookout,
    clock_check: Timestamp,
}

impl Observer {
    /// What can't be opened is told by [`Self::blind`].
    pub fn new(hierarchy: Hierarchy, read_kernel_log: bool) -> Self {
        let sight = Sight::here();
        let mut blind = sight.blind_spots();
        let kernel_log = read_kernel_log.then(KernelLog::open).and_then(|log| {
            log.map_err(|error| {
                blind.push(format!(
                    "the scope of OOM kills by the kernel's own word (/dev/kmsg: {error}); \
                     it is inferred from the cgroups' usage"
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

    /// Follows the error logs of proxies too, once [`Self::follow_logs`] names them: those that
    /// their processes have open, and those at `configured`.
    #[must_use]
    pub fn with_logs(mut self, show_query: bool, configured: &[PathBuf]) -> Self {
        self.logs = Some(Logs::new(show_query, configured.to_vec()));
        self
    }

    /// The proxies that run: to be called whenever one came or went.
    pub fn follow_logs(&mut self, proxies: &[ProxyProcess]) {
        if let Some(logs) = &mut self.logs {
            logs.follow(proxies);
        }
    }

    /// Whether a log of the process is followed.
    pub fn logged(&self, key: ProcessKey) -> bool {
        self.logs.as_ref().is_some_and(|logs| logs.logged(key))
    }

    /// Whether the answers of [`Self::logged`] may have changed since this was asked last.
    pub fn take_logged_changed(&mut self) -> bool {
        self.logs.as_mut().is_some_and(Logs::take_changed)
    }

    /// Returns when proxies wrote to their logs: [`Self::due`] then tells when to read them. Needs
    /// tokio's runtime.
    pub async fn readable(&mut self) -> io::Result<()> {
        match &mut self.logs {
            Some(logs) => logs.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Tells what proxies wrote to their logs so far.
    pub fn read_logs(&mut self, out: &mut Vec<Observation>) {
        if let Some(logs) = &mut self.logs {
            logs.read(clock::now(), out);
        }
    }

    /// What can't be seen, in words; complete after [`Self::scan`].
    pub fn blind(&self) -> Vec<String> {
        self.blind.clone()
    }

    /// The directories of the unified hierarchy's cgroups that these processes are in; with nobody
    /// in particular, its root.
    ///
    /// # Errors
    ///
    /// When that hierarchy is not mounted.
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

    /// Everything that is there: cgroups, containers, processes (parents first), listeners.
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
                "names of containers (no engine answers at /var/run/docker.sock or \
                 /run/podman/podman.sock); they are shown by id"
                    .to_owned(),
            );
        }
        self.lookout.scan(true, out);
    }

    /// Passes an observation on, with what must be read at once around it.
    pub fn enrich(&mut self, observation: Observation, out: &mut Vec<Observation>) {
        let at = observation.at;
        match &observation.what {
            What::Executed { task, .. } => {
                let key = task.key;
                self.lookout.processes_changed(at);
                out.push(observation);
                // In a storm of execs the kernel's copy of the arguments has to do.
                if self.reads.take(at) {
                    self.read_process(key, out);
                }
                return;
            }
            What::Forked { child, .. } => {
                self.titles.push(at, child.key);
                self.lookout.processes_changed(at);
            }
            What::Exited(exit) => {
                // Most live so short: a look at each would cost more than everything else.
                self.titles.cancel(&exit.task.key);
                self.lookout.exited(exit.task.key, at);
            }
            What::ListenerUp(listener) => {
                for holder in &listener.holders {
                    if self.reads.take(at) {
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
                // nginx and Apache write their line before the answer. It keeps the time of reading:
                // when the rings are read late, it may be of a request that began after this.
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

    /// When [`Self::run_due`] wants to be called.
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

    /// Does what was put off until `now`, or a portion of it: then [`Self::due`] has passed already.
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
            self.read_again(out);
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

    /// After events were lost: everything is looked at again, at once or, when that was done a
    /// moment ago, by [`Self::run_due`].
    pub fn resync(&mut self, out: &mut Vec<Observation>) {
        match self.last_resync.map(|last| last.after(RESYNC_EVERY)) {
            Some(due) if due > clock::now() => self.resync = Some(due),
            _ => self.read_again(out),
        }
    }

    /// Whether everything was looked at again since this was asked last, so that what was not found
    /// is not there.
    pub fn take_rescanned(&mut self) -> bool {
        std::mem::take(&mut self.rescanned)
    }

    fn read_again(&mut self, out: &mut Vec<Observation>) {
        self.resync = None;
        self.rescanned = self.shows_all;
        self.scan_processes(out);
        self.lookout.scan(true, out);
        self.last_resync = Some(clock::now());
    }

    /// Returns whether any of them is in a container.
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

    /// What /proc says of that process, and not of another that has its pid by now.
    fn read_process(&mut self, key: ProcessKey, out: &mut Vec<Observation>) {
        let facts = self.reader.read(key.pid);
        if let Some(facts) = facts.filter(|facts| facts.task.key == key) {
            if let Some(path) = contained_in(&facts) {
                self.engines.look_up(path);
            }
            push(out, What::Process(Box::new(facts)));
        }
    }

    /// The kernel log's reports come first: they were written before the hook saw the victim.
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
        // Kernels that pass only a pid: it may be a thread's.
        if let What::OomVictim(victim) = &mut observation.what
            && victim.task.key.start_ticks == 0
            && let Some(pid) = proc_dir::process_of(victim.task.key.pid)
            && let Some(facts) = self.reader.read_victim(pid)
        {
            victim.task = facts.task;
        }
        out.push(observation);
    }

    /// Adds id and limit of the cgroup that a report names.
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

/// The cgroup path that says which container a process is in.
fn contained_in(facts: &ProcessFacts) -> Option<&str> {
    let path = facts.cgroup_path.as_deref()?;
    containers::container_id(path).map(|_| path)
}

fn push(out: &mut Vec<Observation>, what: What) {
    out.push(Observation {
        at: clock::now(),
        what,
    });
}

#[cfg(test)]
mod tests;
