//! The running trace: waits for the rings, and reads them into observations in order of time.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use aya::maps::{MapData, PerCpuArray, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracer_common::record::{RefusalKey, UnixRefusalKey, lost};
use tracer_model::{Hierarchy, Hook, Observation, Pid, Ring, Timestamp, What};
use zerocopy::{FromBytes, IntoBytes};

use super::decode::{self, Decoded, Reading, decode};
use super::facts::KernelFacts;
use super::http::Followed;
use super::load::{self, Loaded, StartError};
use super::overtaken;
use super::pace::{LINGER, Pace};
use super::plan::{Plan, Refusal, ScopeRung, plan};
use super::skips::{self, Counts, Skips};
use super::tally::{Counted, Tally};
use crate::settings::Settings;

/// Records read from one ring in one go; the rest is left for the next.
const BATCH: usize = 8192;
/// How often the counters of losses are looked at while there is something to read.
const LOST_EVERY: Duration = Duration::from_millis(250);
/// The same, of the kernel's counters of skipped programs: asking is dearer.
const SKIPS_EVERY: Duration = Duration::from_secs(1);

/// The hooks, armed. Dropping it disarms them.
pub struct Kernel {
    loaded: Loaded,
    deaths: AsyncFd<RingBuf<MapData>>,
    traffic: AsyncFd<RingBuf<MapData>>,
    cgroups: Hierarchy,
    reading: Reading,
    tally: Tally,
    /// Read, but newer than the moment up to which everything was read.
    held: Vec<Observation>,
    /// Whether they are held for a mark that may be late, and reading on at once is no use.
    awaits_mark: bool,
    /// Sorting space, kept.
    batch: Vec<Observation>,
    lost: Losses,
    pace: Pace,
}

impl Kernel {
    /// Looks at the machine, decides, loads and attaches. Needs a tokio runtime with I/O.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let (facts, layout) = KernelFacts::gather();
        let plan = plan(&facts)?;
        let layout = layout.ok_or_else(|| Refusal {
            what: "the kernel's type information can't be used".into(),
            advice: "see `tracer doctor`".into(),
        })?;
        Self::start_as(&plan, &layout, settings)
    }

    fn start_as(
        plan: &Plan,
        layout: &tracer_common::Layout,
        settings: &Settings,
    ) -> Result<Self, StartError> {
        let (loaded, rings) = load::load(plan, layout, settings.http)?;
        let wait = |ring| {
            // SAFETY: the ring owns the map's descriptor, open and the same until it is dropped.
            unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
                .map_err(|error| StartError::Wait(error.into()))
        };
        Ok(Self {
            loaded,
            deaths: wait(rings.deaths)?,
            traffic: wait(rings.traffic)?,
            cgroups: plan.cgroups,
            reading: Reading {
                page_bytes: rustix::param::page_size() as u64,
                show_query: settings.show_query,
            },
            tally: Tally::default(),
            held: Vec::new(),
            awaits_mark: false,
            batch: Vec::new(),
            lost: Losses::default(),
            pace: Pace::default(),
        })
    }

    /// The hooks, and how each was got.
    pub fn hooks(&self) -> &[Hook] {
        &self.loaded.hooks
    }

    /// What can't be seen, in words.
    pub fn blind(&self) -> &[String] {
        &self.loaded.blind
    }

    /// The hierarchy whose ids are in [`tracer_model::TaskFacts::cgroup`].
    pub fn hierarchy(&self) -> Hierarchy {
        self.cgroups
    }

    /// Whether the scope of OOM kills has to be read from the kernel log.
    pub fn scope_from_kmsg(&self) -> bool {
        self.loaded.scope == ScopeRung::KernelLog
    }

    /// Follows the requests of these proxies, and of nobody else any more.
    pub fn follow(&mut self, wanted: Followed) {
        let Loaded {
            http, tls, ebpf, ..
        } = &mut self.loaded;
        if http.is_off() {
            return;
        }
        // Also when they are the same as before: what they have mapped may not be.
        tls.follow(ebpf, &wanted.pids, now());
        http.follow(ebpf, wanted);
    }

    /// Whether what this process sends and receives inside TLS is followed.
    pub fn follows_tls(&self, pid: Pid) -> bool {
        self.loaded.tls.covers(pid)
    }

    /// Whether a proxy's TLS library was found after [`Self::follow`] had not found it.
    pub fn take_tls_changed(&mut self) -> bool {
        self.loaded.tls.take_changed()
    }

    /// What follows requests inside TLS, among the hooks; none while no proxy has a TLS library.
    pub fn tls_hook(&self) -> Option<Hook> {
        self.loaded.tls.hook()
    }

    /// Whether the requests of a proxy's process are followed.
    pub fn follows(&self, pid: Pid) -> bool {
        self.loaded.http.covers(pid)
    }

    /// What follows requests, among the hooks: it depends on the proxies there are.
    pub fn http_hook(&self) -> Option<Hook> {
        self.loaded.http.hook()
    }

    /// Returns when [`Self::drain`] may find something. Records that are sent without a wake-up
    /// are found by draining when [`Self::next_due`] tells.
    pub async fn readable(&mut self) -> io::Result<()> {
        tokio::select! {
            ready = self.deaths.readable() => ready?.clear_ready(),
            ready = self.traffic.readable() => ready?.clear_ready(),
        }
        Ok(())
    }

    /// Whether something was read that was not given yet: [`Self::drain`] again after
    /// [`Self::next_due`].
    pub fn has_pending(&self) -> bool {
        !self.held.is_empty()
    }

    /// How long to wait at most before draining again.
    pub fn next_due(&self) -> Option<Duration> {
        if self.awaits_mark {
            return Some(Duration::from_millis(1));
        }
        if self.has_pending() {
            return Some(Duration::ZERO);
        }
        let timer = self.pace.next();
        let counter = self.tally.next_due().map(|due| due.since(now()));
        Some(counter.map_or(timer, |due| due.clamp(LINGER, timer.max(LINGER))))
    }

    /// Reads both rings up to now, and appends what was seen, ordered by time. What is newer than
    /// the moment at which reading began is kept for the next call, so that neither ring gets
    /// ahead of the other; so is, for 20 ms, what came after an exit whose OOM victim event may be late.
    ///
    /// From one call to the next, two things may be older than what was given before: the remainder
    /// of a storm of failed connects, told with the time of its last failure some 25 ms after it,
    /// and a record that its hook was still writing.
    pub fn drain(&mut self, out: &mut Vec<Observation>) {
        #[cfg(feature = "kernel-log")]
        self.loaded.log.flush();
        let began = now();
        let mut upto = began;
        self.batch.append(&mut self.held);
        let (deaths, last) = self.read(Ring::Deaths);
        if deaths == BATCH {
            upto = upto.min(last);
        }
        let (traffic, last) = self.read(Ring::Traffic);
        if traffic == BATCH {
            upto = upto.min(last);
        }
        if let Some(until) = self.pace.look(deaths + traffic, began) {
            // Without it the programs only wake more often than they need.
            let _ = self.loaded.attentive.set(0, until.0, 0);
        }
        self.fetch_remainders(began);
        self.look_for_losses(began);

        let waiting = overtaken::reunite(&mut self.batch, began);
        let before = |exit: Timestamp| Timestamp(exit.0.saturating_sub(1));
        self.awaits_mark = waiting.is_some_and(|exit| before(exit) < upto);
        upto = waiting.map_or(upto, |exit| upto.min(before(exit)));
        self.batch.sort_by_key(|observation| observation.at);
        let newer = self
            .batch
            .partition_point(|observation| observation.at <= upto);
        self.held.extend(self.batch.drain(newer..));
        out.append(&mut self.batch);
    }

    /// Keeps room for so many observations; the rest is given back.
    pub fn shrink_to(&mut self, room: usize) {
        self.batch.shrink_to(room);
        self.held.shrink_to(room);
    }

    /// Before the last [`Self::drain`]: counters and losses are told now, due or not.
    pub fn settle(&mut self) {
        for by in self.loaded.counted() {
            self.fetch(&by);
        }
        self.lost.looked = Timestamp::default();
        self.lost.skips_looked = Timestamp::default();
        self.lost.skips.settle(self.loaded.skipped());
    }

    /// Reads up to a batch of records; gives their number and the time of the last.
    fn read(&mut self, ring: Ring) -> (usize, Timestamp) {
        let records = match ring {
            Ring::Deaths => self.deaths.get_mut(),
            _ => self.traffic.get_mut(),
        };
        let (mut count, mut last) = (0, Timestamp::default());
        while count < BATCH {
            let Some(record) = records.next() else { break };
            count += 1;
            match decode(&record, self.reading) {
                Ok(Decoded::Seen(observation)) => {
                    last = observation.at;
                    if let What::Exited(exit) = &observation.what {
                        self.tally.process_ended(exit.task.key.pid, observation.at);
                    }
                    self.batch.push(observation);
                }
                Ok(Decoded::Failed {
                    at,
                    by,
                    total,
                    mut failure,
                }) => {
                    last = at;
                    if let Some(count) = self.tally.told(&by, total, at) {
                        failure.count = count;
                        let what = What::ConnectFailed(Box::new(failure));
                        self.batch.push(Observation { at, what });
                    }
                }
                Ok(Decoded::Nothing { at }) => last = at,
                Err(decode::Malformed) => self.lost.malformed += 1,
            }
        }
        (count, last)
    }

    /// Looks at the kernel's counters whose last record may not have told everything.
    fn fetch_remainders(&mut self, now: Timestamp) {
        for due in self.tally.take_due(now) {
            self.fetch(&due.by);
            if due.free {
                self.loaded.free(&due.by);
                self.tally.freed(&due.by);
            }
        }
    }

    fn fetch(&mut self, by: &Counted) {
        let Some(counter) = self.loaded.count(by) else {
            return;
        };
        let at = Timestamp(counter.last_ns);
        if counter.total > 0
            && let Some(count) = self.tally.told(by, counter.total, at)
        {
            let mut failure = decode::failure_of(by, &counter.actor);
            failure.count = count;
            let what = What::ConnectFailed(Box::new(failure));
            self.batch.push(Observation { at, what });
        }
    }

    fn look_for_losses(&mut self, now: Timestamp) {
        if now.since(self.lost.looked) < LOST_EVERY {
            return;
        }
        self.lost.looked = now;
        let Loaded { tls, ebpf, .. } = &mut self.loaded;
        tls.look(ebpf, now);
        self.loaded.http.counted(now, &mut self.batch);
        add_up(&self.loaded.lost, &mut self.lost.full);
        let mut totals = self.lost.full;
        if now.since(self.lost.skips_looked) >= SKIPS_EVERY {
            self.lost.skips_looked = now;
            add_up(&self.loaded.again, &mut self.lost.made_good);
            let skipped = self.loaded.skipped();
            self.lost.skips.look(skipped, self.lost.made_good);
        }
        for (total, skips) in totals.iter_mut().zip(self.lost.skips.lost()) {
            *total += skips;
        }
        totals[lost::TRAFFIC as usize] += self.lost.malformed;
        let traffic_before = self.lost.told[lost::TRAFFIC as usize];
        for (at, ring) in [
            Ring::Deaths,
            Ring::Traffic,
            Ring::Connecting,
            Ring::Requests,
        ]
        .into_iter()
        .enumerate()
        {
            let count = totals[at].saturating_sub(self.lost.told[at]);
            if count > 0 {
                self.batch.push(Observation {
                    at: now,
                    what: What::Lost { ring, count },
                });
            }
        }
        self.lost.told = totals;
        if totals[lost::TRAFFIC as usize] > traffic_before {
            // The only record of a failed connect may be among the lost: its count is not.
            for by in self.loaded.counted() {
                self.fetch(&by);
            }
        }
    }
}

#[derive(Default)]
struct Losses {
    looked: Timestamp,
    told: Counts,
    /// Records that found no room.
    full: Counts,
    /// Bytes in a ring that were no record; told with the losses of `TRAFFIC`.
    malformed: u64,
    /// Events whose program the kernel skipped, and when that was looked at.
    skips: Skips,
    /// Those that second programs made good.
    made_good: Counts,
    skips_looked: Timestamp,
}

/// Counters of all processors. They are there as long as the programs are: what can't be read stays
/// as it was.
fn add_up(counters: &PerCpuArray<MapData, u64>, sums: &mut Counts) {
    for (index, sum) in (0u32..).zip(sums) {
        if let Ok(values) = counters.get(&index, 0) {
            *sum = values.iter().sum();
        }
    }
}

impl Loaded {
    /// Events whose program the kernel skipped, by what is lost with them.
    fn skipped(&self) -> Counts {
        let mut skipped = Counts::default();
        for (name, program) in self.ebpf.programs() {
            if let (Some(index), Ok(program)) = (skips::lost_by(name), program.fd()) {
                skipped[index as usize] += skips::of(program.as_fd());
            }
        }
        skipped
    }

    fn count(&self, by: &Counted) -> Option<tracer_common::record::Refusal> {
        let bytes = match by {
            Counted::Tcp(key) => self.refusals.get(&bytes_of(key)?, 0),
            Counted::Unix(key) => self.unix_refusals.get(&bytes_of(&**key)?, 0),
        };
        // Absent: freed already, or never counted.
        Some(decode::refusal(&bytes.ok()?))
    }

    fn free(&mut self, by: &Counted) {
        // Fails when it was never counted.
        let _ = match by {
            Counted::Tcp(key) => bytes_of(key).map(|key| self.refusals.remove(&key)),
            Counted::Unix(key) => bytes_of(&**key).map(|key| self.unix_refusals.remove(&key)),
        };
    }

    /// All that is counted.
    fn counted(&self) -> Vec<Counted> {
        let tcp = self.refusals.keys().flatten().filter_map(|key| {
            let key = RefusalKey::read_from_bytes(&key).ok()?;
            Some(Counted::Tcp(key))
        });
        let unix = self.unix_refusals.keys().flatten().filter_map(|key| {
            let key = UnixRefusalKey::read_from_bytes(&key).ok()?;
            Some(Counted::Unix(Box::new(key)))
        });
        tcp.chain(unix).collect()
    }
}

fn bytes_of<const N: usize>(key: &(impl IntoBytes + zerocopy::Immutable)) -> Option<[u8; N]> {
    key.as_bytes().try_into().ok()
}

/// CLOCK_BOOTTIME.
fn now() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ns = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    Timestamp(u64::try_from(ns).unwrap_or(0))
}
