//! Exchanges and lines that wait for each other; [`super::pair`] says which are of the same request.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use tracer_model::Timestamp;

use super::pair::{Attempts, BEST, BEST_STALE, Inbound, Marker, Places, Worth};
use super::shelf::{AsIs, Mark, Shelf, UNMARKED};

/// An exchange waits this long for its lines.
const EXCHANGE_HOLD: Duration = Duration::from_millis(100);
/// Lines wait this long for their exchange.
const LINE_HOLD: Duration = Duration::from_secs(1);
/// An exchange is observed at most so much later than a line about the same request.
const SETTLED_AFTER: Duration = Duration::from_millis(20);
/// A line this much later than the exchange that was told without it is still of it; later by what
/// the proxy delays its lines.
const TOLD_FOR: Duration = Duration::from_secs(3);
/// Exchanges that wait; more are told at once.
const MAX_HELD: usize = 4096;
/// Requests of which lines wait; more are decided at once.
const MAX_ATTEMPTS: usize = 4096;
/// Exchanges remembered after they were told, the oldest go first: as many as the kernel sends while
/// a proxy keeps back its lines.
const MAX_TOLD: usize = 12_288;
/// Equal requests of one connection that a line may continue: those that came last.
const MAX_CONTINUED: usize = 4;

/// Which lines there can be about an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// None.
    None,
    /// Those that were read: no log is known to be followed.
    WereRead,
    /// Those, or some that are still to be read.
    MayFollow,
}

/// What is decided.
pub(super) enum Decided {
    /// A request that a witness saw, with its lines if there are any.
    Seen(Box<Inbound>),
    /// A request that only the log tells of.
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

/// Where the lines of equal requests of one connection are that came last, in the order in which
/// they came; as many as there are, at the end.
#[derive(Default)]
struct Latest([Option<Place>; MAX_CONTINUED]);

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    pub marker: Marker,
    /// Those that have lines are not found by their marks any more.
    exchanges: Shelf<Inbound>,
    attempts: Shelf<Attempts>,
    /// When which of `attempts` are due; some may be gone.
    attempts_due: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// Where there are lines that others may continue.
    continued: HashMap<Mark, Latest, AsIs>,
    /// Exchanges that were told without a line although one could have come.
    told: Shelf<Inbound>,
}

impl Waiting {
    pub(super) fn due(&self) -> Option<Timestamp> {
        // All exchanges are held as long: the first is due first.
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
                &self.marker.attempts_of(&inbound),
                fresh,
                fits,
            );
            inbound.attempts = number.and_then(|number| self.take_attempts(number));
        }
        if inbound.attempts.is_some() || lines != Lines::MayFollow {
            out.push(Decided::Seen(Box::new(inbound)));
            return;
        }
        inbound.until = now.after(EXCHANGE_HOLD);
        let marks = self.marker.of_exchange(&inbound);
        self.exchanges.push(inbound, marks);
        if self.exchanges.len() > MAX_HELD
            && let Some(oldest) = self.take_exchange()
        {
            self.tell(oldest, now, out);
        }
    }

    /// A line was read.
    pub(super) fn line(&mut self, line: Attempts, now: Timestamp, out: &mut Vec<Decided>) {
        let Some(mut line) = self.not_continued(line) else {
            return;
        };
        if let Some(number) = self.exchange_of(&line) {
            // It stays for what is left of its time: further attempts may follow.
            self.list(line.continued, Place::Exchange(number));
            self.exchanges.mark(number, UNMARKED);
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
            && let Some(oldest) = self.take_attempts(oldest)
        {
            self.give_up(oldest, out);
        }
    }

    /// Decides what need not wait any longer.
    pub(super) fn advance(&mut self, now: Timestamp, out: &mut Vec<Decided>) {
        while self
            .exchanges
            .first()
            .is_some_and(|(_, one)| one.until <= now)
            && let Some(ripe) = self.take_exchange()
        {
            self.tell(ripe, now, out);
        }
        while let Some(&Reverse((until, number))) = self.attempts_due.peek()
            && until <= now
        {
            self.attempts_due.pop();
            if let Some(attempts) = self.take_attempts(number) {
                self.give_up(attempts, out);
            }
        }
    }

    /// Decides everything that can be told as it is: a service is back, or (`last`) the tracer
    /// stops.
    pub(super) fn flush(&mut self, now: Timestamp, last: bool, out: &mut Vec<Decided>) {
        while let Some(inbound) = self.take_exchange() {
            self.tell(inbound, now, out);
        }
        // Exchanges of requests that ended well before this have been observed.
        let is_settled = |attempts: &Attempts| {
            attempts.is_over()
                || (attempts.is_final()
                    && attempts.until.after(SETTLED_AFTER) <= now.after(LINE_HOLD))
        };
        let decided = |attempts: &Attempts| last || !attempts.may_pair() || is_settled(attempts);
        let numbers: Vec<u64> = self
            .attempts
            .iter()
            .filter(|(_, attempts)| decided(attempts))
            .map(|(number, _)| number)
            .collect();
        for number in numbers {
            if let Some(attempts) = self.take_attempts(number) {
                self.give_up(attempts, out);
            }
        }
    }

    /// The exchange that waits for this line.
    fn exchange_of(&self, line: &Attempts) -> Option<u64> {
        if self.exchanges.is_unmarked() {
            // In a storm most have their lines.
            return None;
        }
        let open = |inbound: &Inbound| match inbound.attempts {
            None => line.fits(inbound),
            Some(_) => None,
        };
        let places = self.marker.exchange_of(line);
        best(&self.exchanges, &places, |_| true, open)
    }

    fn tell(&mut self, inbound: Inbound, now: Timestamp, out: &mut Vec<Decided>) {
        if inbound.attempts.is_none() {
            while let Some((number, oldest)) = self.told.first()
                && (oldest.until <= now || self.told.len() >= MAX_TOLD)
            {
                self.told.remove(number);
            }
            let delay = inbound.log.map_or(Duration::ZERO, |profile| profile.delay);
            let told = Inbound {
                proxy: inbound.proxy.clone(),
                key: inbound.key.clone(),
                exchange: inbound.exchange.clone(),
                attempts: None,
                until: now.after(TOLD_FOR + delay),
                ..inbound
            };
            let marks = self.marker.of_exchange(&told);
            self.told.push(told, marks);
        }
        out.push(Decided::Seen(Box::new(inbound)));
    }

    /// No exchange turned up: the request was retried with success, or it is one that only the log
    /// tells of.
    fn give_up(&mut self, attempts: Attempts, out: &mut Vec<Decided>) {
        if attempts.worth == Worth::Nothing {
            return;
        }
        let fits = |told: &Inbound| attempts.fits(told);
        if let Some(number) = best(
            &self.told,
            &self.marker.exchange_of(&attempts),
            |_| true,
            fits,
        ) {
            self.told.remove(number);
            return;
        }
        out.push(Decided::Logged(attempts));
    }

    /// The oldest exchange, with its lines.
    fn take_exchange(&mut self) -> Option<Inbound> {
        let (number, _) = self.exchanges.first()?;
        let inbound = self.exchanges.remove(number)?;
        if let Some(attempts) = &inbound.attempts {
            self.unlist(attempts.continued, Place::Exchange(number));
        }
        Some(inbound)
    }

    fn take_attempts(&mut self, number: u64) -> Option<Attempts> {
        let attempts = self.attempts.remove(number)?;
        self.unlist(attempts.continued, Place::Alone(number));
        Some(attempts)
    }

    fn keep(&mut self, attempts: Attempts) {
        let (until, continued) = (attempts.until, attempts.continued);
        let marks = self.marker.of_attempts(&attempts);
        let number = self.attempts.push(attempts, marks);
        self.list(continued, Place::Alone(number));
        if self.attempts_due.len() >= 2 * MAX_ATTEMPTS {
            let waiting = &self.attempts;
            self.attempts_due
                .retain(|Reverse((_, number))| waiting.get(*number).is_some());
        }
        self.attempts_due.push(Reverse((until, number)));
    }

    /// Adds a line to those that it continues, or gives it back.
    fn not_continued(&mut self, line: Attempts) -> Option<Attempts> {
        let latest = line.continued.and_then(|mark| self.continued.get(&mark));
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
                // It may tell what they had not told.
                let marks = self.marker.of_attempts(known);
                self.attempts.mark(number, marks);
            }
        }
        None
    }

    fn list(&mut self, continued: Option<Mark>, place: Place) {
        if let Some(mark) = continued {
            self.continued.entry(mark).or_default().add(place);
        }
    }

    fn unlist(&mut self, continued: Option<Mark>, place: Place) {
        if let Some(mark) = continued
            && let Entry::Occupied(mut latest) = self.continued.entry(mark)
        {
            latest.get_mut().remove(place);
            if latest.get().0 == [None; MAX_CONTINUED] {
                latest.remove();
            }
        }
    }
}

impl Latest {
    /// The oldest makes room.
    fn add(&mut self, place: Place) {
        self.0.rotate_left(1);
        let [.., last] = &mut self.0;
        *last = Some(place);
    }

    fn remove(&mut self, place: Place) {
        if let Some(at) = self.0.iter().position(|known| *known == Some(place)) {
            // What came before it keeps its order.
            self.0[..=at].rotate_right(1);
            self.0[0] = None;
        }
    }
}

/// The first of the best of what is at `places`. What is not `fresh` came before what is: of
/// thousands that are the same request again, those that came too early are not looked at one by
/// one.
fn best<T>(
    shelf: &Shelf<T>,
    places: &Places,
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
    let marked = |mark| {
        let (stale, fresh) = shelf.marked(mark, |thing| !fresh(thing));
        let mut found = None;
        for (mut things, most) in [(fresh, BEST), (stale, BEST_STALE)] {
            found = found.or_else(|| first_of(&mut things, most));
        }
        found
    };
    let found = match places {
        Places::Anywhere => first_of(&mut shelf.iter(), BEST),
        Places::Marked(marks) => marks
            .iter()
            .flatten()
            .filter_map(|&mark| marked(mark))
            .min(),
    };
    found.map(|(_, number)| number)
}
