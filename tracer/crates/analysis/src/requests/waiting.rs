//! Exchanges and lines that wait for each other; [`super::pair`] decides which belong together.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use tracer_model::Timestamp;

use super::fingerprint::{AsIs, Fingerprint, Fingerprinter, NONE, Search};
use super::pair::{Attempts, BEST, BEST_STALE, Inbound, Proof};
use super::shelf::Shelf;

/// An exchange waits this long for its lines.
const EXCHANGE_HOLD: Duration = Duration::from_millis(100);
/// Lines wait this long for their exchange.
const LINE_HOLD: Duration = Duration::from_secs(1);
/// An exchange is observed at most this much later than a line about the same request.
const SETTLED_AFTER: Duration = Duration::from_millis(20);
/// An exchange that was reported without lines still accepts lines for this long, plus what the proxy
/// delays its lines.
const REPORTED_HOLD: Duration = Duration::from_secs(3);
/// Exchanges that wait; more are reported at once.
const MAX_HELD: usize = 4096;
/// Requests whose lines wait; more are decided at once.
const MAX_ATTEMPTS: usize = 4096;
/// Reported exchanges that are kept; the oldest go first.
const MAX_REPORTED: usize = 4096;
/// The same for a proxy that holds back its lines: as many as the kernel can send meanwhile.
const MAX_REPORTED_OF_DELAYED: usize = 12_288;
/// Equal requests of one connection that a line may continue: the last ones.
const MAX_CONTINUED: usize = 4;

/// Which lines there can be about an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// None.
    None,
    /// Only lines that were already read: no log is followed.
    AlreadyRead,
    /// Lines that were already read, or will be.
    MayFollow,
}

/// A request that failed.
pub(super) enum Decided {
    /// A witness saw it. It has its lines, if there are any.
    Seen(Box<Inbound>),
    /// Only the log has it.
    Logged(Attempts),
}

/// Where lines wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// With an exchange.
    Exchange(u64),
    /// By themselves.
    Alone(u64),
}

/// Where the lines of the last equal requests of one connection are, in order of arrival, aligned to
/// the end.
#[derive(Default)]
struct Latest([Option<Place>; MAX_CONTINUED]);

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    pub fingerprinter: Fingerprinter,
    /// Exchanges that have lines are no longer found by fingerprint.
    exchanges: Shelf<Inbound>,
    attempts: Shelf<Attempts>,
    /// When the entries of `attempts` are due; some may be gone.
    attempts_due: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// Where lines are that others may continue.
    continued: HashMap<Fingerprint, Latest, AsIs>,
    /// Exchanges that were reported without lines, although lines may still follow.
    reported: Shelf<Inbound>,
}

impl Waiting {
    pub(super) fn due(&self) -> Option<Timestamp> {
        // All exchanges wait equally long: the first one is due first.
        let exchange = self.exchanges.first().map(|(_, inbound)| inbound.until);
        let attempts = self.attempts_due.peek().map(|Reverse((until, _))| *until);
        [exchange, attempts].into_iter().flatten().min()
    }

    /// An exchange ended.
    pub(super) fn exchange(
        &mut self,
        mut inbound: Inbound,
        lines: Lines,
        now: Timestamp,
        out: &mut Vec<Decided>,
    ) {
        if lines != Lines::None {
            let fits = |attempts: &Attempts| attempts.fits(&inbound);
            let fresh = |attempts: &Attempts| attempts.at() >= inbound.exchange.began;
            let number = best(
                &self.attempts,
                &inbound.search(&self.fingerprinter),
                fresh,
                fits,
            );
            inbound.attempts = number.and_then(|number| self.remove_attempts(number));
        }
        if inbound.attempts.is_some() || lines != Lines::MayFollow {
            out.push(Decided::Seen(Box::new(inbound)));
            return;
        }
        inbound.until = now.after(EXCHANGE_HOLD);
        let fingerprints = inbound.fingerprints(&self.fingerprinter);
        self.exchanges.push(inbound, fingerprints);
        if self.exchanges.len() > MAX_HELD
            && let Some(oldest) = self.pop_exchange()
        {
            self.decide(oldest, now, out);
        }
    }

    /// A line was read.
    pub(super) fn line(&mut self, line: Attempts, now: Timestamp, out: &mut Vec<Decided>) {
        let Some(mut line) = self.not_continued(line) else {
            return;
        };
        if let Some(number) = self.exchange_of(&line) {
            // The exchange stays for the rest of its time: further attempts may follow.
            self.list(line.continued, Place::Exchange(number));
            self.exchanges.list(number, NONE);
            if let Some(inbound) = self.exchanges.get_mut(number) {
                inbound.attempts = Some(line);
            }
            return;
        }
        line.until = now.after(if line.is_over() {
            EXCHANGE_HOLD
        } else {
            LINE_HOLD
        });
        self.keep(line);
        if self.attempts.len() > MAX_ATTEMPTS
            && let Some((oldest, _)) = self.attempts.first()
            && let Some(oldest) = self.remove_attempts(oldest)
        {
            self.give_up(oldest, out);
        }
    }

    /// Decides everything that has waited long enough.
    pub(super) fn advance(&mut self, now: Timestamp, out: &mut Vec<Decided>) {
        while self
            .exchanges
            .first()
            .is_some_and(|(_, one)| one.until <= now)
            && let Some(ripe) = self.pop_exchange()
        {
            self.decide(ripe, now, out);
        }
        while let Some(&Reverse((until, number))) = self.attempts_due.peek()
            && until <= now
        {
            self.attempts_due.pop();
            if let Some(attempts) = self.remove_attempts(number) {
                self.give_up(attempts, out);
            }
        }
    }

    /// Decides everything that surely failed: a service recovered, or (`last`) the tracer stops.
    pub(super) fn flush(&mut self, now: Timestamp, last: bool, out: &mut Vec<Decided>) {
        while let Some(inbound) = self.pop_exchange() {
            self.decide(inbound, now, out);
        }
        // The exchanges of requests that ended well before this have been observed.
        let is_settled = |attempts: &Attempts| {
            let is_old = attempts.until.after(SETTLED_AFTER) <= now.after(LINE_HOLD);
            attempts.is_over() || (attempts.is_final() && is_old)
        };
        let decided = |attempts: &Attempts| last || !attempts.may_pair() || is_settled(attempts);
        let numbers: Vec<u64> = self
            .attempts
            .iter()
            .filter(|(_, attempts)| decided(attempts))
            .map(|(number, _)| number)
            .collect();
        for number in numbers {
            if let Some(attempts) = self.remove_attempts(number) {
                self.give_up(attempts, out);
            }
        }
    }

    /// The exchange that waits for this line.
    fn exchange_of(&self, line: &Attempts) -> Option<u64> {
        if self.exchanges.is_unlisted() {
            // In a storm, most exchanges have their lines.
            return None;
        }
        let open = |inbound: &Inbound| match inbound.attempts {
            None => line.fits(inbound),
            Some(_) => None,
        };
        let search = line.search(&self.fingerprinter);
        best(&self.exchanges, &search, |_| true, open)
    }

    /// A witness saw the request fail: reports it with the lines that it has.
    fn decide(&mut self, inbound: Inbound, now: Timestamp, out: &mut Vec<Decided>) {
        if inbound.attempts.is_none() {
            let delay = inbound.log.map_or(Duration::ZERO, |profile| profile.delay);
            let most = if delay.is_zero() {
                MAX_REPORTED
            } else {
                MAX_REPORTED_OF_DELAYED
            };
            while let Some((number, oldest)) = self.reported.first()
                && (oldest.until <= now || self.reported.len() >= most)
            {
                self.reported.remove(number);
            }
            let reported = Inbound {
                proxy: inbound.proxy.clone(),
                key: inbound.key.clone(),
                exchange: inbound.exchange.clone(),
                attempts: None,
                until: now.after(REPORTED_HOLD + delay),
                ..inbound
            };
            let fingerprints = reported.fingerprints(&self.fingerprinter);
            self.reported.push(reported, fingerprints);
        }
        out.push(Decided::Seen(Box::new(inbound)));
    }

    /// No exchange turned up: a further attempt succeeded, or only the log has the request.
    fn give_up(&mut self, attempts: Attempts, out: &mut Vec<Decided>) {
        if attempts.proof == Proof::Nothing {
            return;
        }
        let fits = |reported: &Inbound| attempts.fits(reported);
        if let Some(number) = best(
            &self.reported,
            &attempts.search(&self.fingerprinter),
            |_| true,
            fits,
        ) {
            self.reported.remove(number);
            return;
        }
        out.push(Decided::Logged(attempts));
    }

    /// Removes the oldest exchange, with its lines.
    fn pop_exchange(&mut self) -> Option<Inbound> {
        let (number, _) = self.exchanges.first()?;
        let inbound = self.exchanges.remove(number)?;
        if let Some(attempts) = &inbound.attempts {
            self.unlist(attempts.continued, Place::Exchange(number));
        }
        Some(inbound)
    }

    fn remove_attempts(&mut self, number: u64) -> Option<Attempts> {
        let attempts = self.attempts.remove(number)?;
        self.unlist(attempts.continued, Place::Alone(number));
        Some(attempts)
    }

    fn keep(&mut self, attempts: Attempts) {
        let (until, continued) = (attempts.until, attempts.continued);
        let fingerprints = attempts.fingerprints(&self.fingerprinter);
        let number = self.attempts.push(attempts, fingerprints);
        self.list(continued, Place::Alone(number));
        if self.attempts_due.len() >= 2 * MAX_ATTEMPTS {
            let waiting = &self.attempts;
            self.attempts_due
                .retain(|Reverse((_, number))| waiting.get(*number).is_some());
        }
        self.attempts_due.push(Reverse((until, number)));
    }

    /// Adds a line to the lines that it continues, or returns it.
    fn not_continued(&mut self, line: Attempts) -> Option<Attempts> {
        let latest = line
            .continued
            .and_then(|fingerprint| self.continued.get(&fingerprint));
        let places = latest.into_iter().flat_map(|latest| latest.0);
        let place = places.flatten().find(|place| {
            let known = match *place {
                Place::Exchange(number) => {
                    let inbound = self.exchanges.get(number);
                    inbound.and_then(|inbound| inbound.attempts.as_ref())
                }
                Place::Alone(number) => self.attempts.get(number),
            };
            known.is_some_and(|known| known.continues(&line))
        });
        match place {
            None => return Some(line),
            Some(Place::Exchange(number)) => {
                let inbound = self.exchanges.get_mut(number)?;
                inbound.attempts.as_mut()?.append(line);
            }
            Some(Place::Alone(number)) => {
                let known = self.attempts.get_mut(number)?;
                known.append(line);
                // It may have properties that they lacked.
                let fingerprints = known.fingerprints(&self.fingerprinter);
                self.attempts.list(number, fingerprints);
            }
        }
        None
    }

    fn list(&mut self, continued: Option<Fingerprint>, place: Place) {
        if let Some(fingerprint) = continued {
            self.continued.entry(fingerprint).or_default().add(place);
        }
    }

    fn unlist(&mut self, continued: Option<Fingerprint>, place: Place) {
        if let Some(fingerprint) = continued
            && let Entry::Occupied(mut latest) = self.continued.entry(fingerprint)
        {
            latest.get_mut().remove(place);
            if latest.get().0 == [None; MAX_CONTINUED] {
                latest.remove();
            }
        }
    }
}

impl Latest {
    /// Adds one; the oldest makes room.
    fn add(&mut self, place: Place) {
        self.0.rotate_left(1);
        let [.., last] = &mut self.0;
        *last = Some(place);
    }

    fn remove(&mut self, place: Place) {
        if let Some(at) = self.0.iter().position(|known| *known == Some(place)) {
            // The ones before it keep their order.
            self.0[..=at].rotate_right(1);
            self.0[0] = None;
        }
    }
}

/// The first of the best that `search` finds. Stale things come before `fresh` ones: of thousands of
/// equal requests, the stale ones are skipped together.
fn best<T>(
    shelf: &Shelf<T>,
    search: &Search,
    fresh: impl Fn(&T) -> bool,
    rank: impl Fn(&T) -> Option<u8>,
) -> Option<u64> {
    let first_of = |things: &mut dyn Iterator<Item = (u64, &T)>, most: u8| {
        let mut found: Option<(Reverse<u8>, u64)> = None;
        for (number, thing) in things {
            let Some(rank) = rank(thing) else { continue };
            if found.is_none_or(|(known, _)| Reverse(rank) < known) {
                found = Some((Reverse(rank), number));
            }
            if rank >= most {
                break;
            }
        }
        found
    };
    let under = |fingerprint| {
        let (stale, fresh) = shelf.with(fingerprint, |thing| !fresh(thing));
        let mut found = None;
        for (mut things, most) in [(fresh, BEST), (stale, BEST_STALE)] {
            found = found.or_else(|| first_of(&mut things, most));
        }
        found
    };
    let found = match search {
        Search::Everywhere => first_of(&mut shelf.iter(), BEST),
        Search::Under(fingerprints) => fingerprints
            .iter()
            .flatten()
            .filter_map(|&fingerprint| under(fingerprint))
            .min(),
    };
    found.map(|(_, number)| number)
}
