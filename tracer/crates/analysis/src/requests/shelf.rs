//! What waits, in the order in which it came, and found by its marks without a look at all of it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque, vec_deque};
use std::hash::{BuildHasherDefault, Hasher};

/// What things that may belong together have in common, hashed. Equal marks prove nothing; what
/// has none in common does not belong together.
pub(super) type Mark = u64;

/// The marks of one thing.
pub(super) type Marks = [Option<Mark>; MOST];
pub(super) const UNMARKED: Marks = [None; MOST];
const MOST: usize = 5;

/// Marks are hashes, and need not be hashed again.
pub(super) type AsIs = BuildHasherDefault<MarkHasher>;

/// See [`AsIs`].
#[derive(Default)]
pub(super) struct MarkHasher(u64);

impl Hasher for MarkHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, mark: Mark) {
        self.0 = mark;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// See the module. Things are known by a number that tells their order.
pub(super) struct Shelf<T> {
    /// Number of the first slot.
    first: u64,
    /// Never begins with an empty slot. An empty one may stay as long as those before it.
    slots: VecDeque<Option<Box<Slot<T>>>>,
    len: usize,
    marked: HashMap<Mark, VecDeque<u64>, AsIs>,
}

struct Slot<T> {
    thing: T,
    marks: Marks,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            first: 0,
            slots: VecDeque::new(),
            len: 0,
            marked: HashMap::default(),
        }
    }
}

impl<T> Shelf<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is found by a mark.
    pub(super) fn is_unmarked(&self) -> bool {
        self.marked.is_empty()
    }

    /// Puts it behind all others; gives its number.
    pub(super) fn push(&mut self, thing: T, marks: Marks) -> u64 {
        let number = self.first + self.slots.len() as u64;
        let slot = Slot {
            thing,
            marks: UNMARKED,
        };
        self.slots.push_back(Some(Box::new(slot)));
        self.len += 1;
        self.mark(number, marks);
        number
    }

    /// Has it found by these from now on.
    pub(super) fn mark(&mut self, number: u64, marks: Marks) {
        let Some(slot) = self.slot_mut(number) else {
            return;
        };
        let before = std::mem::replace(&mut slot.marks, marks);
        if before == marks {
            return;
        }
        self.unlist(number, &before);
        for mark in marks.into_iter().flatten() {
            let numbers = self.marked.entry(mark).or_default();
            if numbers.back().is_some_and(|&last| last < number) {
                numbers.push_back(number);
            } else {
                let place = numbers.partition_point(|&known| known < number);
                numbers.insert(place, number);
            }
        }
    }

    fn unlist(&mut self, number: u64, marks: &Marks) {
        for mark in marks.iter().flatten() {
            let Entry::Occupied(mut listed) = self.marked.entry(*mark) else {
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
        self.unlist(number, &slot.marks);
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

    /// Those with this mark, in order: those before the first that is not `early`, and the others.
    pub(super) fn marked(
        &self,
        mark: Mark,
        early: impl Fn(&T) -> bool,
    ) -> (Marked<'_, T>, Marked<'_, T>) {
        static NONE: VecDeque<u64> = VecDeque::new();
        let numbers = self.marked.get(&mark).unwrap_or(&NONE);
        let split = numbers.partition_point(|&number| self.get(number).is_some_and(&early));
        let of = |numbers| Marked {
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

/// Things with a mark.
pub(super) struct Marked<'a, T> {
    shelf: &'a Shelf<T>,
    numbers: vec_deque::Iter<'a, u64>,
}

impl<'a, T> Iterator for Marked<'a, T> {
    type Item = (u64, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        let number = *self.numbers.next()?;
        Some((number, self.shelf.get(number)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shelf: &Shelf<&str>, mark: Mark) -> Vec<u64> {
        let (early, others) = shelf.marked(mark, |_| false);
        assert_eq!(early.count(), 0);
        others.map(|(number, _)| number).collect()
    }

    #[test]
    fn things_are_found_by_their_marks_in_order() {
        let mut shelf = Shelf::default();
        shelf.push("a", [Some(1), None, None, None, None]);
        shelf.push("b", [Some(1), Some(2), None, None, None]);
        shelf.push("c", [Some(2), None, None, None, None]);
        assert_eq!(numbers(&shelf, 1), [0, 1]);
        assert_eq!(numbers(&shelf, 2), [1, 2]);
        shelf.mark(2, [Some(1), None, None, None, None]);
        shelf.mark(0, UNMARKED);
        assert_eq!(numbers(&shelf, 1), [1, 2]);
        assert_eq!(numbers(&shelf, 2), [1]);
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
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
        assert!(shelf.marked.is_empty());
        assert!(shelf.slots.is_empty());
        assert_eq!(shelf.push("d", UNMARKED), 3);
    }

    #[test]
    fn early_things_are_told_apart() {
        let mut shelf = Shelf::default();
        for thing in 0..6 {
            shelf.push(thing, [Some(thing % 2), None, None, None, None]);
        }
        let (early, others) = shelf.marked(1, |&thing| thing < 3);
        assert_eq!(early.map(|(_, &thing)| thing).collect::<Vec<_>>(), [1]);
        assert_eq!(others.map(|(_, &thing)| thing).collect::<Vec<_>>(), [3, 5]);
    }
}
