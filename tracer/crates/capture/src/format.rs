//! The limits of the format, and its header and gaps as the rest of the crate sees them.

use std::time::Duration;

use tracer_analysis::Options;
use tracer_analysis::rules::{Rules, RulesError};
use tracer_model::{Session, Timestamp};

/// The version that is written, and the newest that is read.
pub const VERSION: u8 = 1;

/// A block is full once it has this many encoded bytes.
pub const BLOCK_BYTES: usize = 64 << 10;

/// The most that a frame holds before compression, and so what a reader must be able to keep in memory.
pub const MAX_RAW_BYTES: usize = (1 << 20) + (256 << 10);

/// The largest encoded observation. The largest in practice are scans of thousands of listeners.
pub const MAX_EVENT_BYTES: usize = 1 << 20;

/// An observation is written to the disk after at most this long.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Begins every file, and every recording that is appended to one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// Identifies the recording; the same in all its files.
    pub session: u64,
    /// Which of the recording's files this is, from 0; rotation begins new ones.
    pub file: u32,
    /// The machine. Hooks and blind spots are known only once the tracer has started: the first header
    /// lacks them, and the header is written again with them.
    pub machine: Session,
    /// Name and text of the file with the user's rules.
    pub rules: Option<(Box<str>, Box<str>)>,
    /// The options of the analysis.
    pub options: Options,
}

impl Header {
    /// Parses the rules, which analysis needs to name services.
    pub fn rules(&self) -> Result<Rules, RulesError> {
        match &self.rules {
            Some((file, text)) => Rules::parse(text, file),
            None => Ok(Rules::none()),
        }
    }
}

/// Observations that could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When writing resumed.
    pub at: Timestamp,
    /// How many are missing.
    pub observations: u64,
    /// The reason.
    pub why: Box<str>,
}
