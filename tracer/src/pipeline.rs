//! Wires the stages together: kernel and observer → (capture,) analysis → a sink. The only place where time
//! passes by itself, and the only async code besides `kernel::Kernel::readable`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::pin;
use std::time::Duration;

use crate::analyze::rules::Rules;
use crate::analyze::{Analysis, Options};
use crate::capture::{Notice, OutputError, Recorder, Setup, Summary};
use crate::kernel::{Followed, Kernel, StartError};
use crate::model::{Finding, Hook, Observation, Pid, ProcessKey, Timestamp, What, Witnesses};
use crate::observe::{self, Observer, clock};
use crate::settings::{HttpMode, Settings};

/// Takes findings; an error ends the trace.
pub type Emit<'a> = dyn FnMut(&Finding) -> io::Result<()> + 'a;

type Look = dyn FnMut(&Analysis, Timestamp);

/// Somebody who looks at what analysis knows, now and then.
struct Onlooker {
    every: Duration,
    due: Timestamp,
    look: Box<Look>,
}

/// A trace of the running machine.
pub struct Live {
    kernel: Kernel,
    observer: Observer,
    rules: Rules,
    options: Options,
    recorder: Option<Recorder>,
    analysis: Analysis,
    /// From the rings, reused from round to round.
    raw: Vec<Observation>,
    /// The same with what `observe` added.
    enriched: Vec<Observation>,
    findings: Vec<Finding>,
    http: HttpMode,
    /// The world's version of the proxies that were looked at last.
    proxies_seen: Option<u64>,
    /// What was told of each proxy's process.
    witnesses: BTreeMap<ProcessKey, Witnesses>,
    /// What follows requests in plaintext and in TLS, as it was told last.
    http_hooks: [Option<Hook>; 2],
    onlooker: Option<Onlooker>,
}

impl Live {
    /// Arms the hooks, then learns what was running before. Events in between wait in the rings.
    ///
    /// # Errors
    ///
    /// When the main job cannot be done on this machine; nothing stays attached.
    pub fn start(rules: Rules, settings: &Settings) -> Result<Self, StartError> {
        let kernel = Kernel::start(settings)?;
        let observer = Observer::new(kernel.hierarchy(), kernel.scope_from_kmsg())
            .with_logs(settings.show_query, rules.error_logs());
        let options = Options {
            all: settings.all,
            own_netns: observe::own_netns(),
            own_pid: std::process::id(),
        };
        Ok(Self {
            kernel,
            observer,
            analysis: Analysis::new(rules.clone(), options),
            rules,
            options,
            recorder: None,
            raw: Vec::new(),
            enriched: Vec::new(),
            findings: Vec::new(),
            http: settings.http,
            proxies_seen: None,
            witnesses: BTreeMap::new(),
            http_hooks: [None, None],
            onlooker: None,
        })
    }

    /// Records all that analysis is fed, from the first observation on if called before
    /// [`Self::run`].
    ///
    /// # Errors
    ///
    /// When it can't be recorded there.
    pub fn record(
        &mut self,
        setup: &Setup,
        notice: impl FnMut(Notice) + Send + 'static,
    ) -> Result<(), OutputError> {
        let machine = observe::session(Vec::new(), Vec::new());
        let recorder = Recorder::start(setup, &self.rules, self.options, machine, notice)?;
        self.recorder = Some(recorder);
        Ok(())
    }

    /// Writes what is left to record; None when the disk takes too long.
    pub fn finish_recording(&mut self) -> Option<Summary> {
        self.recorder.take().and_then(Recorder::finish)
    }

    /// Scans, emits `start`, then traces until `stop` resolves; at the end drains the rings and
    /// emits `end`.
    ///
    /// # Errors
    ///
    /// Those of `emit` (and of waiting for the rings, which ends the trace as well).
    pub async fn run(
        &mut self,
        stop: impl Future<Output = ()>,
        emit: &mut Emit<'_>,
    ) -> io::Result<()> {
        self.scan(emit)?;
        self.let_look(clock::now());
        give_back_memory();
        let mut stop = pin!(stop);
        loop {
            let wait = self.until_due();
            tokio::select! {
                biased;
                () = &mut stop => break,
                ready = self.kernel.readable() => ready?,
                ready = self.observer.readable() => ready?,
                () = tokio::time::sleep(wait) => {}
            }
            self.round(emit)?;
        }
        self.catch_up(emit)?;
        self.kernel.settle();
        self.catch_up(emit)?;
        self.observer.read_logs(&mut self.enriched);
        self.analyze(emit)?;
        self.feed(What::End, emit)
    }

    /// Lets `look` see what analysis knows, once it is live and then at most once in that time; it
    /// is told the present. It runs between observations and must not wait for anything.
    pub fn look_every(
        &mut self,
        every: Duration,
        look: impl FnMut(&Analysis, Timestamp) + 'static,
    ) {
        self.onlooker = Some(Onlooker {
            every,
            due: Timestamp::default(),
            look: Box::new(look),
        });
    }

    fn let_look(&mut self, now: Timestamp) {
        if let Some(onlooker) = &mut self.onlooker
            && onlooker.due <= now
        {
            onlooker.due = now.after(onlooker.every);
            (onlooker.look)(&self.analysis, now);
        }
    }

    /// Takes what the rings have until they are empty.
    fn catch_up(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        self.round(emit)?;
        while self.kernel.has_pending() {
            self.round(emit)?;
        }
        Ok(())
    }

    /// What analysis knows.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    fn scan(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        self.observer.scan(&mut self.enriched);
        // What can't be seen is known only once everything was tried.
        let mut blind = self.kernel.blind().to_vec();
        blind.extend(self.observer.blind());
        let session = observe::session(self.kernel.hooks().to_vec(), blind);
        self.feed(What::Session(Box::new(session)), emit)?;
        self.analyze(emit)?;
        self.follow_proxies(emit)?;
        self.feed(What::Armed, emit)
    }

    /// One turn: whatever the rings and the timers have.
    fn round(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        self.kernel.drain(&mut self.raw);
        let mut raw = std::mem::take(&mut self.raw);
        // One by one, so that a death is written before the next event's facts are read.
        for observation in raw.drain(..) {
            let lost = matches!(observation.what, What::Lost { .. });
            self.observer.enrich(observation, &mut self.enriched);
            if lost {
                self.observer.resync(&mut self.enriched);
            }
            self.analyze(emit)?;
        }
        self.raw = raw;
        let now = clock::now();
        if self.observer.due().is_some_and(|due| due <= now) {
            self.observer.run_due(now, &mut self.enriched);
            self.analyze(emit)?;
        }
        if self.observer.take_logged_changed() | self.kernel.take_tls_changed() {
            self.proxies_seen = None;
        }
        self.follow_proxies(emit)?;
        if self.analysis.due().is_some_and(|due| due <= now) {
            self.feed(What::Tick, emit)?;
        }
        self.let_look(now);
        Ok(())
    }

    /// Sees to it that the requests of the proxies that run are followed, and tells by whom.
    fn follow_proxies(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        let world = self.analysis.world();
        let version = Some(world.proxies_version());
        if self.proxies_seen == version {
            return Ok(());
        }
        self.proxies_seen = version;
        let proxies = world.proxies();
        self.observer.follow_logs(&proxies);
        let pids: BTreeSet<Pid> = proxies.iter().map(|proxy| proxy.key.pid).collect();
        let cgroups = match self.http {
            HttpMode::All => self.observer.cgroups_of(None),
            _ => self.observer.cgroups_of(Some(&pids)),
        };
        self.kernel.follow(Followed {
            pids,
            ports: world.proxy_ports(),
            cgroups,
        });
        // Told below already.
        self.kernel.take_tls_changed();
        let hooks = [self.kernel.http_hook(), self.kernel.tls_hook()];
        for (hook, before) in hooks.iter().zip(self.http_hooks.clone()) {
            if let Some(hook) = hook
                && Some(hook) != before.as_ref()
            {
                self.feed(What::Hook(Box::new(hook.clone())), emit)?;
            }
        }
        self.http_hooks = hooks;
        let mut before = std::mem::take(&mut self.witnesses);
        for proxy in proxies {
            let witnesses = Witnesses {
                proxy: proxy.key,
                http: self.kernel.follows(proxy.key.pid),
                tls: self.kernel.follows_tls(proxy.key.pid),
                log: self.observer.logged(proxy.key),
            };
            if before.remove(&proxy.key) != Some(witnesses) {
                self.feed(What::Witnesses(witnesses), emit)?;
            }
            self.witnesses.insert(proxy.key, witnesses);
        }
        Ok(())
    }

    fn feed(&mut self, what: What, emit: &mut Emit<'_>) -> io::Result<()> {
        let at = clock::now();
        self.enriched.push(Observation { at, what });
        self.analyze(emit)
    }

    fn analyze(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        for observation in self.enriched.drain(..) {
            if let Some(recorder) = &self.recorder {
                recorder.record(&observation);
            }
            self.analysis.observe(&observation, &mut self.findings);
            for finding in self.findings.drain(..) {
                emit(&finding)?;
            }
        }
        Ok(())
    }

    /// How long nothing needs to be done unless the rings have something.
    fn until_due(&self) -> Duration {
        /// An idle tracer still looks at its drop counters now and then.
        const IDLE: Duration = Duration::from_secs(1);
        if self.kernel.has_pending() {
            return Duration::ZERO;
        }
        let now = clock::now();
        let onlooker = self.onlooker.as_ref().map(|onlooker| onlooker.due);
        [self.observer.due(), self.analysis.due(), onlooker]
            .into_iter()
            .flatten()
            .map(|due: Timestamp| due.since(now))
            .chain(self.kernel.next_due())
            .fold(IDLE, Duration::min)
    }
}

/// Start-up reads megabytes (the kernel's types, /proc) that nothing needs afterwards; what was
/// freed of them goes back to the machine, which may be a small one.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases free memory of the allocator only; no pointer in use is affected.
    unsafe {
        libc::malloc_trim(0);
    }
}
