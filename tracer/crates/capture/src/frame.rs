//! Frames: the parts of a capture file. Each has a magic number that a reader can search for, a header
//! with a checksum of its own, which makes its length credible, and a payload with another checksum.

use super::format::{MAX_RAW_BYTES, VERSION};

/// The first four bytes of every frame, and so of every file. 0xf5 occurs in no UTF-8 text.
pub(super) const MAGIC: [u8; 4] = *b"\xf5TRC";

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 28;

/// Offset of the checksum of the bytes before it, which ends the header.
const HEADER_CRC_AT: usize = 24;

/// The zstd level. Level 1 is hardly faster, level 6 hardly smaller.
const LEVEL: i32 = 3;

/// The kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `Header`: begins a file or a recording.
    Header,
    /// `Block`: observations.
    Events,
    /// `Block`: a checkpoint, which a reader that begins here needs.
    Checkpoint,
    /// `Gap`: observations that were not written.
    Gap,
    /// A kind of a later release.
    Unknown(u8),
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Events => 2,
            Self::Checkpoint => 3,
            Self::Gap => 4,
            Self::Unknown(number) => number,
        }
    }

    fn of(number: u8) -> Self {
        match number {
            1 => Self::Header,
            2 => Self::Events,
            3 => Self::Checkpoint,
            4 => Self::Gap,
            other => Self::Unknown(other),
        }
    }
}

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    Stored,
    Zstd,
    Unknown,
}

/// The header of a frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The version of the format.
    pub(super) version: u8,
    /// The kind of content.
    pub(super) kind: Kind,
    codec: Codec,
    /// The number of the frame in the recording's file, from 0.
    pub(super) sequence: u32,
    /// Length of the payload, which follows the header.
    pub(super) payload_bytes: usize,
    raw_bytes: usize,
    payload_crc: u32,
}

/// Why bytes are not a sound frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("no frame begins there")]
    Magic,
    #[error("a frame header has a wrong checksum")]
    Header,
    #[error("a frame's payload has a wrong checksum")]
    Payload,
    #[error("a frame claims to be larger than the format allows")]
    TooLarge,
    #[error("it cannot be decompressed")]
    Compression,
}

impl FrameHeader {
    /// Decodes and checks a header.
    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        if bytes[..4] != MAGIC {
            return Err(FrameError::Magic);
        }
        if crc32c::crc32c(&bytes[..HEADER_CRC_AT]) != number(bytes, HEADER_CRC_AT) {
            return Err(FrameError::Header);
        }
        let header = Self {
            version: bytes[4],
            kind: Kind::of(bytes[5]),
            codec: match bytes[6] {
                0 => Codec::Stored,
                1 => Codec::Zstd,
                _ => Codec::Unknown,
            },
            sequence: number(bytes, 8),
            payload_bytes: number(bytes, 12) as usize,
            raw_bytes: number(bytes, 16) as usize,
            payload_crc: number(bytes, 20),
        };
        // A newer version may have other limits.
        if header.version == VERSION
            && (header.payload_bytes > MAX_RAW_BYTES || header.raw_bytes > MAX_RAW_BYTES)
        {
            return Err(FrameError::TooLarge);
        }
        Ok(header)
    }

    /// Checks the checksum of the payload.
    pub(super) fn check(&self, payload: &[u8]) -> Result<(), FrameError> {
        if crc32c::crc32c(payload) == self.payload_crc {
            Ok(())
        } else {
            Err(FrameError::Payload)
        }
    }
}

/// The little-endian number at an offset of a header.
fn number(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

/// Makes frames.
pub(super) struct Framer {
    compressor: zstd::bulk::Compressor<'static>,
    sequence: u32,
}

impl Framer {
    /// Starts with frame 0.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            sequence: 0,
        })
    }

    /// The number of the next frame.
    pub(super) fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Continues with this number: that of a frame that was not written, or 0 in a new file.
    pub(super) fn restart(&mut self, sequence: u32) {
        self.sequence = sequence;
    }

    /// Appends a frame to `out`.
    pub(super) fn frame(&mut self, kind: Kind, raw: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        let bound = zstd::zstd_safe::compress_bound(raw.len());
        let mut compressed = vec![0; bound];
        // Both lengths fit into 32 bits, because `raw` is limited.
        let codec = match self.compressor.compress_to_buffer(raw, &mut compressed) {
            Ok(length) if length < raw.len() => {
                out.extend_from_slice(&compressed[..length]);
                1
            }
            _ => {
                out.extend_from_slice(raw);
                0
            }
        };
        let payload = &out[start + HEADER_BYTES..];
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = VERSION;
        header[5] = kind.number();
        header[6] = codec;
        header[8..12].copy_from_slice(&self.sequence.to_le_bytes());
        header[12..16].copy_from_slice(&length(payload));
        header[16..20].copy_from_slice(&length(raw));
        header[20..24].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        let crc = crc32c::crc32c(&header[..HEADER_CRC_AT]);
        header[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        out[start..start + HEADER_BYTES].copy_from_slice(&header);
        self.sequence = self.sequence.wrapping_add(1);
    }
}

/// Decompresses payloads.
pub(super) struct Opener(zstd::bulk::Decompressor<'static>);

impl Opener {
    pub(super) fn new() -> std::io::Result<Self> {
        zstd::bulk::Decompressor::new().map(Self)
    }

    /// The content of a frame whose payload has been checked.
    pub(super) fn open(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
    ) -> Result<Vec<u8>, FrameError> {
        let raw = match header.codec {
            Codec::Stored => payload.to_vec(),
            Codec::Zstd => self
                .0
                .decompress(payload, header.raw_bytes)
                .map_err(|_| FrameError::Compression)?,
            Codec::Unknown => return Err(FrameError::Compression),
        };
        if raw.len() == header.raw_bytes {
            Ok(raw)
        } else {
            Err(FrameError::Compression)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Framer::new().unwrap().frame(Kind::Events, raw, &mut out);
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
        let (head, payload) = bytes.split_first_chunk::<HEADER_BYTES>().unwrap();
        let header = FrameHeader::read(head)?;
        header.check(payload)?;
        Opener::new().unwrap().open(&header, payload)
    }

    #[test]
    fn a_frame_round_trips() {
        let (long, longest) = (vec![7; 100_000], vec![0; MAX_RAW_BYTES]);
        for raw in [&b""[..], b"short", &long, &longest] {
            assert_eq!(read(&framed(raw)).unwrap(), raw);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sound = framed(b"a frame that is not compressed");
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_with_more_content_than_its_header_claims_is_refused() {
        let mut bytes = framed(&vec![0; MAX_RAW_BYTES]);
        bytes[16..20].copy_from_slice(&1000u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEADER_CRC_AT]);
        bytes[HEADER_CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(read(&bytes), Err(FrameError::Compression));
    }
}
