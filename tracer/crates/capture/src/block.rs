//! Blocks: observations that are gathered until there are enough of them, and read back one by one.

use bytes::Bytes;
use prost::Message as _;
use tracer_model::{Observation, Timestamp};

use super::format::{BLOCK_BYTES, MAX_EVENT_BYTES};
use super::frame::Kind;
use super::migrate;
use super::wire::{Block, Event};

/// Key of `Block.at_ns`: field 1, a number.
const AT: u8 = 1 << 3;
/// Key of `Block.events`: field 2, bytes.
const EVENTS: u8 = 2 << 3 | 2;

/// Encodes observations into a block.
#[derive(Debug, Default)]
pub(super) struct Builder {
    raw: Vec<u8>,
    before: Timestamp,
    observations: u64,
}

/// A finished block.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) raw: Vec<u8>,
    pub(super) observations: u64,
}

impl Builder {
    /// Appends an observation; false if it is too large for any block.
    pub(super) fn push(&mut self, observation: &Observation) -> bool {
        if self.raw.is_empty() {
            self.before = observation.at;
            self.raw.push(AT);
            varint(observation.at.0, &mut self.raw);
        }
        let event = Event::of(observation, self.before);
        let length = event.encoded_len();
        if length > MAX_EVENT_BYTES {
            return false;
        }
        self.raw.push(EVENTS);
        varint(length as u64, &mut self.raw);
        event.encode_raw(&mut self.raw);
        self.before = observation.at;
        self.observations += 1;
        true
    }

    /// Whether the block is large enough to be finished.
    pub(super) fn is_full(&self) -> bool {
        self.raw.len() >= BLOCK_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.observations == 0
    }

    /// Returns the block; the next observation begins a new one.
    pub(super) fn finish(&mut self) -> Built {
        let next = Vec::with_capacity(self.raw.len());
        Built {
            raw: std::mem::replace(&mut self.raw, next),
            observations: std::mem::take(&mut self.observations),
        }
    }
}

/// Encodes many observations into as many blocks as they need.
pub(super) fn build<'a>(observations: impl Iterator<Item = &'a Observation>) -> Vec<Built> {
    let mut blocks = Vec::new();
    let mut builder = Builder::default();
    for observation in observations {
        builder.push(observation);
        if builder.is_full() {
            blocks.push(builder.finish());
        }
    }
    if !builder.is_empty() {
        blocks.push(builder.finish());
    }
    blocks
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// A block that is being read.
#[derive(Debug)]
pub(super) struct Opened {
    /// [`Kind::Events`] or [`Kind::Checkpoint`].
    pub(super) kind: Kind,
    version: u8,
    before: Timestamp,
    events: std::vec::IntoIter<Bytes>,
}

impl Opened {
    /// Decodes the block in a frame's content.
    pub(super) fn new(kind: Kind, version: u8, raw: Vec<u8>) -> Result<Self, prost::DecodeError> {
        let block = Block::decode(Bytes::from(raw))?;
        Ok(Self {
            kind,
            version,
            before: Timestamp(block.at_ns),
            events: block.events.into_iter(),
        })
    }

    /// The next observation of a kind that this version knows. An error concerns only one observation.
    pub(super) fn next(&mut self) -> Option<Result<Observation, Box<str>>> {
        loop {
            let mut event = match Event::decode(self.events.next()?) {
                Ok(event) => event,
                Err(error) => return Some(Err(error.to_string().into())),
            };
            migrate::event(self.version, &mut event);
            let before = self.before;
            self.before = Timestamp(before.0.wrapping_add_signed(event.after_ns));
            match event.model(before) {
                Ok(Some(observation)) => return Some(Ok(observation)),
                Ok(None) => {}
                Err(unknown) => return Some(Err(unknown.to_string().into())),
            }
        }
    }
}
