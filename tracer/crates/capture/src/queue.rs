//! The queue between the tracer's thread and the writer's. Observations are encoded as soon as they
//! arrive and wait in memory. If the writer can't keep up, whole stretches are left out and counted;
//! the writer then records them as a gap.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracer_model::{Observation, Timestamp, What};

use super::block::{Builder, Built};
use super::checkpoint::Checkpoint;
use super::format::Header;

/// At most this many encoded bytes wait for the disk.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// Shared by both threads.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    current: Builder,
    full: VecDeque<Built>,
    queued_bytes: usize,
    urgent: bool,
    ended: bool,
    /// Observations that were left out since the writer last drained the queue.
    dropped: u64,
    header: Header,
    /// The header has changed since it was written.
    header_is_new: bool,
    checkpoint: Checkpoint,
    now: Timestamp,
}

/// What the writer drains at once.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) blocks: Vec<Built>,
    /// The recording is over: no more work follows.
    pub(super) ended: bool,
    /// Observations that were left out after `blocks`. If there are any, [`Work::known`] makes up for
    /// them.
    pub(super) dropped: u64,
    /// The header, if it has changed.
    pub(super) header: Option<Header>,
    /// All that is known after `blocks`, if the writer wanted it or something was left out.
    pub(super) known: Option<Vec<Observation>>,
    pub(super) now: Timestamp,
}

impl Queue {
    /// An empty queue of a recording with this header, which has been written already.
    pub(super) fn new(header: Header) -> Self {
        let state = State {
            header,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
        }
    }

    /// Adds an observation; an `urgent` one wakes the writer at once.
    pub(super) fn push(&self, observation: &Observation, urgent: bool) {
        if self.lock().push(observation, urgent) {
            self.wake.notify_one();
        }
    }

    /// Ends the recording: the writer writes what is left and stops.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.wake.notify_one();
    }

    /// Waits for work. As long as there is nothing at all to do, it waits up to `idle`, or without a
    /// limit. After that it waits for a full block, something urgent, or the end of `interval`.
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

    /// Removes and returns everything that waits. `with_known` adds all that is known now.
    pub(super) fn drain(&self, with_known: bool) -> Work {
        let mut state = self.lock();
        let mut blocks: Vec<Built> = state.full.drain(..).collect();
        if !state.current.is_empty() {
            blocks.push(state.current.finish());
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the writer should not wait any longer.
    fn is_pressing(&self) -> bool {
        self.urgent || self.ended || !self.full.is_empty() || self.header_is_new
    }

    /// Adds an observation; returns whether to wake the writer.
    fn push(&mut self, observation: &Observation, urgent: bool) -> bool {
        self.now = self.now.max(observation.at);
        self.checkpoint.observe(observation);
        if let What::Session(session) = &observation.what {
            self.header.machine = (**session).clone();
            self.header_is_new = true;
        }
        // Once something is left out, the writer must record the gap before anything else.
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
            let block = self.current.finish();
            self.queued_bytes += block.raw.len();
            self.full.push_back(block);
        }
        self.urgent |= urgent;
        first || full || urgent
    }
}
