//! Damage: what a reader had to skip, where, and why.

use std::fmt;

/// Bytes or observations that a reader skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// From the beginning of the source.
    pub offset: u64,
    /// How many bytes were skipped; 0 if none were, because something is missing there.
    pub bytes: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a part of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are no frame, or a frame with a wrong checksum.
    Damaged(Box<str>),
    /// The source ends in the middle of a frame.
    CutOff,
    /// The checksums are right, but the content can't be decoded.
    Content(Box<str>),
    /// The frame is of a kind that a later release introduced.
    UnknownKind(u8),
    /// One observation of the block before the offset can't be decoded.
    Observation(Box<str>),
    /// Frames are missing.
    Missing {
        /// The number of the first of them.
        expected: u32,
        /// The number of the frame that follows.
        found: u32,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset,
            bytes,
            fault,
        } = self;
        match fault {
            Fault::Damaged(why) => {
                write!(f, "skipped {bytes} damaged bytes at offset {offset}: {why}")
            }
            Fault::CutOff => write!(
                f,
                "skipped {bytes} bytes at offset {offset}: the last frame is cut off"
            ),
            Fault::Content(why) => write!(
                f,
                "skipped {bytes} bytes at offset {offset}: cannot decode the content of a frame: {why}"
            ),
            Fault::UnknownKind(kind) => write!(
                f,
                "skipped {bytes} bytes at offset {offset}: this version does not know frames of kind {kind}"
            ),
            Fault::Observation(why) => {
                write!(f, "skipped an observation before offset {offset}: {why}")
            }
            Fault::Missing { expected, found } => write!(
                f,
                "expected frame {expected} at offset {offset}, found frame {found}: frames are missing"
            ),
        }
    }
}
