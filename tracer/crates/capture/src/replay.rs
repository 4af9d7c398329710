//! Feeds what a capture holds to an analysis, as it was fed live. Each recording gets an analysis of
//! its own, with the rules and options that it was recorded with.

use std::fmt;

use tracer_analysis::rules::{Rules, RulesError};
use tracer_analysis::{Analysis, Options};
use tracer_model::{Finding, Observation, Ring, Timestamp, What};

use super::format::{Gap, Header};
use super::reader::{Damage, Item};

/// What to say about a capture besides its findings.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// Bytes can't be read.
    Damage(Damage),
    /// The recorder could not write.
    Gap(Gap),
    /// The recording has no end: the recorder was killed, or the machine went down, or it goes on.
    NoEnd,
    /// No header: rules and options of the recording are not known.
    NoHeader,
    /// The first files of a recording are not there.
    Begins {
        /// The file that is.
        file: u32,
    },
    /// Files in the middle of a recording are not there.
    Missing {
        /// The file that should follow.
        expected: u32,
        /// The one that does.
        found: u32,
    },
    /// The rules in the capture are none.
    Rules(RulesError),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damage(damage) => write!(f, "damaged, and read on after it: {damage}"),
            Self::Gap(gap) => write!(
                f,
                "{} observations are missing, the recorder could not write: {}",
                gap.observations, gap.why
            ),
            Self::NoEnd => write!(
                f,
                "the recording has no end: it goes on, or the recorder or its machine was killed"
            ),
            Self::NoHeader => write!(
                f,
                "the recording has no readable header: its rules and options are not known"
            ),
            Self::Begins { file } => write!(
                f,
                "begins with file {file} of a recording; what was before is not told"
            ),
            Self::Missing { expected, found } => write!(
                f,
                "file {found} of the recording follows where file {expected} should"
            ),
            Self::Rules(error) => write!(f, "the recording's rules are left out: {error}"),
        }
    }
}

/// Which of the things that were known to take in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// None: they were observed.
    Skip,
    /// All: nothing was.
    All,
    /// Those since then: the others were.
    Since(Timestamp),
}

/// See the module.
pub struct Replay {
    recording: Option<Recording>,
    known: Known,
}

struct Recording {
    header: Header,
    analysis: Analysis,
    now: Timestamp,
    /// What the recorder observed first has been fed: the machine, and that it is live.
    knows_machine: bool,
    armed: bool,
    ended: bool,
}

impl Default for Replay {
    fn default() -> Self {
        Self::new()
    }
}

impl Replay {
    /// Nothing was read yet.
    pub fn new() -> Self {
        Self {
            recording: None,
            known: Known::All,
        }
    }

    /// Takes one item; what is concluded is appended to `findings`, what there is to say besides is
    /// given back.
    pub fn take(&mut self, item: Item, findings: &mut Vec<Finding>) -> Vec<Note> {
        let mut notes = Vec::new();
        match item {
            Item::Header(header) => self.header(*header, findings, &mut notes),
            Item::Observation(observation) => {
                self.known = Known::Skip;
                self.recording(&mut notes).feed(&observation, findings);
            }
            Item::Known(observation) => {
                let wanted = match self.known {
                    Known::Skip => false,
                    Known::All => true,
                    Known::Since(then) => observation.at > then,
                };
                if wanted {
                    self.recording(&mut notes).feed(&observation, findings);
                }
            }
            Item::Gap(gap) => {
                let recording = self.recording(&mut notes);
                // All that has happened since is news.
                let before = recording.now;
                let lost = Observation {
                    at: gap.at,
                    what: What::Lost {
                        ring: Ring::Capture,
                        count: gap.observations,
                    },
                };
                recording.feed(&lost, findings);
                if self.known != Known::All {
                    self.known = Known::Since(before);
                }
                notes.push(Note::Gap(gap));
            }
            Item::Damage(damage) => notes.push(Note::Damage(damage)),
        }
        notes
    }

    /// At the end of the last source: a recording without an end gets one, so that what waited to be
    /// told is.
    pub fn finish(&mut self, findings: &mut Vec<Finding>) -> Option<Note> {
        let mut recording = self.recording.take()?;
        if recording.ended {
            return None;
        }
        let at = recording.now;
        let what = What::End;
        recording.feed(&Observation { at, what }, findings);
        Some(Note::NoEnd)
    }

    /// What the capture says of the recording being replayed.
    pub fn current(&self) -> Option<&Header> {
        self.recording.as_ref().map(|recording| &recording.header)
    }

    /// What is known at this point of the recording being replayed.
    pub fn analysis(&self) -> Option<&Analysis> {
        self.recording.as_ref().map(|recording| &recording.analysis)
    }

    /// Whether the recording being replayed is at its end.
    pub fn ended(&self) -> bool {
        self.recording
            .as_ref()
            .is_some_and(|recording| recording.ended)
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

    fn feed(&mut self, observation: &Observation, findings: &mut Vec<Finding>) {
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

    /// The beginning is damaged: the rest is worth reporting all the same.
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

/// Whether this is never observed before the recorder says that it is live.
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
