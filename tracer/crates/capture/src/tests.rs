//! The format and the replay, without a kernel: round trips, damage, rotation, gaps, old versions.

mod arbitrary;
mod contract;
mod damage;
mod recording;
mod replaying;
mod versions;

use prost::Message as _;
use tracer_model::{Finding, Observation};

use super::block::build;
use super::format::Header;
use super::frame::{Framer, Kind};
use super::reader::{Item, ReadError, Reader};
use super::wire::{self, Wire as _};
use super::{Gap, Note, Replay, story};

/// Makes a capture in memory, frame by frame.
struct Maker {
    framer: Framer,
    bytes: Vec<u8>,
}

impl Maker {
    fn new() -> Self {
        Self {
            framer: Framer::new().unwrap(),
            bytes: Vec::new(),
        }
    }

    fn frame(mut self, kind: Kind, raw: &[u8]) -> Self {
        self.framer.frame(kind, raw, &mut self.bytes);
        self
    }

    fn header(self, header: &Header) -> Self {
        self.frame(Kind::Header, &wire::Header::of(header).encode_to_vec())
    }

    fn gap(self, gap: &Gap) -> Self {
        self.frame(Kind::Gap, &wire::Gap::of(gap).encode_to_vec())
    }

    fn blocks(mut self, kind: Kind, observations: &[Observation]) -> Self {
        for block in build(observations.iter()) {
            self = self.frame(kind, &block.raw);
        }
        self
    }

    /// Adds every observation in a frame of its own.
    fn one_by_one(mut self, observations: &[Observation]) -> Self {
        for observation in observations {
            self = self.blocks(Kind::Events, std::slice::from_ref(observation));
        }
        self
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Item>, ReadError> {
    let mut reader = Reader::new(bytes).unwrap();
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    Ok(items)
}

fn observations(items: &[Item]) -> Vec<Observation> {
    let of = |item: &Item| match item {
        Item::Observation(observation) => Some(observation.clone()),
        _ => None,
    };
    items.iter().filter_map(of).collect()
}

/// The findings as JSON lines, and the notes.
fn replay(items: impl IntoIterator<Item = Item>) -> (Vec<String>, Vec<Note>) {
    let mut replay = Replay::new();
    let mut findings = Vec::new();
    let mut notes = Vec::new();
    for item in items {
        notes.extend(replay.feed(item, &mut findings));
    }
    notes.extend(replay.finish(&mut findings));
    (lines(&findings), notes)
}

fn lines(findings: &[Finding]) -> Vec<String> {
    let line = |finding| serde_json::to_string(finding).unwrap();
    findings.iter().map(line).collect()
}
