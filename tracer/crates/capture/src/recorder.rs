//! The tracer's side of a recording: accepts observations and never waits for the disk. The thread of
//! the writer does that, at the other end of a queue.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use tracer_analysis::Options;
use tracer_analysis::rules::Rules;
use tracer_model::{ExitStatus, Observation, Session, What};

use super::format::{FLUSH_INTERVAL, Header};
use super::output::{Output, OutputError, Rotation, Target};
use super::progress::{Notice, Summary};
use super::queue::Queue;
use super::writer::Writer;

/// At the end of a recording, the disk has this long to accept what is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to record to, and how.
#[derive(Debug)]
pub struct Setup {
    /// The file or stream to write.
    pub target: Target,
    /// Limits the disk space; without it, one file grows without limit.
    pub rotation: Option<Rotation>,
    /// An observation is written at most this long after it was recorded; [`FLUSH_INTERVAL`] except
    /// in tests.
    pub flush_interval: Duration,
}

impl Setup {
    /// Records to `target` with the usual flush interval.
    pub fn new(target: Target, rotation: Option<Rotation>) -> Self {
        Self {
            target,
            rotation,
            flush_interval: FLUSH_INTERVAL,
        }
    }
}

/// A recording in progress. [`Self::finish`] ends it; so does dropping it, which also writes what is
/// left.
#[derive(Debug)]
pub struct Recorder {
    queue: Arc<Queue>,
    /// `None` once the recording was ended.
    summary: Option<Receiver<Summary>>,
}

impl Recorder {
    /// Opens the target and writes the header. `notice` is called on the writer's thread.
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
        let queue = Arc::new(Queue::new(header.clone()));
        let output = Output::open(&setup.target, setup.rotation)?;
        let failed = |error: io::Error| OutputError::Open {
            path: setup.target.to_string(),
            error,
            hint: "",
        };
        let writer = Writer::begin(
            Arc::clone(&queue),
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
                // The receiver may have given up waiting.
                let _ = send.send(writer.run());
            })
            .map_err(failed)?;
        Ok(Self {
            queue,
            summary: Some(summary),
        })
    }

    /// Records one more observation.
    pub fn record(&self, observation: &Observation) {
        self.queue.push(observation, is_urgent(&observation.what));
    }

    /// Writes what is left and returns what the recording amounted to. `None` if that takes too long,
    /// as with a pipe that nobody reads.
    pub fn finish(mut self) -> Option<Summary> {
        self.end()
    }

    fn end(&mut self) -> Option<Summary> {
        let summary = self.summary.take()?;
        self.queue.end();
        summary.recv_timeout(PATIENCE).ok()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether an observation must be written at once, because the machine may be about to go down for the
/// same reason.
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

/// A number that differs between any two recordings: by machine, boot, time or process.
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
