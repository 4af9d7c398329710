//! Wires the stages together: kernel and observer → (capture,) analysis → a sink.
//!
//! Observations flow one way through it; [`Steering`] is the one way back. This is the only place
//! that reads the clock on behalf of analysis, and the only async code besides what waits for input
//! (`Kernel::readable`, `Observer::readable`).

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tracer_analysis::rules::Rules;
use tracer_analysis::{Analysis, Options};
use tracer_capture::{Notice, OutputError, Recorder, Setup, Summary};
use tracer_kernel::settings::Settings;
use tracer_kernel::{Kernel, StartError};
use tracer_model::{Finding, Observation, Timestamp, What};
use tracer_observe::{Observer, clock};

use crate::control::{Asked, Standing};
use crate::live::desk::Desk;
use crate::live::missing::Missing;
use crate::live::priority;
use crate::live::rehearsal;
use crate::live::residency;
use crate::live::steering::Steering;

/// How often memory is returned to the machine, if there was a storm.
const TIDY_EVERY: Duration = Duration::from_mins(1);
/// More observations than this in one round are a storm.
const CALM: usize = 256;

/// Takes findings; an error ends the trace.
pub type Emit<'a> = dyn FnMut(&Finding) -> io::Result<()> + 'a;

type Look = dyn FnMut(&Analysis, Timestamp);

type Tap = dyn FnMut(&Observation);

/// Looks at what analysis knows, at most once in `every`.
struct Viewer {
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
    /// From the rings; reused in each round.
    raw: Vec<Observation>,
    /// The same, with what the observer added.
    enriched: Vec<Observation>,
    findings: Vec<Finding>,
    steering: Steering,
    viewer: Option<Viewer>,
    tap: Option<Box<Tap>>,
    desk: Option<Desk>,
    standing: Standing,
    missing: Missing,
    tidy: Timestamp,
    /// Whether there was a storm since memory was returned last.
    storm: bool,
}

impl Live {
    /// Arms the hooks. What was running before is read by [`Self::run`]; events until then wait in the
    /// rings.
    ///
    /// # Errors
    ///
    /// When this machine does not allow the hooks that tracing needs; nothing stays attached.
    pub fn start(rules: Rules, settings: &Settings) -> Result<Self, StartError> {
        residency::share_heap();
        let kernel = Kernel::start(settings)?;
        let observer = Observer::new(kernel.hierarchy(), kernel.scope_from_kmsg())
            .with_logs(settings.show_query, rules.error_logs());
        let options = Options {
            all: settings.all,
            own_netns: tracer_observe::own_netns(),
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
            steering: Steering::new(settings.http),
            viewer: None,
            tap: None,
            desk: None,
            standing: Standing::default(),
            missing: Missing::default(),
            tidy: clock::now().after(TIDY_EVERY),
            storm: false,
        })
    }

    /// Records every observation that analysis gets: all of them, when called before [`Self::run`].
    ///
    /// # Errors
    ///
    /// When the target can't be written.
    pub fn record(
        &mut self,
        setup: &Setup,
        notice: impl FnMut(Notice) + Send + 'static,
    ) -> Result<(), OutputError> {
        let machine = tracer_observe::session(Vec::new(), Vec::new());
        let recorder = Recorder::start(setup, &self.rules, self.options, machine, notice)?;
        self.recorder = Some(recorder);
        Ok(())
    }

    /// Writes what is not written yet; None when the disk takes too long.
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
        self.show_viewer(clock::now());
        residency::give_back();
        rehearsal::play();
        residency::stay_resident();
        priority::go_first();
        let mut stop = pin!(stop);
        loop {
            let wait = self.until_due();
            tokio::select! {
                biased;
                () = &mut stop => break,
                ready = self.kernel.readable() => ready?,
                ready = self.observer.readable() => ready?,
                Some(asked) = next(&mut self.desk) => {
                    // Events that came before the request are reported before the answer.
                    self.round(emit)?;
                    self.answer(asked, emit)?;
                }
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

    /// Calls `tap` with every observation, before analysis gets it.
    pub fn tap(&mut self, tap: impl FnMut(&Observation) + 'static) {
        self.tap = Some(Box::new(tap));
    }

    /// Answers the requests that come to `desk` while the trace runs.
    pub fn serve(&mut self, desk: Desk) {
        self.desk = Some(desk);
    }

    /// Where requests can be sent to, if [`Self::serve`] was called.
    pub fn requests(&self) -> Option<mpsc::Sender<Asked>> {
        self.desk.as_ref().map(Desk::sender)
    }

    fn answer(&mut self, asked: Asked, emit: &mut Emit<'_>) -> io::Result<()> {
        if let Some(label) = asked.mark() {
            self.feed(What::Mark(label.into()), emit)?;
        }
        if let Some(desk) = &self.desk {
            desk.answer(asked, &self.standing, self.analysis.world());
        }
        Ok(())
    }

    /// Calls `look` with what analysis knows and the present: once when tracing has started, then at
    /// most once in `every`. It runs between observations and must not wait for anything.
    pub fn look_every(
        &mut self,
        every: Duration,
        look: impl FnMut(&Analysis, Timestamp) + 'static,
    ) {
        self.viewer = Some(Viewer {
            every,
            due: Timestamp::default(),
            look: Box::new(look),
        });
    }

    fn show_viewer(&mut self, now: Timestamp) {
        if let Some(viewer) = &mut self.viewer
            && viewer.due <= now
        {
            viewer.due = now.after(viewer.every);
            (viewer.look)(&self.analysis, now);
        }
    }

    /// Reads the rings until they are empty.
    fn catch_up(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        self.round(emit)?;
        while self.kernel.has_pending() {
            std::thread::sleep(self.kernel.next_due().unwrap_or_default());
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
        // All blind spots are known only after everything was tried.
        let mut blind = self.kernel.blind().to_vec();
        blind.extend(self.observer.blind());
        let session = tracer_observe::session(self.kernel.hooks().to_vec(), blind);
        self.feed(What::Session(Box::new(session)), emit)?;
        self.analyze(emit)?;
        self.steer(emit)?;
        // The scan needs room for every process; later rounds never need as much.
        self.enriched.shrink_to(CALM);
        self.feed(What::Armed, emit)
    }

    /// One round: everything that the rings have, and everything that is due.
    fn round(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        self.kernel.drain(&mut self.raw);
        let mut raw = std::mem::take(&mut self.raw);
        self.storm |= raw.len() > CALM;
        // One by one, so that a death is reported before the facts of the next event are read.
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
        if self.observer.clear_rescanned() {
            self.missing = Missing::look(self.analysis.world(), now);
        }
        for key in self.missing.drain_due(self.analysis.world(), now) {
            self.feed(What::Vanished(key), emit)?;
        }
        self.steer(emit)?;
        if self.tidy <= now {
            self.tidy = now.after(TIDY_EVERY);
            self.tidy_up();
        }
        if self.analysis.due().is_some_and(|due| due <= now) {
            self.feed(What::Tick, emit)?;
        }
        self.show_viewer(now);
        Ok(())
    }

    /// Returns the memory that a storm took.
    fn tidy_up(&mut self) {
        if std::mem::take(&mut self.storm) {
            self.raw.shrink_to(CALM);
            self.enriched.shrink_to(CALM);
            self.findings.shrink_to(CALM);
            self.kernel.shrink_to(CALM);
            residency::trim();
        }
    }

    /// Lets steering act on what analysis has found, and feeds back what it achieved.
    fn steer(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        let world = self.analysis.world();
        let achieved = self
            .steering
            .steer(world, &mut self.kernel, &mut self.observer);
        for what in achieved {
            self.feed(what, emit)?;
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
            if let Some(tap) = &mut self.tap {
                tap(&observation);
            }
            self.analysis.observe(&observation, &mut self.findings);
            for finding in self.findings.drain(..) {
                self.standing.finding(&finding);
                emit(&finding)?;
            }
        }
        Ok(())
    }

    /// How long the loop may sleep if no event comes.
    fn until_due(&self) -> Duration {
        /// An idle tracer still reads its counters of lost events.
        const IDLE: Duration = Duration::from_secs(1);
        let now = clock::now();
        let viewer = self.viewer.as_ref().map(|viewer| viewer.due);
        let missing = self.missing.due();
        [self.observer.due(), self.analysis.due(), viewer, missing]
            .into_iter()
            .flatten()
            .map(|due: Timestamp| due.since(now))
            .chain(self.kernel.next_due())
            .fold(IDLE, Duration::min)
    }
}

/// The next request; never resolves when there is no desk.
async fn next(desk: &mut Option<Desk>) -> Option<Asked> {
    match desk {
        Some(desk) => desk.next().await,
        None => std::future::pending().await,
    }
}
