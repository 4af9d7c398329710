//! Reads a capture in constant memory. Damage is reported and skipped: the reader searches for the next
//! sound frame.

use std::io::{self, Read};

use prost::Message as _;
use tracer_model::Observation;

use super::block::Opened;
use super::damage::{Damage, Fault};
use super::format::{Gap, Header, VERSION};
use super::frame::{FrameError, FrameHeader, HEADER_BYTES, Kind, MAGIC, Opener};
use super::migrate;
use super::wire::{self, Wire as _};

/// Bytes that are read from the source at once.
const READ_BYTES: usize = 64 << 10;

/// A damaged frame is searched for other frames, because it may be cut off and others may follow. This
/// limits the searches in a file that was made to cause endless ones.
const MAX_SUSPECTS: u32 = 64;

/// A part of a capture.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A file or a recording begins, or its header is repeated.
    Header(Box<Header>),
    /// Something that was observed.
    Observation(Observation),
    /// Part of a checkpoint, for a reader that begins here or comes from a gap.
    Known(Observation),
    /// Observations that the recorder could not write.
    Gap(Gap),
    /// Something was skipped.
    Damage(Damage),
}

/// Why a source can't be read at all, or any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A directory.
    #[error("it is a directory; name the captures in it")]
    Directory,
    /// An empty file or stream.
    #[error("it is empty; nothing was recorded to it")]
    Empty,
    /// Another kind of file.
    #[error("not a tracer capture (looks like {looks_like}){hint}")]
    NotCapture {
        /// What it looks like.
        looks_like: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// A capture of a newer release.
    #[error(
        "it has capture format {0}, and this tracer reads formats up to {VERSION}; use the tracer \
         that recorded it, or a newer one"
    )]
    Newer(u8),
    /// From the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads one source, item by item.
pub struct Reader<R> {
    source: R,
    /// Bytes that were read; those from `start` on are not used yet.
    buffer: Vec<u8>,
    start: usize,
    /// Offset of `buffer[start]` in the source.
    offset: u64,
    at_end: bool,
    opener: Opener,
    block: Option<Opened>,
    /// Where damage began, and the first error there.
    bad: Option<(u64, FrameError)>,
    suspects: u32,
    expected: Option<u32>,
    /// Whether any frame was found.
    sound: bool,
    /// What the first bytes look like; None if they are those of a capture.
    looks_like: Option<&'static str>,
    /// The item that follows the one that was returned last.
    next: Option<Item>,
}

impl<R: Read> Reader<R> {
    /// Reads from `source`; nothing is read yet.
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
                    Some(Err(why)) => {
                        return Ok(Some(Item::Damage(Damage {
                            offset: self.offset,
                            bytes: 0,
                            fault: Fault::Observation(why),
                        })));
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

    /// Handles the rest of the source when it is shorter than a header.
    fn rest(&mut self) -> Result<Option<FrameHeader>, ReadError> {
        let left = self.buffer.len() - self.start;
        if !self.sound {
            if left == 0 && self.offset == 0 {
                return Err(ReadError::Empty);
            }
            if let Some(looks_like) = self.looks_like {
                let hint = "";
                return Err(ReadError::NotCapture { looks_like, hint });
            }
        }
        if left > 0 {
            self.bad.get_or_insert((self.offset, FrameError::Payload));
            self.skip(left);
        }
        Ok(None)
    }

    /// Removes a sound frame from the buffer. The item that is returned comes before those in the frame.
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
            .map_err(|error| Fault::Content(error.to_string().into()));
        let bytes = (HEADER_BYTES + header.payload_bytes) as u64;
        self.skip(HEADER_BYTES + header.payload_bytes);
        let item = match content.and_then(|raw| self.content(&header, raw)) {
            Ok(item) => item,
            Err(fault) => Some(Item::Damage(Damage {
                offset,
                bytes,
                fault,
            })),
        };
        // Damage explains missing frames.
        match damage.or(missing) {
            Some(damage) => {
                self.next = item;
                Some(Item::Damage(damage))
            }
            None => item,
        }
    }

    fn content(&mut self, header: &FrameHeader, raw: Vec<u8>) -> Result<Option<Item>, Fault> {
        let wrong = |error: prost::DecodeError| Fault::Content(error.to_string().into());
        let unknown = |error: wire::Unknown| Fault::Content(error.to_string().into());
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
            Kind::Unknown(kind) => Err(Fault::UnknownKind(kind)),
        }
    }

    /// Reports frames that should have come before this one.
    fn missing(&mut self, header: &FrameHeader) -> Option<Damage> {
        let expected = self.expected.replace(header.sequence.wrapping_add(1))?;
        // Each recording in a file counts from 0.
        if header.sequence == expected || header.sequence == 0 {
            return None;
        }
        Some(Damage {
            offset: self.offset,
            bytes: 0,
            fault: Fault::Missing {
                expected,
                found: header.sequence,
            },
        })
    }

    /// At a sound frame or at the end: what was skipped before.
    fn end_of_damage(&mut self, at_end: bool) -> Option<Damage> {
        let (offset, error) = self.bad.take()?;
        let fault = if at_end && error == FrameError::Payload {
            Fault::CutOff
        } else {
            Fault::Damaged(error.to_string().into())
        };
        Some(Damage {
            offset,
            bytes: self.offset - offset,
            fault,
        })
    }

    /// The buffer does not start with a frame: skips to where the next one could begin.
    fn suspect(&mut self, error: FrameError) {
        self.bad.get_or_insert((self.offset, error));
        let rest = &self.buffer[self.start + 1..];
        let found = rest.windows(MAGIC.len()).position(|four| four == MAGIC);
        // A magic number may be only partly read yet.
        let step = found.unwrap_or_else(|| rest.len().saturating_sub(MAGIC.len() - 1));
        self.skip(1 + step);
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Reads until the buffer has this many bytes or the source ends.
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
            // Another kind of file is refused at once, not after reading all of it.
            if self.offset == 0 && !self.sound {
                self.sniff()?;
            }
        }
        Ok(())
    }

    /// Refuses a file that certainly is not a capture.
    fn sniff(&mut self) -> Result<(), ReadError> {
        let head = &self.buffer[self.start..];
        let known = MAGIC.starts_with(&head[..head.len().min(MAGIC.len())]);
        self.looks_like = (!known).then(|| guess(head));
        if head.len() < MAGIC.len() && !self.at_end {
            return Ok(());
        }
        match KINDS.iter().find(|(magic, ..)| head.starts_with(magic)) {
            Some(&(_, looks_like, hint)) => Err(ReadError::NotCapture { looks_like, hint }),
            None => Ok(()),
        }
    }
}

/// Kinds of file that are mistaken for captures: how they begin, what they are, what to do.
const KINDS: [(&[u8], &str, &str); 9] = [
    (
        b"\x1f\x8b",
        "a gzip file",
        "; decompress it first: zcat FILE | tracer replay -",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "a zstd file",
        "; decompress it first: zstdcat FILE | tracer replay -",
    ),
    (
        b"\xfd7zXZ",
        "an xz file",
        "; decompress it first: xzcat FILE | tracer replay -",
    ),
    (b"PK\x03\x04", "a zip archive", "; extract it first"),
    (b"\x7fELF", "a program (ELF)", ""),
    (
        b"{\"v\":",
        "findings from `tracer watch --json`",
        "; findings can't be replayed, a file from `tracer record` can",
    ),
    (b"{", "JSON", ""),
    (b"PAR1", "a Parquet file", ""),
    (b"#!", "a script", ""),
];

/// What a file looks like that begins like none of [`KINDS`].
fn guess(head: &[u8]) -> &'static str {
    let text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..);
    if !head.is_empty() && head.iter().all(text) && std::str::from_utf8(head).is_ok() {
        "text"
    } else {
        "binary data"
    }
}
