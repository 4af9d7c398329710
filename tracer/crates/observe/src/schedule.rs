//! Work that is delayed and work that is rationed, both bounded.

use std::collections::VecDeque;
use std::time::Duration;

use tracer_model::Timestamp;

/// Things to look at after a fixed delay. When too many wait, new ones are left out.
#[derive(Debug)]
pub(super) struct Later<T> {
    delay: Duration,
    capacity: usize,
    waiting: VecDeque<(Timestamp, T)>,
}

impl<T> Later<T> {
    pub(super) fn new(delay: Duration, capacity: usize) -> Self {
        Self {
            delay,
            capacity,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, now: Timestamp, thing: T) {
        if self.waiting.len() < self.capacity {
            self.waiting.push_back((now.after(self.delay), thing));
        }
    }

    /// Removes a thing that was pushed recently.
    pub(super) fn cancel(&mut self, thing: &T)
    where
        T: PartialEq,
    {
        /// Things that wait longer cost more to find than to look at.
        const RECENT: usize = 64;
        let mut recent = self.waiting.iter().rev().take(RECENT);
        if let Some(back) = recent.position(|(_, waiting)| waiting == thing) {
            self.waiting.remove(self.waiting.len() - 1 - back);
        }
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.waiting.front().map(|&(due, _)| due)
    }

    pub(super) fn pop(&mut self, now: Timestamp) -> Option<T> {
        if self.due()? > now {
            return None;
        }
        self.waiting.pop_front().map(|(_, thing)| thing)
    }
}

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u64,
    size: u64,
    tokens: u64,
    filled: Timestamp,
}

impl Bucket {
    pub(super) fn new(per_second: u64, size: u64, now: Timestamp) -> Self {
        Self {
            per_second,
            size,
            tokens: size,
            filled: now,
        }
    }

    /// Spends a token; false if there is none.
    pub(super) fn spend(&mut self, now: Timestamp) -> bool {
        let nanos = u64::try_from((now - self.filled).as_nanos()).unwrap_or(u64::MAX);
        let new = nanos.saturating_mul(self.per_second) / 1_000_000_000;
        if new > 0 {
            self.tokens = self.tokens.saturating_add(new).min(self.size);
            self.filled = now;
        }
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delayed_things_come_when_due_and_are_bounded() {
        let mut later = Later::new(Duration::from_nanos(10), 2);
        for thing in ["a", "b", "c"] {
            later.push(Timestamp(5), thing);
        }
        assert_eq!(later.due(), Some(Timestamp(15)));
        assert_eq!(later.pop(Timestamp(14)), None);
        assert_eq!(later.pop(Timestamp(15)), Some("a"));
        assert_eq!(later.pop(Timestamp(15)), Some("b"));
        assert_eq!(later.pop(Timestamp(99)), None);
        assert_eq!(later.due(), None);
    }

    #[test]
    fn recently_pushed_things_can_be_cancelled() {
        let mut later = Later::new(Duration::from_nanos(10), 1000);
        for thing in 0..100 {
            later.push(Timestamp(5), thing);
        }
        for thing in [99, 36, 90, 200] {
            later.cancel(&thing);
        }
        let left: Vec<i32> = std::iter::from_fn(|| later.pop(Timestamp(15))).collect();
        let kept: Vec<i32> = (0..99).filter(|it| ![36, 90].contains(it)).collect();
        assert_eq!(left, kept);
    }

    #[test]
    fn a_bucket_gives_its_size_at_once_and_then_its_rate() {
        let second = |n: u64| Timestamp(n * 1_000_000_000);
        let mut bucket = Bucket::new(10, 20, second(0));
        assert_eq!((0..50).filter(|_| bucket.spend(second(0))).count(), 20);
        assert_eq!((0..50).filter(|_| bucket.spend(second(1))).count(), 10);
        assert_eq!((0..50).filter(|_| bucket.spend(second(100))).count(), 20);
    }
}
