//! A followed file, whose it is, and what its lines say.

use std::sync::Arc;
use std::time::Duration;

use tracer_model::{ProcessKey, ProxyKind, ProxyProcess, Timestamp, What};
use tracer_proxylog::{Line, Profile, Reader, profile_of_line};

use super::follow::Follower;
use super::notify::Notify;

/// Lines are fast when the next come within this time, a few rounds.
const SOON: Duration = Duration::from_millis(50);

/// A followed file, and whose it is.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) follower: Follower,
    /// The number of its inotify events.
    pub(super) watch: Option<i32>,
    /// Reads its lines. None: a configured file that is empty and that no proxy has open, so that
    /// nothing shows whose it is.
    reader: Option<Reader>,
    /// Who has it open, the oldest first.
    pub(super) holders: Vec<ProcessKey>,
    /// Named by the user.
    pub(super) configured: bool,
    /// Whether a line of it could be read.
    pub(super) proven: bool,
    /// Lines that could not, while that is so.
    pub(super) trial: u32,
    /// There may be something to read.
    pub(super) dirty: bool,
    pub(super) pace: Pace,
    /// To be let go then.
    pub(super) until: Option<Timestamp>,
}

/// How fast lines come.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// So fast that it is read in each round, and nobody who writes is kept waiting by a
    /// notification.
    pub(super) busy: bool,
    /// When there was something to read last.
    written: Option<Timestamp>,
}

/// What a round of one log gave.
pub(super) struct LogRound {
    /// Anything was read.
    pub(super) read: bool,
    /// Lines that could not be read.
    pub(super) unread: u64,
    /// As [`super::follow::Round::lost`].
    pub(super) lost: u64,
    /// As [`super::follow::Round::more`].
    pub(super) more: bool,
}

impl Log {
    pub(super) fn new(follower: Follower, profile: Option<&'static Profile>) -> Self {
        Self {
            follower,
            watch: None,
            reader: profile.map(Reader::new),
            holders: Vec::new(),
            configured: false,
            proven: false,
            trial: 0,
            // Lines may have been written before anything notified of them.
            dirty: true,
            pace: Pace::default(),
            until: None,
        }
    }

    /// Whose log it is, as far as is known.
    pub(super) fn kind(&self) -> Option<ProxyKind> {
        self.reader.as_ref().map(|reader| reader.profile().kind)
    }

    /// The log that has taken this one's place, when it was rotated. This one is let go at `until`.
    pub(super) fn successor(&mut self, until: Timestamp) -> Option<Self> {
        let profile = self.reader.as_ref().map(Reader::profile);
        let mut successor = Self::new(self.follower.successor()?, profile);
        successor.holders.clone_from(&self.holders);
        successor.proven = self.proven;
        successor.configured = std::mem::take(&mut self.configured);
        self.until = Some(until);
        Some(successor)
    }

    /// Whether the next round looks by itself or a notification has to come, now that a round `read`
    /// something or nothing. The kernel keeps a writer waiting while it notifies: of a line now and
    /// then it may.
    pub(super) fn rest(&mut self, notify: &Notify, read: bool, at: Timestamp) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        let soon = self.pace.written.is_some_and(|last| at.since(last) <= SOON);
        if read {
            self.pace.written = Some(at);
        }
        let busy = read && (self.pace.busy || soon);
        if busy == self.pace.busy {
            return;
        }
        if let Some(same) = notify.watch(&self.follower.watch_path(), !busy) {
            *watch = same;
            self.pace.busy = busy;
            // What was written before it was watched again was not notified of.
            self.dirty |= !busy;
        }
    }

    /// Observes what was written since the last look, or a portion of it.
    pub(super) fn read(
        &mut self,
        room: &mut Vec<u8>,
        proxies: &[ProxyProcess],
        show_query: bool,
        each: &mut dyn FnMut(What),
    ) -> LogRound {
        let Self {
            follower,
            reader,
            holders,
            configured,
            proven,
            trial,
            ..
        } = self;
        let mut unread = 0;
        let round = follower.read(room, &mut |line| {
            if reader.is_none() {
                *reader = profile_of_line(line).map(Reader::new);
            }
            let kind = reader.as_ref().map(|reader| reader.profile().kind);
            let read = match reader {
                Some(reader) => reader.read(line, show_query),
                None => Line::Unreadable,
            };
            match read {
                Line::Entry(mut entry) => {
                    *proven = true;
                    let owner = proxies.iter().find(|one| Some(one.kind) == kind);
                    let owner = holders.first().copied().or(owner.map(|one| one.key));
                    if let Some(owner) = owner {
                        // Nobody else has it yet.
                        Arc::make_mut(&mut entry).proxy = owner;
                        each(What::ProxyLog(entry));
                    }
                }
                Line::Ignored => *proven = true,
                Line::Notice => *trial = trial.saturating_add(1),
                Line::Unreadable => {
                    *trial = trial.saturating_add(1);
                    unread += u64::from(*proven || *configured);
                }
            }
        });
        let too_long = u32::try_from(round.too_long).unwrap_or(u32::MAX);
        *trial = trial.saturating_add(too_long);
        let known = *proven || *configured;
        LogRound {
            read: round.bytes > 0,
            unread: unread + if known { round.too_long } else { 0 },
            lost: round.lost,
            more: round.more,
        }
    }
}
