//! Things that wait, in order of arrival, and found by fingerprint without a scan of all.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque, vec_deque};

use super::fingerprint::{AsIs, Fingerprint, Fingerprints, NONE};

/// See the module. Each thing has a number; the numbers have the order of arrival.
pub(super) struct Shelf<T> {
    /// Number of the first slot.
    first: u64,
    /// Never begins with an empty slot. An empty slot stays as long as one before it is full.
    slots: VecDeque<Option<Box<Slot<T>>>>,
    len: usize,
    by_fingerprint: HashMap<Fingerprint, VecDeque<u64>, AsIs>,
}

struct Slot<T> {
    thing: T,
    fingerprints: Fingerprints,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            first: 0,
            slots: VecDeque::new(),
            len: 0,
            by_fingerprint: HashMap::default(),
        }
    }
}

impl<T> Shelf<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing can be found by a fingerprint.
    pub(super) fn is_unlisted(&self) -> bool {
        self.by_fingerprint.is_empty()
    }

    /// Adds a thing behind all others, and returns its number.
    pub(super) fn push(&mut self, thing: T, fingerprints: Fingerprints) -> u64 {
        let number = self.first + self.slots.len() as u64;
        let slot = Slot {
            thing,
            fingerprints: NONE,
        };
        self.slots.push_back(Some(Box::new(slot)));
        self.len += 1;
        self.list(number, fingerprints);
        number
    }

    /// Makes a thing found by these fingerprints, and no others, from now on.
    pub(super) fn list(&mut self, number: u64, fingerprints: Fingerprints) {
        let Some(slot) = self.slot_mut(number) else {
            return;
        };
        let before = std::mem::replace(&mut slot.fingerprints, fingerprints);
        if before == fingerprints {
            return;
        }
        self.unlist(number, &before);
        for fingerprint in fingerprints.into_iter().flatten() {
            let numbers = self.by_fingerprint.entry(fingerprint).or_default();
            if numbers.back().is_some_and(|&last| last < number) {
                numbers.push_back(number);
            } else {
                let place = numbers.partition_point(|&known| known < number);
                numbers.insert(place, number);
            }
        }
    }

    fn unlist(&mut self, number: u64, fingerprints: &Fingerprints) {
        for fingerprint in fingerprints.iter().flatten() {
            let Entry::Occupied(mut listed) = self.by_fingerprint.entry(*fingerprint) else {
                continue;
            };
            let numbers = listed.get_mut();
            if numbers.front() == Some(&number) {
                numbers.pop_front();
            } else if let Ok(place) = numbers.binary_search(&number) {
                numbers.remove(place);
            }
            if numbers.is_empty() {
                listed.remove();
            }
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let index = self.index(number)?;
        let slot = self.slots.get_mut(index)?.take()?;
        self.len -= 1;
        self.unlist(number, &slot.fingerprints);
        while self.slots.front().is_some_and(Option::is_none) {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(slot.thing)
    }

    pub(super) fn first(&self) -> Option<(u64, &T)> {
        Some((self.first, self.get(self.first)?))
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        let slot = self.slots.get(self.index(number)?)?;
        slot.as_ref().map(|slot| &slot.thing)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.slot_mut(number).map(|slot| &mut slot.thing)
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let numbered = (self.first..).zip(&self.slots);
        numbered.filter_map(|(number, slot)| Some((number, &slot.as_ref()?.thing)))
    }

    /// Things with this fingerprint, in order: those before the first that is not `early`, and the
    /// others.
    pub(super) fn with(
        &self,
        fingerprint: Fingerprint,
        early: impl Fn(&T) -> bool,
    ) -> (Listed<'_, T>, Listed<'_, T>) {
        static NOTHING: VecDeque<u64> = VecDeque::new();
        let numbers = self.by_fingerprint.get(&fingerprint).unwrap_or(&NOTHING);
        let split = numbers.partition_point(|&number| self.get(number).is_some_and(&early));
        let of = |numbers| Listed {
            shelf: self,
            numbers,
        };
        (of(numbers.range(..split)), of(numbers.range(split..)))
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn slot_mut(&mut self, number: u64) -> Option<&mut Slot<T>> {
        let index = self.index(number)?;
        self.slots.get_mut(index)?.as_deref_mut()
    }
}

/// Things with one fingerprint.
pub(super) struct Listed<'a, T> {
    shelf: &'a Shelf<T>,
    numbers: vec_deque::Iter<'a, u64>,
}

impl<'a, T> Iterator for Listed<'a, T> {
    type Item = (u64, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        let number = *self.numbers.next()?;
        Some((number, self.shelf.get(number)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shelf: &Shelf<&str>, fingerprint: Fingerprint) -> Vec<u64> {
        let (early, others) = shelf.with(fingerprint, |_| false);
        assert_eq!(early.count(), 0);
        others.map(|(number, _)| number).collect()
    }

    #[test]
    fn things_are_found_by_fingerprint_in_order() {
        let mut shelf = Shelf::default();
        shelf.push("a", [Some(1), None, None, None, None]);
        shelf.push("b", [Some(1), Some(2), None, None, None]);
        shelf.push("c", [Some(2), None, None, None, None]);
        assert_eq!(numbers(&shelf, 1), [0, 1]);
        assert_eq!(numbers(&shelf, 2), [1, 2]);
        shelf.list(2, [Some(1), None, None, None, None]);
        shelf.list(0, NONE);
        assert_eq!(numbers(&shelf, 1), [1, 2]);
        assert_eq!(numbers(&shelf, 2), [1]);
    }

    #[test]
    fn removal_leaves_nothing_behind() {
        let mut shelf = Shelf::default();
        for thing in ["a", "b", "c"] {
            shelf.push(thing, [Some(7), None, None, None, None]);
        }
        assert_eq!(shelf.remove(1), Some("b"));
        assert_eq!(shelf.remove(1), None);
        assert_eq!(numbers(&shelf, 7), [0, 2]);
        assert_eq!(shelf.first(), Some((0, &"a")));
        assert_eq!(shelf.remove(0), Some("a"));
        assert_eq!(shelf.first(), Some((2, &"c")));
        assert_eq!(shelf.remove(2), Some("c"));
        assert_eq!(shelf.first(), None);
        assert_eq!(shelf.len(), 0);
        assert!(shelf.by_fingerprint.is_empty());
        assert!(shelf.slots.is_empty());
        assert_eq!(shelf.push("d", NONE), 3);
    }

    #[test]
    fn early_things_are_separate() {
        let mut shelf = Shelf::default();
        for thing in 0..6 {
            shelf.push(thing, [Some(thing % 2), None, None, None, None]);
        }
        let (early, others) = shelf.with(1, |&thing| thing < 3);
        assert_eq!(early.map(|(_, &thing)| thing).collect::<Vec<_>>(), [1]);
        assert_eq!(others.map(|(_, &thing)| thing).collect::<Vec<_>>(), [3, 5]);
    }
}
