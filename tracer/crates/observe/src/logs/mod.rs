//! The proxies' own logs: finds them, follows them, and reads their lines. What is written after the
//! start is observed; what was there before is not.
//!
//! A file is believed to be such a log when its lines read as one. It is found because a process
//! of a proxy has it open, or by configuration.

mod discover;
mod follow;
mod log;
mod notify;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tracer_model::{Observation, ProcessKey, ProxyProcess, Ring, Timestamp, WallTime, What};
use tracer_proxylog::profile_of_line;

use discover::Candidate;
use follow::{Follower, Found, Place};
use log::Log;
use notify::{Event, Notify};

use super::clock;

/// Files followed at once, rotated ones included.
const MAX_FILES: usize = 64;
/// A burst of lines is read in rounds this far apart.
const ROUND_EVERY: Duration = Duration::from_millis(20);
/// Files are looked at this often in any case: whether they were replaced, and for file systems
/// that don't notify.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The proxies' open files are looked at this often: a configuration may be reloaded, a log appear.
const SEARCH_EVERY: Duration = Duration::from_secs(10);
/// A file that was replaced, or that no proxy has open any more, is followed this long after the
/// last line: workers that finish their requests still write to it, a restarted proxy does again.
const LINGER: Duration = Duration::from_secs(30);
/// A file is let go after this many lines when none of them belongs to such a log.
const MAX_TRIAL: u32 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Logs {
    show_query: bool,
    configured: Vec<PathBuf>,
    proxies: Vec<ProxyProcess>,
    files: Vec<Log>,
    notify: Option<Notify>,
    /// When following began: files that were born later are read from their beginning.
    began: WallTime,
    room: Vec<u8>,
    round: Option<Timestamp>,
    last_round: Timestamp,
    check: Timestamp,
    search: Timestamp,
    /// Processes whose log is followed.
    logged: BTreeSet<ProcessKey>,
    changed: bool,
}

impl Logs {
    pub(super) fn new(show_query: bool, configured: Vec<PathBuf>) -> Self {
        let now = clock::now();
        Self {
            show_query,
            configured,
            proxies: Vec::new(),
            files: Vec::new(),
            notify: Notify::new().ok(),
            began: clock::file_time(),
            room: Vec::new(),
            round: None,
            last_round: now,
            check: now.after(CHECK_EVERY),
            search: now.after(SEARCH_EVERY),
            logged: BTreeSet::new(),
            changed: false,
        }
    }

    /// Follows the logs of `proxies` from now on, and those of nobody else.
    pub(super) fn follow(&mut self, proxies: &[ProxyProcess]) {
        self.proxies.clear();
        self.proxies.extend(proxies);
        self.proxies
            .sort_by_key(|one| (one.key.start_ticks, one.key.pid));
        self.search(clock::now());
    }

    /// Whether a log of the process is followed.
    pub(super) fn logged(&self, key: ProcessKey) -> bool {
        self.logged.contains(&key)
    }

    /// Whether the answers of [`Self::logged`] may have changed since this was asked last.
    pub(super) fn clear_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// When [`Self::run_due`] wants to be called.
    pub(super) fn due(&self) -> Option<Timestamp> {
        if self.proxies.is_empty() && self.files.is_empty() {
            return None;
        }
        let round = self.round.unwrap_or(self.check);
        Some(round.min(self.check).min(self.search))
    }

    /// Returns when lines were written that [`Self::due`] did not know of.
    pub(super) async fn readable(&mut self) -> io::Result<()> {
        match &mut self.notify {
            // A round is coming anyway: it reads what is written until then.
            Some(notify) if self.round.is_none() => notify.readable().await?,
            _ => std::future::pending().await,
        }
        self.drain_events();
        Ok(())
    }

    /// Does what is due.
    pub(super) fn run_due(&mut self, now: Timestamp, out: &mut Vec<Observation>) {
        if self.search <= now {
            self.search(now);
        }
        if self.check <= now {
            self.check(now);
        }
        if self.round.is_some_and(|due| due <= now) {
            self.read(now, out);
        }
    }

    /// Observes the lines that were written before `at`, unless they were observed already.
    pub(super) fn read_written_before(&mut self, at: Timestamp, out: &mut Vec<Observation>) {
        let done = self.last_round >= at && self.files.iter().all(|log| !log.dirty);
        if !done {
            self.read(clock::now(), out);
        }
    }

    /// Observes the lines that were written since the last look, as seen `at`.
    pub(super) fn read(&mut self, at: Timestamp, out: &mut Vec<Observation>) {
        self.drain_events();
        self.round = None;
        self.last_round = at;
        let (mut unread, mut lost) = (0, 0);
        let mut room = std::mem::take(&mut self.room);
        for log in &mut self.files {
            if !log.dirty && !log.pace.busy {
                continue;
            }
            let round = log.read(&mut room, &self.proxies, self.show_query, &mut |what| {
                out.push(Observation { at, what });
            });
            log.dirty = round.more;
            unread += round.unread;
            lost += round.lost;
            if round.read && log.until.is_some() {
                log.until = Some(at.after(LINGER));
            }
            if let Some(notify) = &self.notify {
                log.rest(notify, round.read, at);
            }
            if log.dirty || log.pace.busy {
                self.round = Some(at.after(ROUND_EVERY));
            }
        }
        self.room = room;
        if unread > 0 {
            let what = What::LogLinesUnread(unread);
            out.push(Observation { at, what });
        }
        if lost > 0 {
            let what = What::Lost {
                ring: Ring::ProxyLog,
                count: lost,
            };
            out.push(Observation { at, what });
        }
        self.let_go(at);
    }

    fn drain_events(&mut self) {
        let Some(notify) = &self.notify else {
            return;
        };
        let (files, check) = (&mut self.files, &mut self.check);
        let mut any = false;
        notify.drain(&mut |event| {
            any = true;
            match event {
                Event::Changed(watch) => {
                    for log in files.iter_mut().filter(|log| log.watch == Some(watch)) {
                        log.dirty = true;
                    }
                }
                Event::Moved(_) => *check = Timestamp(0),
                Event::Overflow => {
                    for log in files.iter_mut() {
                        log.dirty = true;
                    }
                    *check = Timestamp(0);
                }
            }
        });
        if any {
            self.plan_round();
        }
    }

    fn plan_round(&mut self) {
        if self.round.is_none() {
            self.round = Some(self.last_round.after(ROUND_EVERY));
        }
    }

    /// Looks for files that were replaced, and for changes that nothing notified of.
    fn check(&mut self, now: Timestamp) {
        self.check = now.after(CHECK_EVERY);
        for index in 0..self.files.len() {
            let log = &mut self.files[index];
            log.dirty |= log.follower.changed();
            if let Some(successor) = log.successor(now.after(LINGER)) {
                self.add(successor);
            }
        }
        if self.files.iter().any(|log| log.dirty) {
            self.plan_round();
        }
        self.let_go(now);
    }

    /// Looks at what the proxies have open, and at what is configured.
    fn search(&mut self, now: Timestamp) {
        self.search = now.after(SEARCH_EVERY);
        // A file that was only renamed keeps its place in the list, and a new one gets its own.
        self.check(now);
        let candidates = discover::candidates(&self.proxies);
        for log in &mut self.files {
            let holders = discover::holders(&candidates, log.follower.id);
            log.holders = holders.map_or(Vec::new(), |one| one.holders.clone());
            let wanted = log.configured || !log.holders.is_empty();
            log.until = match log.until {
                _ if wanted => None,
                None => Some(now.after(LINGER)),
                until => until,
            };
        }
        for path in self.configured.clone() {
            if let Some(found) = Found::at(&path) {
                self.follow_configured(&found, path, &candidates);
            }
        }
        for candidate in &candidates {
            self.follow_candidate(candidate);
        }
        self.update_logged();
    }

    fn follow_configured(&mut self, found: &Found, path: PathBuf, candidates: &[Candidate]) {
        if let Some(log) = self.log(found) {
            log.configured |= log.until.is_none();
            return;
        }
        let beginning = self.born_meanwhile(found);
        let Ok(follower) = Follower::new(found, Some(Place::Path(path)), beginning) else {
            return;
        };
        let holders = discover::holders(candidates, found.id);
        let mut profile = holders.map(|holders| holders.profile);
        if profile.is_none() {
            follower.peek(&mut |line| profile = profile.or_else(|| profile_of_line(line)));
        }
        let mut log = Log::new(follower, profile);
        log.configured = true;
        log.holders = holders.map_or(Vec::new(), |one| one.holders.clone());
        self.add(log);
    }

    fn follow_candidate(&mut self, candidate: &Candidate) {
        if let Some(log) = self.log(&candidate.found) {
            if log.holders.is_empty() {
                log.holders.clone_from(&candidate.holders);
            }
            return;
        }
        let beginning = self.born_meanwhile(&candidate.found);
        let Ok(follower) = Follower::new(&candidate.found, candidate.place(), beginning) else {
            return;
        };
        let profile = candidate.profile;
        let (mut empty, mut fits) = (true, false);
        follower.peek(&mut |line| {
            empty = false;
            fits |= profile.is_evidence(line);
        });
        if fits || (empty && candidate.named_log) {
            let mut log = Log::new(follower, Some(profile));
            log.holders.clone_from(&candidate.holders);
            log.proven = fits;
            self.add(log);
        }
    }

    fn log(&mut self, found: &Found) -> Option<&mut Log> {
        self.files
            .iter_mut()
            .find(|log| log.follower.id == found.id)
    }

    fn born_meanwhile(&self, found: &Found) -> bool {
        found.born.is_some_and(|born| born >= self.began)
    }

    fn add(&mut self, mut log: Log) {
        if self.files.len() >= MAX_FILES {
            // A rotated file makes room; a log that is in use does not.
            let Some(rotated) = self.files.iter().position(|log| log.until.is_some()) else {
                return;
            };
            let rotated = self.files.remove(rotated);
            self.forget(&rotated);
        }
        let path = log.follower.watch_path();
        log.watch = self
            .notify
            .as_ref()
            .and_then(|notify| notify.watch(&path, true));
        self.files.push(log);
        self.plan_round();
    }

    fn forget(&self, log: &Log) {
        let others = self.files.iter().any(|other| other.watch == log.watch);
        if let (Some(notify), Some(watch), false) = (&self.notify, log.watch, others) {
            notify.forget(watch);
        }
    }

    /// Lets go of files that nobody writes any more, and of those that turned out to be no logs.
    fn let_go(&mut self, now: Timestamp) {
        let over = |log: &Log| {
            let foreign = !log.configured && !log.proven && log.trial > MAX_TRIAL;
            foreign || log.until.is_some_and(|until| until <= now && !log.dirty)
        };
        let mut any = false;
        while let Some(index) = self.files.iter().position(over) {
            let log = self.files.remove(index);
            self.forget(&log);
            any = true;
        }
        if any {
            self.update_logged();
        }
    }

    fn update_logged(&mut self) {
        let mut logged = BTreeSet::new();
        for log in &self.files {
            logged.extend(&log.holders);
            if log.holders.is_empty() && log.configured {
                let same = self
                    .proxies
                    .iter()
                    .filter(|one| Some(one.kind) == log.kind());
                logged.extend(same.map(|one| one.key));
            }
        }
        self.changed |= logged != self.logged;
        self.logged = logged;
    }
}

#[cfg(test)]
mod tests;
