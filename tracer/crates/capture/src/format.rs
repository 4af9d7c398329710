//! The limits of the format, and what a capture says about itself.

use std::time::Duration;

use tracer_analysis::Options;
use tracer_analysis::rules::{Rules, RulesError};
use tracer_model::{Session, Timestamp};

/// The version that is written, and the newest that is read.
pub const VERSION: u8 = 1;

/// Observations are gathered up to this many encoded bytes.
pub const BLOCK_BYTES: usize = 64 << 10;

/// No frame holds more, before compression: what a reader must be ready to keep in memory.
pub const MAX_RAW_BYTES: usize = (1 << 20) + (256 << 10);

/// No encoded observation is larger; the largest are scans of thousands of listeners.
pub const MAX_EVENT_BYTES: usize = 1 << 20;

/// What was observed is on its way to the disk after this long.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// Begins every file, and every recording that is appended to one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// Identifies the recording: the same in all its files.
    pub session: u64,
    /// Which of the recording's files this is, from 0; rotation begins new ones.
    pub file: u32,
    /// The machine. Hooks and blind spots are known once the tracer has started: the first header
    /// lacks them, and is written again with them.
    pub machine: Session,
    /// The file name and the text of the user's rules.
    pub rules: Option<(Box<str>, Box<str>)>,
    /// What was reported.
    pub options: Options,
}

impl Header {
    /// The rules, read: what services are called is decided by analysis.
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
    /// When writing went on.
    pub at: Timestamp,
    /// How many are missing.
    pub observations: u64,
    /// Why.
    pub why: Box<str>,
}
