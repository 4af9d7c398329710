//! The running trace: waits for the ring buffers, and reads them into observations ordered by time.

use std::io;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracer_model::{Hierarchy, Hook, Observation, Pid, Ring, Timestamp, What};

use super::attach::{self, Armed};
use super::counter_key::CounterKey;
use super::decode::{self, DecodeOptions, Decoded, decode};
use super::error::StartError;
use super::facts::KernelFacts;
use super::http::Followed;
use super::oom_order;
use super::pace::{LINGER, Pace};
use super::plan::{Plan, Refusal, ScopeRung, plan};
use super::settings::Settings;
use super::tally::Tally;

/// Most records that one call of [`Kernel::drain`] reads from a ring.
const BATCH: usize = 8192;

/// The attached hooks. Dropping this detaches them.
pub struct Kernel {
    armed: Armed,
    deaths: AsyncFd<RingBuf<MapData>>,
    traffic: AsyncFd<RingBuf<MapData>>,
    cgroups: Hierarchy,
    options: DecodeOptions,
    tally: Tally,
    /// Observations newer than the moment up to which everything was read.
    held: Vec<Observation>,
    /// Whether they are held because an OOM victim may be observed late. Draining again at once
    /// would be of no use.
    awaits_oom_victim: bool,
    /// Room for sorting, kept between calls.
    batch: Vec<Observation>,
    pace: Pace,
}

impl Kernel {
    /// Looks at the machine, decides what to attach, and attaches it. Needs a tokio runtime with I/O.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let (facts, layout) = KernelFacts::gather();
        let plan = plan(&facts)?;
        let layout = layout.ok_or_else(|| Refusal {
            what: "the kernel's type information (BTF) cannot be used".into(),
            advice: "see `tracer doctor`".into(),
        })?;
        Self::start_as(&plan, &layout, settings)
    }

    fn start_as(
        plan: &Plan,
        layout: &tracer_common::Layout,
        settings: &Settings,
    ) -> Result<Self, StartError> {
        let (armed, rings) = attach::attach(plan, layout, settings.http)?;
        let wait = |ring| {
            // SAFETY: the ring buffer owns the map's descriptor, which stays open and the same until
            // it is dropped.
            unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
                .map_err(|error| StartError::Wait(error.into()))
        };
        Ok(Self {
            armed,
            deaths: wait(rings.deaths)?,
            traffic: wait(rings.traffic)?,
            cgroups: plan.cgroups,
            options: DecodeOptions {
                page_bytes: rustix::param::page_size() as u64,
                show_query: settings.show_query,
            },
            tally: Tally::default(),
            held: Vec::new(),
            awaits_oom_victim: false,
            batch: Vec::new(),
            pace: Pace::default(),
        })
    }

    /// How each hook is attached, or why it is not.
    pub fn hooks(&self) -> &[Hook] {
        &self.armed.hooks
    }

    /// What cannot be seen, in words.
    pub fn blind(&self) -> &[String] {
        &self.armed.blind
    }

    /// The hierarchy whose ids are in [`tracer_model::TaskFacts::cgroup`].
    pub fn hierarchy(&self) -> Hierarchy {
        self.cgroups
    }

    /// Whether the scope of OOM kills has to be read from the kernel log.
    pub fn scope_from_kmsg(&self) -> bool {
        self.armed.scope == ScopeRung::KernelLog
    }

    /// Follows the requests of these proxies, and of nobody else.
    pub fn follow(&mut self, wanted: Followed) {
        let Armed {
            http, tls, ebpf, ..
        } = &mut self.armed;
        if http.is_off() {
            return;
        }
        // Also for proxies followed before: they may have mapped a TLS library since.
        tls.follow(ebpf, &wanted.pids, now());
        http.follow(ebpf, wanted);
    }

    /// Whether what this process sends and receives inside TLS is followed.
    pub fn follows_tls(&self, pid: Pid) -> bool {
        self.armed.tls.covers(pid)
    }

    /// Returns whether a TLS library was found, since the last call, at a proxy that had none when
    /// [`Self::follow`] looked.
    pub fn clear_tls_changed(&mut self) -> bool {
        self.armed.tls.clear_changed()
    }

    /// The hook on TLS libraries; None while no proxy has one mapped.
    pub fn tls_hook(&self) -> Option<Hook> {
        self.armed.tls.hook()
    }

    /// Whether the requests of a proxy's process are followed.
    pub fn follows(&self, pid: Pid) -> bool {
        self.armed.http.covers(pid)
    }

    /// The hook on requests; None while there is no proxy to follow.
    pub fn http_hook(&self) -> Option<Hook> {
        self.armed.http.hook()
    }

    /// Returns when [`Self::drain`] may find something. Some records are sent without a wake-up: to
    /// find those, drain after [`Self::next_due`] too.
    pub async fn readable(&mut self) -> io::Result<()> {
        tokio::select! {
            ready = self.deaths.readable() => ready?.clear_ready(),
            ready = self.traffic.readable() => ready?.clear_ready(),
        }
        Ok(())
    }

    /// Whether observations are held back: call [`Self::drain`] again after [`Self::next_due`].
    pub fn has_pending(&self) -> bool {
        !self.held.is_empty()
    }

    /// The longest time to wait before draining again.
    pub fn next_due(&self) -> Option<Duration> {
        if self.awaits_oom_victim {
            return Some(Duration::from_millis(1));
        }
        if self.has_pending() {
            return Some(Duration::ZERO);
        }
        let timer = self.pace.next();
        let counter = self.tally.next_due().map(|due| due.since(now()));
        Some(counter.map_or(timer, |due| due.clamp(LINGER, timer.max(LINGER))))
    }

    /// Reads both rings up to now, and appends observations ordered by time. What is newer than the
    /// beginning of the call is held for the next one, so that neither ring gets ahead of the
    /// other. Also held, for 20 ms, is what follows an exit that may be an OOM victim's.
    ///
    /// Two kinds of observations may be older than those of the previous call: the remainder of a
    /// storm of failed connects, which comes about 25 ms after its last failure and has that
    /// failure's time, and a record that its hook was still writing.
    pub fn drain(&mut self, out: &mut Vec<Observation>) {
        #[cfg(feature = "kernel-log")]
        self.armed.log.flush();
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
            // If this fails, the programs wake the reader more often than needed.
            let _ = self.armed.attentive.set(0, until.0, 0);
        }
        self.read_due_counters(began);
        self.look_now_and_then(began);

        let waiting = oom_order::restore(&mut self.batch, began);
        let before = |exit: Timestamp| Timestamp(exit.0.saturating_sub(1));
        self.awaits_oom_victim = waiting.is_some_and(|exit| before(exit) < upto);
        upto = waiting.map_or(upto, |exit| upto.min(before(exit)));
        self.batch.sort_by_key(|observation| observation.at);
        let newer = self
            .batch
            .partition_point(|observation| observation.at <= upto);
        self.held.extend(self.batch.drain(newer..));
        out.append(&mut self.batch);
    }

    /// Keeps room for this many observations, and frees the rest.
    pub fn shrink_to(&mut self, room: usize) {
        self.batch.shrink_to(room);
        self.held.shrink_to(room);
    }

    /// Reads all counters, due or not; to be called before the last [`Self::drain`].
    pub fn settle(&mut self) {
        for key in self.armed.connect_counters.keys() {
            self.read_counter(&key);
        }
        self.armed.losses.settle(&self.armed.ebpf);
    }

    /// Reads up to [`BATCH`] records; returns their number and the time of the last.
    fn read(&mut self, ring: Ring) -> (usize, Timestamp) {
        let records = match ring {
            Ring::Deaths => self.deaths.get_mut(),
            _ => self.traffic.get_mut(),
        };
        let (mut count, mut last) = (0, Timestamp::default());
        while count < BATCH {
            let Some(record) = records.next() else { break };
            count += 1;
            match decode(&record, self.options) {
                Ok(Decoded::Observed(observation)) => {
                    last = observation.at;
                    if let What::Exited(exit) = &observation.what {
                        self.tally.process_exited(exit.task.key.pid, observation.at);
                    }
                    self.batch.push(observation);
                }
                Ok(Decoded::ConnectFailed {
                    at,
                    counter,
                    total,
                    mut failure,
                }) => {
                    last = at;
                    if let Some(count) = self.tally.update(&counter, total, at) {
                        failure.count = count;
                        let what = What::ConnectFailed(Box::new(failure));
                        self.batch.push(Observation { at, what });
                    }
                }
                Ok(Decoded::NotHttp { at }) => last = at,
                Err(decode::Malformed) => self.armed.losses.count_malformed(),
            }
        }
        (count, last)
    }

    /// Reads the counters that may have grown since their last record.
    fn read_due_counters(&mut self, now: Timestamp) {
        for due in self.tally.drain_due(now) {
            self.read_counter(&due.key);
            if due.free {
                self.armed.connect_counters.free(&due.key);
                self.tally.freed(&due.key);
            }
        }
    }

    fn read_counter(&mut self, key: &CounterKey) {
        let Some(counter) = self.armed.connect_counters.get(key) else {
            return;
        };
        let at = Timestamp(counter.last_ns);
        if counter.total > 0
            && let Some(count) = self.tally.update(key, counter.total, at)
        {
            let mut failure = decode::failure_of(key, &counter.actor);
            failure.count = count;
            let what = What::ConnectFailed(Box::new(failure));
            self.batch.push(Observation { at, what });
        }
    }

    /// Looks for lost events, requests that were only counted, and TLS libraries, now and then.
    fn look_now_and_then(&mut self, now: Timestamp) {
        let Armed {
            ebpf,
            http,
            tls,
            losses,
            ..
        } = &mut self.armed;
        if !losses.is_due(now) {
            return;
        }
        tls.look(ebpf, now);
        http.append_counted(now, &mut self.batch);
        if losses.look(ebpf, now, &mut self.batch) {
            // The only record of a failed connect may be lost, but its counter is not.
            for key in self.armed.connect_counters.keys() {
                self.read_counter(&key);
            }
        }
    }
}

/// CLOCK_BOOTTIME.
fn now() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ns = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    Timestamp(u64::try_from(ns).unwrap_or(0))
}
