//! Many deadlines, one task: a queue of things to do later, by the server's clock.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

/// Things to do, by time; equal times in the order they were added.
#[derive(Debug)]
pub struct Timers<T> {
    queue: BTreeMap<(Timestamp, u64), T>,
    added: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            queue: BTreeMap::new(),
            added: 0,
        }
    }
}

impl<T> Timers<T> {
    /// Adds one; true = it is the first now, and whoever sleeps for the queue has to look again.
    pub fn add(&mut self, at: Timestamp, what: T) -> bool {
        self.added += 1;
        let key = (at, self.added);
        self.queue.insert(key, what);
        self.queue.first_key_value().is_some_and(|(first, _)| *first == key)
    }

    /// Takes the first one whose time has come.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<T> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the first one is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.queue.clear();
    }
}

/// A time after another, at most the end of time.
pub(crate) fn after(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}
