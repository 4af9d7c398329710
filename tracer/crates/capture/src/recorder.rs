//! The tracer's side of a recording: takes observations and never waits for the disk. They are
//! encoded at once and wait in memory for the writer's thread; if that can't keep up, whole stretches
//! are left out, counted, and told of in the capture.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracer_analysis::Options;
use tracer_analysis::rules::Rules;
use tracer_model::{ExitStatus, Observation, Session, Timestamp, What};

use super::block::{Builder, Built};
use super::checkpoint::Checkpoint;
use super::format::{FLUSH_INTERVAL, Header};
use super::output::{Output, OutputError, Rotation, Target};
use super::writer::Writer;

/// So many encoded bytes may wait for the disk.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// So long is waited for the disk at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to record, and where to.
#[derive(Debug)]
pub struct Setup {
    /// Where to.
    pub target: Target,
    /// Bounds what it takes of the disk.
    pub rotation: Option<Rotation>,
    /// How long an observation may wait; [`FLUSH_INTERVAL`] unless a test is in a hurry.
    pub flush_interval: Duration,
}

impl Setup {
    /// To a target, without rotation.
    pub fn new(target: Target, rotation: Option<Rotation>) -> Self {
        Self {
            target,
            rotation,
            flush_interval: FLUSH_INTERVAL,
        }
    }
}

/// What a user should know at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Writing failed; it is tried again.
    Stopped {
        /// Why.
        why: String,
    },
    /// Writing works again.
    Resumed {
        /// Observations that are missing from the capture.
        lost: u64,
    },
    /// Whoever read the stream is gone: recording is over.
    Gone,
    /// Something less: a rotation that failed, a disk that does not sync.
    Trouble(String),
}

/// What a recording came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Observations that were written.
    pub observations: u64,
    /// Observations that could not be written.
    pub lost: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Files that were begun.
    pub files: u32,
}

/// A recording. Ends with [`Self::finish`]; dropped, it writes what it has.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    /// Until it was asked to end.
    summary: Option<Receiver<Summary>>,
}

/// Between the two threads.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

/// See [`Shared`].
#[derive(Debug, Default)]
pub(super) struct State {
    current: Builder,
    full: VecDeque<Built>,
    queued_bytes: usize,
    urgent: bool,
    ended: bool,
    /// Left out since the writer was last here.
    dropped: u64,
    header: Header,
    /// The header has changed since it was written.
    header_is_new: bool,
    checkpoint: Checkpoint,
    now: Timestamp,
}

/// What the writer takes at one time.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) blocks: Vec<Built>,
    pub(super) ended: bool,
    /// Left out after `blocks`; [`Work::known`] then follows them.
    pub(super) dropped: u64,
    /// When it has changed.
    pub(super) header: Option<Header>,
    /// All that is known after `blocks`, if it was asked for or something was left out.
    pub(super) known: Option<Vec<Observation>>,
    pub(super) now: Timestamp,
}

impl Recorder {
    /// Opens the target and writes the header. `notice` is called on another thread.
    pub fn start(
        setup: &Setup,
        rules: &Rules,
        options: Options,
        machine: Session,
        notice: impl FnMut(Notice) + Send + 'static,
    ) -> Result<Self, OutputError> {
        let header = Header {
            session: session_id(&machine, options.own_pid),
            file: 0,
            machine,
            rules: rules
                .source()
                .map(|(file, text)| (file.into(), text.into())),
            options,
        };
        let shared = Arc::new(Shared::default());
        shared.lock().header = header.clone();
        let output = Output::open(&setup.target, setup.rotation)?;
        let failed = |error: io::Error| OutputError::Open {
            path: setup.target.to_string(),
            error,
            hint: "",
        };
        let writer = Writer::begin(
            Arc::clone(&shared),
            output,
            header,
            setup.flush_interval,
            notice,
        )
        .map_err(failed)?;
        let (send, summary) = mpsc::channel();
        std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                // Nobody may be waiting any more.
                let _ = send.send(writer.run());
            })
            .map_err(failed)?;
        Ok(Self {
            shared,
            summary: Some(summary),
        })
    }

    /// Takes one more observation.
    pub fn record(&self, observation: &Observation) {
        let mut state = self.shared.lock();
        if state.take(observation) {
            self.shared.wake.notify_one();
        }
    }

    /// Writes what is left, and tells what it came to; None when that takes too long, as with a
    /// pipe that nobody reads.
    pub fn finish(mut self) -> Option<Summary> {
        self.end()
    }

    fn end(&mut self) -> Option<Summary> {
        let summary = self.summary.take()?;
        self.shared.lock().ended = true;
        self.shared.wake.notify_one();
        summary.recv_timeout(PATIENCE).ok()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do: while there is nothing at all without end or until `idle` has
    /// passed, else until there is a block, something urgent, or `interval` has passed.
    pub(super) fn wait(&self, interval: Duration, idle: Option<Duration>) {
        let state = self.lock();
        let nothing = |state: &mut State| {
            state.current.is_empty() && state.dropped == 0 && !state.is_pressing()
        };
        let state = match idle {
            None => self
                .wake
                .wait_while(state, nothing)
                .unwrap_or_else(PoisonError::into_inner),
            Some(idle) => {
                let waited = self.wake.wait_timeout_while(state, idle, nothing);
                let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    return;
                }
                state
            }
        };
        let _ = self
            .wake
            .wait_timeout_while(state, interval, |state| !state.is_pressing());
    }

    /// Everything that waits; with all that is known when `with_known`.
    pub(super) fn take(&self, with_known: bool) -> Work {
        let mut state = self.lock();
        let mut blocks: Vec<Built> = state.full.drain(..).collect();
        if !state.current.is_empty() {
            blocks.push(state.current.take());
        }
        state.queued_bytes = 0;
        let dropped = std::mem::take(&mut state.dropped);
        let known = (with_known || dropped > 0).then(|| state.checkpoint.observations(state.now));
        state.urgent = false;
        Work {
            blocks,
            ended: state.ended,
            dropped,
            header: std::mem::take(&mut state.header_is_new).then(|| state.header.clone()),
            known,
            now: state.now,
        }
    }
}

impl State {
    /// Whether the writer should not wait any longer.
    fn is_pressing(&self) -> bool {
        self.urgent || self.ended || !self.full.is_empty() || self.header_is_new
    }

    /// Whether the writer should be woken.
    fn take(&mut self, observation: &Observation) -> bool {
        self.now = self.now.max(observation.at);
        self.checkpoint.observe(observation);
        if let What::Session(session) = &observation.what {
            self.header.machine = (**session).clone();
            self.header_is_new = true;
        }
        // Once something is missing, the rest must wait for the writer to tell of it.
        if self.dropped > 0 || self.queued_bytes > MAX_QUEUED_BYTES {
            self.dropped += 1;
            return true;
        }
        let first = self.current.is_empty();
        if !self.current.push(observation) {
            self.dropped += 1;
            return true;
        }
        let full = self.current.is_full();
        if full {
            let block = self.current.take();
            self.queued_bytes += block.raw.len();
            self.full.push_back(block);
        }
        let urgent = is_urgent(&observation.what);
        self.urgent |= urgent;
        first || full || urgent
    }
}

/// Whether an observation should be on its way to the disk at once: the machine may be about to go
/// down for the same reason.
fn is_urgent(what: &What) -> bool {
    match what {
        What::Exited(exit) => exit.status != ExitStatus::Code(0),
        What::OomVictim(_)
        | What::OomReported(_)
        | What::ListenerDown { .. }
        | What::Armed
        | What::End => true,
        _ => false,
    }
}

/// Differs between any two recordings: by machine and boot, by time, by process.
fn session_id(machine: &Session, pid: u32) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (
        &machine.boot_id,
        machine.clock.boot,
        machine.clock.wall,
        pid,
    )
        .hash(&mut hasher);
    hasher.finish()
}
