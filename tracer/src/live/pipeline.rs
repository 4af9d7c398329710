//! Wires the stages together: kernel and observer → (capture,) analysis → a sink. The only place where time
//! passes by itself, and the only async code besides `kernel::Kernel::readable`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tracer_analysis::rules::Rules;
use tracer_analysis::{Analysis, Options};
use tracer_capture::{Notice, OutputError, Recorder, Setup, Summary};
use tracer_kernel::settings::{HttpMode, Settings};
use tracer_kernel::{Followed, Kernel, StartError};
use tracer_model::{Finding, Hook, Observation, Pid, ProcessKey, Timestamp, What, Witnesses};
use tracer_observe::{self, Observer, clock};

use crate::control::{Answer, Asked, Request, Standing, Status, protocol};
use crate::live::missing::Missing;
use crate::live::priority;
use crate::live::rehearsal;
use crate::live::residency;

/// How often memory is given back, if there was a storm.
const TIDY_EVERY: Duration = Duration::from_mins(1);
/// Observations in one turn that are no storm yet.
const CALM: usize = 256;

/// Takes findings; an error ends the trace.
pub type Emit<'a> = dyn FnMut(&Finding) -> io::Result<()> + 'a;

type Look = dyn FnMut(&Analysis, Timestamp);

type Witness = dyn FnMut(&Observation);

/// What a tracer says of itself that its findings don't.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// `watch`, `record` …
    pub command: &'static str,
    /// Where it records to.
    pub recording: Option<String>,
}

/// What is asked of it while it runs.
struct Desk {
    about: About,
    /// Kept, so that the queue never looks closed.
    sender: mpsc::Sender<Asked>,
    asked: mpsc::Receiver<Asked>,
}

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
    witness: Option<Box<Witness>>,
    desk: Option<Desk>,
    standing: Standing,
    missing: Missing,
    tidy: Timestamp,
    /// Whether there was one since memory was given back last.
    storm: bool,
}

impl Live {
    /// Arms the hooks, then learns what was running before. Events in between wait in the rings.
    ///
    /// # Errors
    ///
    /// When the main job cannot be done on this machine; nothing stays attached.
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
            http: settings.http,
            proxies_seen: None,
            witnesses: BTreeMap::new(),
            http_hooks: [None, None],
            onlooker: None,
            witness: None,
            desk: None,
            standing: Standing::default(),
            missing: Missing::default(),
            tidy: clock::now().after(TIDY_EVERY),
            storm: false,
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
        let machine = tracer_observe::session(Vec::new(), Vec::new());
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
                    // What had happened before it was asked is told before.
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

    /// Shows `witness` every observation before anything is concluded from it.
    pub fn witness(&mut self, witness: impl FnMut(&Observation) + 'static) {
        self.witness = Some(Box::new(witness));
    }

    /// Answers what comes through `asked`; `sender` is the other end.
    pub fn listen(
        &mut self,
        about: About,
        sender: mpsc::Sender<Asked>,
        asked: mpsc::Receiver<Asked>,
    ) {
        self.desk = Some(Desk {
            about,
            sender,
            asked,
        });
    }

    /// The end of the queue where it can be asked, if it listens.
    pub fn ask(&self) -> Option<mpsc::Sender<Asked>> {
        self.desk.as_ref().map(|desk| desk.sender.clone())
    }

    fn answer(&mut self, asked: Asked, emit: &mut Emit<'_>) -> io::Result<()> {
        let about = self.desk.as_ref().map(|desk| desk.about.clone());
        let About { command, recording } = about.unwrap_or_default();
        let (pid, command) = (std::process::id(), command.to_owned());
        let answer = match asked.request {
            Request::Mark { label } => {
                let label = protocol::clean_label(&label).unwrap_or_default();
                self.feed(What::Mark(label.into()), emit)?;
                Answer::Marked { pid, command }
            }
            Request::Status => {
                let services = self.analysis.world().services(pid).len();
                Answer::Status(Box::new(Status {
                    pid,
                    command,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    recording,
                    services,
                    ..self.standing.status()
                }))
            }
        };
        // Who asked may be gone.
        let _ = asked.answer.send(answer);
        Ok(())
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
        // What can't be seen is known only once everything was tried.
        let mut blind = self.kernel.blind().to_vec();
        blind.extend(self.observer.blind());
        let session = tracer_observe::session(self.kernel.hooks().to_vec(), blind);
        self.feed(What::Session(Box::new(session)), emit)?;
        self.analyze(emit)?;
        self.follow_proxies(emit)?;
        // Never again are there as many at once: it is memory for each process there is.
        self.enriched.shrink_to(CALM);
        self.feed(What::Armed, emit)
    }

    /// One turn: whatever the rings and the timers have.
    fn round(&mut self, emit: &mut Emit<'_>) -> io::Result<()> {
        self.kernel.drain(&mut self.raw);
        let mut raw = std::mem::take(&mut self.raw);
        self.storm |= raw.len() > CALM;
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
        if self.observer.take_rescanned() {
            self.missing = Missing::look(self.analysis.world(), now);
        }
        for key in self.missing.take_due(self.analysis.world(), now) {
            self.feed(What::Vanished(key), emit)?;
        }
        if self.observer.take_logged_changed() | self.kernel.clear_tls_changed() {
            self.proxies_seen = None;
        }
        self.follow_proxies(emit)?;
        if self.tidy <= now {
            self.tidy = now.after(TIDY_EVERY);
            self.tidy_up();
        }
        if self.analysis.due().is_some_and(|due| due <= now) {
            self.feed(What::Tick, emit)?;
        }
        self.let_look(now);
        Ok(())
    }

    /// After a storm: what it took is given back.
    fn tidy_up(&mut self) {
        if std::mem::take(&mut self.storm) {
            self.raw.shrink_to(CALM);
            self.enriched.shrink_to(CALM);
            self.findings.shrink_to(CALM);
            self.kernel.shrink_to(CALM);
            residency::trim();
        }
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
        self.kernel.clear_tls_changed();
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
            if let Some(witness) = &mut self.witness {
                witness(&observation);
            }
            self.analysis.observe(&observation, &mut self.findings);
            for finding in self.findings.drain(..) {
                self.standing.finding(&finding);
                emit(&finding)?;
            }
        }
        Ok(())
    }

    /// How long nothing needs to be done unless the rings have something.
    fn until_due(&self) -> Duration {
        /// An idle tracer still looks at its drop counters now and then.
        const IDLE: Duration = Duration::from_secs(1);
        let now = clock::now();
        let onlooker = self.onlooker.as_ref().map(|onlooker| onlooker.due);
        let missing = self.missing.due();
        [self.observer.due(), self.analysis.due(), onlooker, missing]
            .into_iter()
            .flatten()
            .map(|due: Timestamp| due.since(now))
            .chain(self.kernel.next_due())
            .fold(IDLE, Duration::min)
    }
}

/// The next request; never resolves when nobody can ask.
async fn next(desk: &mut Option<Desk>) -> Option<Asked> {
    match desk {
        Some(desk) => desk.asked.recv().await,
        None => std::future::pending().await,
    }
}
