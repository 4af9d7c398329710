//! Feeds the observations in a capture to an analysis, as they were fed live. Each recording gets an
//! analysis of its own, with the rules and options of the recording.

use std::fmt;

use tracer_analysis::rules::{Rules, RulesError};
use tracer_analysis::{Analysis, Options};
use tracer_model::{Finding, Observation, Ring, Timestamp, What};

use super::damage::Damage;
use super::format::{Gap, Header};
use super::reader::Item;

/// A problem of a capture that the user should know besides its findings.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// Something was damaged and skipped.
    Damage(Damage),
    /// The recorder could not write some observations.
    Gap(Gap),
    /// The recording has no end: it is still being written, or the recorder was killed, or the machine
    /// went down.
    NoEnd,
    /// No readable header: the rules and options of the recording are unknown.
    NoHeader,
    /// The first files of a recording are missing.
    Begins {
        /// The first file that is present.
        file: u32,
    },
    /// Files in the middle of a recording are missing.
    Missing {
        /// The number of the first that is missing.
        expected: u32,
        /// The number of the file that follows.
        found: u32,
    },
    /// The rules in the capture are invalid.
    Rules(RulesError),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damage(damage) => damage.fmt(f),
            Self::Gap(gap) => write!(
                f,
                "{} observations are missing; the recorder could not write them: {}",
                gap.observations, gap.why
            ),
            Self::NoEnd => write!(
                f,
                "the recording has no end; it is still being written, or the recorder was killed, or \
                 the machine went down"
            ),
            Self::NoHeader => write!(
                f,
                "the recording has no readable header; replaying without its rules and options"
            ),
            Self::Begins { file } => write!(
                f,
                "begins with file {file} of a recording; name the files before it too, if they still exist"
            ),
            Self::Missing { expected, found } => write!(
                f,
                "file {expected} of the recording is missing; continuing with file {found}"
            ),
            Self::Rules(error) => {
                write!(f, "ignored the rules in the capture: {error}")
            }
        }
    }
}

/// Which observations of a checkpoint to feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// None: the replay has seen them.
    Skip,
    /// All: the replay begins here.
    All,
    /// Those after this time: the replay has seen the others.
    Since(Timestamp),
}

/// Replays captures, item by item.
pub struct Replay {
    recording: Option<Recording>,
    known: Known,
}

struct Recording {
    header: Header,
    analysis: Analysis,
    now: Timestamp,
    /// The analysis knows the machine.
    knows_machine: bool,
    /// The analysis knows that the hooks are attached.
    armed: bool,
    ended: bool,
}

impl Default for Replay {
    fn default() -> Self {
        Self::new()
    }
}

impl Replay {
    /// A replay that has been fed nothing yet.
    pub fn new() -> Self {
        Self {
            recording: None,
            known: Known::All,
        }
    }

    /// Feeds one item. Appends the findings that follow from it to `findings` and returns the problems.
    pub fn feed(&mut self, item: Item, findings: &mut Vec<Finding>) -> Vec<Note> {
        let mut notes = Vec::new();
        match item {
            Item::Header(header) => self.header(*header, findings, &mut notes),
            Item::Observation(observation) => {
                self.known = Known::Skip;
                self.recording(&mut notes).observe(&observation, findings);
            }
            Item::Known(observation) => {
                let wanted = match self.known {
                    Known::Skip => false,
                    Known::All => true,
                    Known::Since(then) => observation.at > then,
                };
                if wanted {
                    self.recording(&mut notes).observe(&observation, findings);
                }
            }
            Item::Gap(gap) => {
                let recording = self.recording(&mut notes);
                // The checkpoint that follows makes up for what happened since.
                let before = recording.now;
                let lost = Observation {
                    at: gap.at,
                    what: What::Lost {
                        ring: Ring::Capture,
                        count: gap.observations,
                    },
                };
                recording.observe(&lost, findings);
                if self.known != Known::All {
                    self.known = Known::Since(before);
                }
                notes.push(Note::Gap(gap));
            }
            Item::Damage(damage) => notes.push(Note::Damage(damage)),
        }
        notes
    }

    /// To be called at the end of the last source. Ends a recording that has no end, so that the
    /// analysis reports what it held back.
    pub fn finish(&mut self, findings: &mut Vec<Finding>) -> Option<Note> {
        let mut recording = self.recording.take()?;
        if recording.ended {
            return None;
        }
        let at = recording.now;
        let what = What::End;
        recording.observe(&Observation { at, what }, findings);
        Some(Note::NoEnd)
    }

    /// The header of the recording that is being replayed.
    pub fn current(&self) -> Option<&Header> {
        self.recording.as_ref().map(|recording| &recording.header)
    }

    /// The analysis of the recording that is being replayed.
    pub fn analysis(&self) -> Option<&Analysis> {
        self.recording.as_ref().map(|recording| &recording.analysis)
    }

    fn header(&mut self, header: Header, findings: &mut Vec<Finding>, notes: &mut Vec<Note>) {
        if let Some(recording) = &mut self.recording
            && recording.header.session == header.session
        {
            let before = recording.header.file;
            if header.file == before.wrapping_add(1) {
                self.known = Known::Skip;
            } else if header.file != before {
                notes.push(Note::Missing {
                    expected: before.wrapping_add(1),
                    found: header.file,
                });
                self.known = Known::Since(recording.now);
            }
            recording.header = header;
            return;
        }
        notes.extend(self.finish(findings));
        if header.file > 0 {
            notes.push(Note::Begins { file: header.file });
        }
        self.known = Known::All;
        self.recording = Some(Recording::new(header, notes));
    }

    fn recording(&mut self, notes: &mut Vec<Note>) -> &mut Recording {
        self.recording.get_or_insert_with(|| {
            notes.push(Note::NoHeader);
            Recording::new(Header::default(), notes)
        })
    }
}

impl Recording {
    fn new(header: Header, notes: &mut Vec<Note>) -> Self {
        let rules = header.rules().unwrap_or_else(|error| {
            notes.push(Note::Rules(error));
            Rules::none()
        });
        let options: Options = header.options;
        Self {
            header,
            analysis: Analysis::new(rules, options),
            now: Timestamp::default(),
            knows_machine: false,
            armed: false,
            ended: false,
        }
    }

    fn observe(&mut self, observation: &Observation, findings: &mut Vec<Finding>) {
        match observation.what {
            What::Session(_) => self.knows_machine = true,
            What::Armed => self.armed = true,
            _ if !self.armed && is_live(&observation.what) => self.arm(observation.at, findings),
            _ => {}
        }
        self.now = self.now.max(observation.at);
        self.ended = observation.what == What::End;
        self.analysis.observe(observation, findings);
    }

    /// Makes up for the first observations when the beginning is damaged, so that the rest is reported.
    fn arm(&mut self, at: Timestamp, findings: &mut Vec<Finding>) {
        self.armed = true;
        if !self.knows_machine {
            let what = What::Session(Box::new(self.header.machine.clone()));
            self.analysis.observe(&Observation { at, what }, findings);
        }
        let what = What::Armed;
        self.analysis.observe(&Observation { at, what }, findings);
    }
}

/// Whether this is observed only once the hooks are attached.
fn is_live(what: &What) -> bool {
    matches!(
        what,
        What::Forked { .. }
            | What::Executed { .. }
            | What::Exited(_)
            | What::OomVictim(_)
            | What::OomReported(_)
            | What::ListenerDown { .. }
            | What::ConnectFailed(_)
            | What::ConnectionCut { .. }
            | What::Tick
            | What::End
    )
}
