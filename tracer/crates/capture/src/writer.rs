//! The recording's own thread: compresses, writes, syncs, rotates, and survives a full disk.
//!
//! `kill -9` costs what still waits in memory: at most a flush interval, or a block. A power cut costs
//! what was not synced, at most one flush interval more. An urgent observation (a death) is written at
//! once, and synced at once unless there was a sync within the interval.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use tracer_model::{Observation, Timestamp};

use super::block::build;
use super::format::{Gap, Header};
use super::frame::{Framer, Kind};
use super::output::Output;
use super::progress::{Notice, Summary};
use super::queue::{Queue, Work};
use super::wire::{self, Wire as _};

/// Writes one recording.
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags are independent of each other"
)]
pub(super) struct Writer<N> {
    queue: Arc<Queue>,
    output: Output,
    framer: Framer,
    header: Header,
    interval: Duration,
    notice: N,
    summary: Summary,
    /// Frames that are written together; the buffer is reused.
    frames: Vec<u8>,
    synced: Instant,
    unsynced: bool,
    /// The number that follows that of the last frame in the file.
    sequence: u32,
    sync_works: bool,
    rotation_works: bool,
    stopped: Option<Stopped>,
    gone: bool,
}

/// Writing has failed and is retried.
struct Stopped {
    why: String,
    lost: u64,
    retry: Instant,
}

impl<N: FnMut(Notice)> Writer<N> {
    /// Starts a recording by writing its header.
    pub(super) fn begin(
        queue: Arc<Queue>,
        output: Output,
        header: Header,
        interval: Duration,
        notice: N,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let mut writer = Self {
            queue,
            output,
            framer: Framer::new()?,
            header,
            interval,
            notice,
            summary: Summary {
                files: 1,
                ..Summary::default()
            },
            frames: Vec::new(),
            synced: now,
            unsynced: true,
            sequence: 0,
            sync_works: true,
            rotation_works: true,
            stopped: None,
            gone: false,
        };
        writer.add_header();
        writer.write()?;
        Ok(writer)
    }

    /// Writes until the recording ends.
    pub(super) fn run(mut self) -> Summary {
        loop {
            self.queue.wait(self.interval, self.idle());
            let full = self.output.is_full();
            let retry = self
                .stopped
                .as_ref()
                .is_some_and(|stopped| stopped.retry <= Instant::now());
            let work = self.queue.drain(full || retry);
            let ended = work.ended;
            self.work(work, full, retry || ended);
            self.sync(ended);
            if ended {
                break;
            }
        }
        if let Some(stopped) = self.stopped.take() {
            self.summary.lost += stopped.lost;
        }
        self.summary.bytes = self.output.written();
        self.summary
    }

    fn work(&mut self, work: Work, full: bool, retry: bool) {
        if let Some(machine) = work.header.map(|header| header.machine) {
            self.header.machine = machine;
            self.add_header();
        }
        let mut left: u64 = work.blocks.iter().map(|block| block.observations).sum();
        if self.gone {
            self.summary.lost += left + work.dropped;
            self.discard();
            return;
        }
        if let Some(stopped) = &mut self.stopped {
            // What was observed meanwhile is lost. The checkpoint after the gap makes up for it.
            stopped.lost += left + work.dropped;
            self.discard();
            if retry {
                let known = work.known.unwrap_or_default();
                self.resume(work.now, &known);
            }
            return;
        }
        for block in &work.blocks {
            self.framer
                .frame(Kind::Events, &block.raw, &mut self.frames);
            // One block at a time, so that a full queue is never in memory twice.
            if let Err(error) = self.write() {
                self.stop(&error, left + work.dropped);
                return;
            }
            self.summary.observations += block.observations;
            left -= block.observations;
        }
        // There may have been only a header to write.
        if let Err(error) = self.write() {
            self.stop(&error, work.dropped);
            return;
        }
        let known = work.known.unwrap_or_default();
        if full {
            self.rotate(&known);
        }
        if work.dropped > 0 {
            let why = "the disk was too slow, or they were too large";
            self.add_gap(work.now, work.dropped, why, &known);
            self.summary.lost += work.dropped;
            if let Err(error) = self.write() {
                self.stop(&error, 0);
            }
        }
    }

    /// Writes the frames that were made. After an error none of them is in the file.
    fn write(&mut self) -> io::Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let result = self.output.append(&self.frames);
        if result.is_ok() {
            self.unsynced = true;
            self.sequence = self.framer.sequence();
        }
        self.discard();
        result
    }

    /// Discards the frames; numbers of frames that were not written are used again.
    fn discard(&mut self) {
        self.frames.clear();
        self.framer.restart(self.sequence);
    }

    fn stop(&mut self, error: &io::Error, lost: u64) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.gone = true;
            self.summary.lost += lost;
            (self.notice)(Notice::Gone);
            return;
        }
        let why = error.to_string();
        (self.notice)(Notice::Stopped { why: why.clone() });
        self.stopped = Some(Stopped {
            why,
            lost,
            retry: Instant::now() + self.interval,
        });
    }

    /// Tries to go on with a header (the file may have been truncated to make room), a gap with the
    /// number of missing observations, and a checkpoint.
    fn resume(&mut self, now: Timestamp, known: &[Observation]) {
        let Some(mut stopped) = self.stopped.take() else {
            return;
        };
        self.add_header();
        self.add_gap(now, stopped.lost, &stopped.why, known);
        match self.write() {
            Ok(()) => {
                self.summary.lost += stopped.lost;
                (self.notice)(Notice::Resumed { lost: stopped.lost });
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stop(&error, stopped.lost);
            }
            Err(_) => {
                stopped.retry = Instant::now() + self.interval;
                self.stopped = Some(stopped);
            }
        }
    }

    fn rotate(&mut self, known: &[Observation]) {
        self.sync(true);
        if let Err(error) = self.output.rotate() {
            if std::mem::replace(&mut self.rotation_works, false) {
                let text = format!("cannot rotate the capture: {error}");
                (self.notice)(Notice::Trouble(text));
            }
            if self.output.is_full() {
                return;
            }
        }
        self.header.file += 1;
        self.summary.files += 1;
        self.sequence = 0;
        self.framer.restart(0);
        self.add_header();
        self.add_known(known);
        if let Err(error) = self.write() {
            self.stop(&error, 0);
        }
    }

    fn add_header(&mut self) {
        let raw = wire::Header::of(&self.header).encode_to_vec();
        self.framer.frame(Kind::Header, &raw, &mut self.frames);
    }

    fn add_gap(&mut self, at: Timestamp, observations: u64, why: &str, known: &[Observation]) {
        let gap = Gap {
            at,
            observations,
            why: why.into(),
        };
        let raw = wire::Gap::of(&gap).encode_to_vec();
        self.framer.frame(Kind::Gap, &raw, &mut self.frames);
        self.add_known(known);
    }

    fn add_known(&mut self, known: &[Observation]) {
        for block in build(known.iter()) {
            self.framer
                .frame(Kind::Checkpoint, &block.raw, &mut self.frames);
        }
    }

    /// The longest wait while there is nothing to write.
    fn idle(&self) -> Option<Duration> {
        if self.stopped.is_some() {
            Some(self.interval)
        } else {
            self.unsynced.then(|| self.until_sync())
        }
    }

    fn until_sync(&self) -> Duration {
        self.interval.saturating_sub(self.synced.elapsed())
    }

    fn sync(&mut self, now: bool) {
        if !self.unsynced || (!now && !self.until_sync().is_zero()) {
            return;
        }
        self.unsynced = false;
        self.synced = Instant::now();
        if let Err(error) = self.output.sync()
            && std::mem::replace(&mut self.sync_works, false)
        {
            let text = format!(
                "cannot sync the capture to disk: {error}; a power cut may lose recent observations"
            );
            (self.notice)(Notice::Trouble(text));
        }
    }
}
