//! Takes a capture apart, in constant memory. What is damaged is named and stepped over: after it,
//! the next sound frame is looked for.

use std::io::{self, Read};

use prost::Message as _;
use tracer_model::Observation;

use super::block::Opened;
use super::format::{Gap, Header, VERSION};
use super::frame::{FrameError, FrameHeader, HEADER_BYTES, Kind, MAGIC, Opener};
use super::migrate;
use super::wire::{self, Wire as _};

/// So much is asked of the source at once.
const READ_BYTES: usize = 64 << 10;

/// Frames inside a damaged one are looked for, because it may be cut off and others may follow. A
/// file that is made to have them without end gets no more tries than this.
const MAX_SUSPECTS: u32 = 64;

/// What a capture consists of.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A file or a recording begins, or its header is told again.
    Header(Box<Header>),
    /// What was observed.
    Observation(Observation),
    /// What was known at this point: for whoever begins here or comes from a gap.
    Known(Observation),
    /// Observations that the recorder could not write.
    Gap(Gap),
    /// Bytes that are no part of a capture, or not any more.
    Damage(Damage),
}

/// Bytes that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes at {offset}: {what}")]
pub struct Damage {
    /// From the beginning of the source.
    pub offset: u64,
    /// How many; 0 when something is missing at that place.
    pub bytes: u64,
    /// What is wrong with them.
    pub what: Box<str>,
}

/// Why a source can't be read at all, or any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A folder.
    #[error("it is a directory; name the files in it")]
    Directory,
    /// Nothing in it.
    #[error("it is empty: nothing was recorded to it")]
    Empty,
    /// Something else.
    #[error("it is no capture but {0}")]
    Other(&'static str),
    /// Of a newer release.
    #[error(
        "it is a capture of format {0}, and this tracer reads up to {VERSION}: use the tracer \
         that recorded it, or a newer one"
    )]
    Newer(u8),
    /// From the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// See the module.
pub struct Reader<R> {
    source: R,
    /// Read, but not yet taken: from `start`.
    buffer: Vec<u8>,
    start: usize,
    /// Offset of `buffer[start]` in the source.
    offset: u64,
    at_end: bool,
    opener: Opener,
    block: Option<Opened>,
    /// Where damage began, and what was the first of it.
    bad: Option<(u64, FrameError)>,
    suspects: u32,
    expected: Option<u32>,
    /// Whether any frame was found.
    sound: bool,
    /// What the first bytes look like; None when they are those of a capture.
    looks_like: Option<&'static str>,
    /// Found together with what was given out last.
    next: Option<Item>,
}

impl<R: Read> Reader<R> {
    /// Nothing is read yet.
    pub fn new(source: R) -> io::Result<Self> {
        Ok(Self {
            source,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            at_end: false,
            opener: Opener::new()?,
            block: None,
            bad: None,
            suspects: 0,
            expected: None,
            sound: false,
            looks_like: None,
            next: None,
        })
    }

    /// The next item; None at the end.
    pub fn next_item(&mut self) -> Result<Option<Item>, ReadError> {
        loop {
            if let Some(item) = self.next.take() {
                return Ok(Some(item));
            }
            if let Some(block) = &mut self.block {
                let kind = block.kind;
                match block.next() {
                    Some(Ok(observation)) if kind == Kind::Checkpoint => {
                        return Ok(Some(Item::Known(observation)));
                    }
                    Some(Ok(observation)) => return Ok(Some(Item::Observation(observation))),
                    Some(Err(what)) => {
                        let offset = self.offset;
                        let bytes = 0;
                        let what = format!("before it, an observation was skipped: {what}").into();
                        let damage = Damage {
                            offset,
                            bytes,
                            what,
                        };
                        return Ok(Some(Item::Damage(damage)));
                    }
                    None => self.block = None,
                }
            }
            let Some(frame) = self.frame()? else {
                return Ok(self.end_of_damage(true).map(Item::Damage));
            };
            if let Some(item) = self.open(frame) {
                return Ok(Some(item));
            }
        }
    }

    /// The next sound frame, whose payload follows its header in the buffer.
    fn frame(&mut self) -> Result<Option<FrameHeader>, ReadError> {
        loop {
            self.fill(HEADER_BYTES)?;
            let available = &self.buffer[self.start..];
            let Some(head) = available.first_chunk::<HEADER_BYTES>() else {
                return self.rest();
            };
            match FrameHeader::read(head) {
                Ok(header) if header.version > VERSION => {
                    return Err(ReadError::Newer(header.version));
                }
                Ok(header) if header.version < migrate::OLDEST => self.suspect(FrameError::Header),
                Ok(header) => {
                    self.fill(HEADER_BYTES + header.payload_bytes)?;
                    let payload = &self.buffer[self.start + HEADER_BYTES..];
                    match payload.get(..header.payload_bytes) {
                        Some(payload) if header.check(payload).is_ok() => return Ok(Some(header)),
                        Some(_) if self.suspects >= MAX_SUSPECTS => {
                            self.skip(HEADER_BYTES + header.payload_bytes);
                        }
                        _ => {
                            self.suspects += 1;
                            self.suspect(FrameError::Payload);
                        }
                    }
                }
                Err(error) => self.suspect(error),
            }
        }
    }

    /// Less is left than a header has.
    fn rest(&mut self) -> Result<Option<FrameHeader>, ReadError> {
        let left = self.buffer.len() - self.start;
        if !self.sound {
            if left == 0 && self.offset == 0 {
                return Err(ReadError::Empty);
            }
            if let Some(other) = self.looks_like {
                return Err(ReadError::Other(other));
            }
        }
        if left > 0 {
            self.bad.get_or_insert((self.offset, FrameError::Payload));
            self.skip(left);
        }
        Ok(None)
    }

    /// Takes a sound frame out of the buffer. What is given back comes before what is in it.
    fn open(&mut self, header: FrameHeader) -> Option<Item> {
        let offset = self.offset;
        let damage = self.end_of_damage(false);
        self.sound = true;
        self.suspects = 0;
        let missing = self.missing(&header);
        let payload = self.start + HEADER_BYTES;
        let payload = &self.buffer[payload..payload + header.payload_bytes];
        let content = self
            .opener
            .open(&header, payload)
            .map_err(|error| error.to_string());
        let bytes = (HEADER_BYTES + header.payload_bytes) as u64;
        self.skip(HEADER_BYTES + header.payload_bytes);
        let item = match content.and_then(|raw| self.content(&header, raw)) {
            Ok(item) => item,
            Err(what) => Some(Item::Damage(Damage {
                offset,
                bytes,
                what: what.into(),
            })),
        };
        // What is missing is where the damage is.
        match damage.or(missing) {
            Some(damage) => {
                self.next = item;
                Some(Item::Damage(damage))
            }
            None => item,
        }
    }

    fn content(&mut self, header: &FrameHeader, raw: Vec<u8>) -> Result<Option<Item>, String> {
        let wrong = |error: prost::DecodeError| format!("the content of a frame: {error}");
        let unknown = |error: wire::Unknown| format!("the content of a frame: {error}");
        match header.kind {
            Kind::Header => {
                let mut wire = wire::Header::decode(&*raw).map_err(wrong)?;
                migrate::header(header.version, &mut wire);
                let model = wire.model().map_err(unknown)?;
                Ok(Some(Item::Header(Box::new(model))))
            }
            Kind::Events | Kind::Checkpoint => {
                let block = Opened::new(header.kind, header.version, raw).map_err(wrong)?;
                self.block = Some(block);
                Ok(None)
            }
            Kind::Gap => {
                let wire = wire::Gap::decode(&*raw).map_err(wrong)?;
                Ok(Some(Item::Gap(wire.model().map_err(unknown)?)))
            }
            Kind::Unknown(kind) => Err(format!("a frame of an unknown kind, {kind}, was skipped")),
        }
    }

    /// Tells of frames that should have come before this one.
    fn missing(&mut self, header: &FrameHeader) -> Option<Damage> {
        let expected = self.expected.replace(header.sequence.wrapping_add(1))?;
        // A recording that was appended counts from 0.
        if header.sequence == expected || header.sequence == 0 {
            return None;
        }
        let what = format!(
            "frame {} follows where frame {expected} should",
            header.sequence
        );
        Some(Damage {
            offset: self.offset,
            bytes: 0,
            what: what.into(),
        })
    }

    /// At a sound frame, or at the end: what was stepped over.
    fn end_of_damage(&mut self, at_end: bool) -> Option<Damage> {
        let (offset, error) = self.bad.take()?;
        let what = if at_end && error == FrameError::Payload {
            "the last frame is cut off".into()
        } else {
            error.to_string().into()
        };
        Some(Damage {
            offset,
            bytes: self.offset - offset,
            what,
        })
    }

    /// What is at the start of the buffer is no frame: goes on to where the next could begin.
    fn suspect(&mut self, error: FrameError) {
        self.bad.get_or_insert((self.offset, error));
        let rest = &self.buffer[self.start + 1..];
        let found = rest.windows(MAGIC.len()).position(|four| four == MAGIC);
        // The magic number may lie across the end of what was read.
        let step = found.unwrap_or_else(|| rest.len().saturating_sub(MAGIC.len() - 1));
        self.skip(1 + step);
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Reads until the buffer has so many bytes, or the source no more.
    fn fill(&mut self, bytes: usize) -> Result<(), ReadError> {
        while self.buffer.len() - self.start < bytes && !self.at_end {
            if self.start > READ_BYTES {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            let end = self.buffer.len();
            self.buffer.resize(end + READ_BYTES, 0);
            let read = loop {
                match self.source.read(&mut self.buffer[end..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            self.buffer.truncate(end + *read.as_ref().unwrap_or(&0));
            self.at_end = read? == 0;
            // Another kind of file is told at once, not after reading all of it.
            if self.offset == 0 && !self.sound {
                self.sniff()?;
            }
        }
        Ok(())
    }

    /// Refuses what is certainly no capture.
    fn sniff(&mut self) -> Result<(), ReadError> {
        let head = &self.buffer[self.start..];
        let known = MAGIC.starts_with(&head[..head.len().min(MAGIC.len())]);
        self.looks_like = (!known).then(|| guess(head));
        if head.len() < MAGIC.len() && !self.at_end {
            return Ok(());
        }
        kind_of(head).map_or(Ok(()), |kind| Err(ReadError::Other(kind)))
    }
}

/// Kinds of file that are taken for captures by mistake, told by how they begin.
fn kind_of(head: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 9] = [
        (
            b"\x1f\x8b",
            "a gzip file; decompress it first: zcat FILE | tracer replay -",
        ),
        (
            b"\x28\xb5\x2f\xfd",
            "a zstd file; decompress it first: zstdcat FILE | tracer replay -",
        ),
        (
            b"\xfd7zXZ",
            "an xz file; decompress it first: xzcat FILE | tracer replay -",
        ),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x7fELF", "a program (ELF)"),
        (
            b"{\"v\":",
            "the findings of `tracer watch --json`, which are what a replay would print",
        ),
        (b"{", "JSON"),
        (b"PAR1", "a Parquet file"),
        (b"#!", "a script"),
    ];
    KINDS
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, kind)| *kind)
}

/// The same, for what begins like nothing that is known.
fn guess(head: &[u8]) -> &'static str {
    let text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..);
    if !head.is_empty() && head.iter().all(text) && std::str::from_utf8(head).is_ok() {
        "text"
    } else {
        "something else"
    }
}
