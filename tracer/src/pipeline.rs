//! Wires the stages together: kernel and observer → (capture,) analysis → a sink. The only place where time
//! passes by itself, and the only async code besides `kernel::Kernel::readable`.

use std::io;
use std::pin::pin;
use std::time::Duration;

use crate::analyze::rules::Rules;
use crate::analyze::{Analysis, Options};
use crate::capture::{Notice, OutputError, Recorder, Setup, Summary};
use crate::kernel::{Kernel, StartError};
use crate::model::{Finding, Observation, Timestamp, What};
use crate::observe::{self, Observer, clock};

/// Takes findings; an error ends the trace.
pub type Emit<'a> = dyn FnMut(&Finding) -> io::Result<()> + 'a;

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
}

impl Live {
    /// Arms the hooks, then learns what was running before. Events in between wait in the rings.
    ///
    /// # Errors
    ///
    /// When the main job cannot be done on this machine; nothing stays attached.
    pub fn start(rules: Rules, all: bool) -> Result<Self, StartError> {
        let kernel = Kernel::start()?;
        let observer = Observer::new(kernel.hierarchy(), kernel.scope_from_kmsg());
        let options = Options {
            all,
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
        give_back_memory();
        let mut stop = pin!(stop);
        loop {
            let wait = self.until_due();
            tokio::select! {
                biased;
                () = &mut stop => break,
                ready = self.kernel.readable() => ready?,
                () = tokio::time::sleep(wait) => {}
            }
            self.round(emit)?;
        }
        self.catch_up(emit)?;
        self.kernel.settle();
        self.catch_up(emit)?;
        self.feed(What::End, emit)
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
        if self.analysis.due().is_some_and(|due| due <= now) {
            self.feed(What::Tick, emit)?;
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
        [self.observer.due(), self.analysis.due()]
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
