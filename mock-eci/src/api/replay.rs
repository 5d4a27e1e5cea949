//! Which nonces were used within the last 15 minutes.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// How far a request's time may be from the server's, and how long a nonce may not be used again.
pub(super) const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Most nonces of a generation: more than 1,000 calls a second for a whole window, some 20 MB.
const MOST: usize = 1_000_000;

/// Two generations of nonces: one is filled for a window (or until it is full), then kept for another, so each is remembered
/// for at least one window (or the newest million is) and memory is bounded. Nonces are kept as keyed 64-bit hashes: among 100,000 of them two
/// collide by chance once in 3.7 billion.
#[derive(Debug)]
pub(super) struct Nonces {
    hasher: RandomState,
    current: HashSet<u64>,
    previous: HashSet<u64>,
    since: Timestamp,
}

impl Nonces {
    /// None used yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            hasher: RandomState::new(),
            current: HashSet::new(),
            previous: HashSet::new(),
            since: now,
        }
    }

    /// Notes a nonce of an access key; false = it was used before.
    pub(super) fn note(&mut self, access_key_id: &str, nonce: &str, now: Timestamp) -> bool {
        let window = SignedDuration::try_from(WINDOW).unwrap_or(SignedDuration::MAX);
        if now.duration_since(self.since) >= window || self.current.len() >= MOST {
            self.previous = std::mem::take(&mut self.current);
            self.since = now;
        }
        let hash = self.hasher.hash_one((access_key_id, nonce));
        !self.previous.contains(&hash) && self.current.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_remembered_for_at_least_one_window() {
        let start = Timestamp::UNIX_EPOCH;
        let at = |minutes: i64| start + SignedDuration::from_mins(minutes);
        let mut nonces = Nonces::new(start);
        assert!(nonces.note("id", "n", at(14)));
        assert!(!nonces.note("id", "n", at(14)));
        assert!(nonces.note("other", "n", at(14)), "each key has nonces of its own");
        assert!(!nonces.note("id", "n", at(28)), "14 minutes later it is still known");
        assert!(nonces.note("id", "n", at(60)), "an hour later it is forgotten");
    }
}
