//! `ClientToken`s: the same token with the same parameters gives the first result again, with others it is refused.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

/// How long a token is remembered. How long ECI does is not documented; its sister products do so for a day.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// Most tokens remembered; the oldest go first. At ~0.2 kB each this is some 40 MB.
const MAX_TOKENS: usize = 200_000;

/// What distinguishes two requests: a hash of all business parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of parameters in a fixed order.
    pub fn of<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut hash = Sha256::new();
        for (name, value) in parameters {
            for text in [name, value] {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
        Self(hash.finalize().into())
    }

    /// As text, for a record.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// From text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// A token and whose it is. The same token of another action is another one: callers use the UID of what they act on for
/// its creation and its deletion alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The action it came with.
    pub action: &'static str,
    /// The token.
    pub token: Arc<str>,
}

impl Key {
    /// The token of an action.
    pub fn new(action: &'static str, token: &str) -> Self {
        Self {
            action,
            token: token.into(),
        }
    }
}

/// What is known of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// Never seen.
    New,
    /// This request was carried out before, with this result.
    Done(Arc<str>),
    /// The first request with it has not been answered yet.
    Processing,
    /// It came with other parameters.
    Mismatch,
}

#[derive(Debug)]
struct Entry {
    since: Timestamp,
    fingerprint: Fingerprint,
    /// What the first request led to, in words of its action: an id, say.
    result: Arc<str>,
    /// Closed once the first request was answered or given up.
    processing: oneshot::Receiver<()>,
}

/// Held while the first request with a token is being answered.
#[derive(Debug)]
pub struct Processing(#[expect(dead_code, reason = "dropping it is what counts")] oneshot::Sender<()>);

/// All tokens of the last day.
#[derive(Debug, Default)]
pub struct Tokens {
    entries: HashMap<Key, Entry>,
    order: VecDeque<(Timestamp, Key)>,
}

impl Tokens {
    /// Looks a token up.
    pub fn look_up(&mut self, key: &Key, fingerprint: Fingerprint, now: Timestamp) -> Known {
        self.forget_old(now);
        let Some(entry) = self.entries.get_mut(key) else {
            return Known::New;
        };
        if entry.fingerprint != fingerprint {
            return Known::Mismatch;
        }
        match entry.processing.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => Known::Processing,
            _ => Known::Done(entry.result.clone()),
        }
    }

    /// Remembers a token with the result of its first request, or with an empty one that [`Tokens::settle`] replaces.
    pub fn remember(&mut self, key: Key, fingerprint: Fingerprint, result: &str, now: Timestamp) -> Processing {
        if self.order.len() >= MAX_TOKENS {
            self.forget_oldest();
        }
        let (sender, processing) = oneshot::channel();
        self.order.push_back((now, key.clone()));
        self.entries.insert(
            key,
            Entry {
                since: now,
                fingerprint,
                result: result.into(),
                processing,
            },
        );
        Processing(sender)
    }

    /// Notes what the first request led to.
    pub fn settle(&mut self, key: &Key, result: &str) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.result = result.into();
        }
    }

    /// Forgets one: its request was refused, and may be repeated with better parameters.
    pub fn forget(&mut self, key: &Key) {
        self.entries.remove(key);
        // It is among the newest, if it is there at all.
        if let Some(at) = self.order.iter().rposition(|(_, k)| k == key) {
            self.order.remove(at);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self
            .order
            .front()
            .is_some_and(|(since, _)| now.duration_since(*since) >= REMEMBERED)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((since, key)) = self.order.pop_front()
            && self.entries.get(&key).is_some_and(|e| e.since == since)
        {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn fingerprint(value: &str) -> Fingerprint {
        Fingerprint::of([("Name", value)].into_iter())
    }

    #[test]
    fn a_token_belongs_to_its_action_and_its_parameters() {
        let mut tokens = Tokens::default();
        let create = Key::new("Create", "t");
        let processing = tokens.remember(create.clone(), fingerprint("a"), "id-1", at(0));
        assert_eq!(tokens.look_up(&create, fingerprint("a"), at(1)), Known::Processing);
        drop(processing);
        assert_eq!(
            tokens.look_up(&create, fingerprint("a"), at(1)),
            Known::Done("id-1".into())
        );
        assert_eq!(tokens.look_up(&create, fingerprint("b"), at(1)), Known::Mismatch);
        let delete = Key::new("Delete", "t");
        assert_eq!(tokens.look_up(&delete, fingerprint("b"), at(1)), Known::New);
        assert_eq!(tokens.look_up(&create, fingerprint("a"), at(86_400)), Known::New);
    }

    #[test]
    fn a_refused_request_leaves_no_trace() {
        let mut tokens = Tokens::default();
        let key = Key::new("Create", "t");
        drop(tokens.remember(key.clone(), fingerprint("a"), "", at(0)));
        tokens.forget(&key);
        assert_eq!(tokens.look_up(&key, fingerprint("b"), at(1)), Known::New);
        drop(tokens.remember(key.clone(), fingerprint("b"), "", at(1)));
        tokens.settle(&key, "id-2");
        assert_eq!(
            tokens.look_up(&key, fingerprint("b"), at(2)),
            Known::Done("id-2".into())
        );
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut tokens = Tokens::default();
        for n in 0..=MAX_TOKENS {
            drop(tokens.remember(Key::new("Create", &n.to_string()), fingerprint("a"), "id", at(0)));
        }
        assert_eq!(
            tokens.look_up(&Key::new("Create", "0"), fingerprint("a"), at(0)),
            Known::New
        );
        assert_eq!(
            tokens.look_up(&Key::new("Create", "1"), fingerprint("a"), at(0)),
            Known::Done("id".into())
        );
    }
}
