//! `ClientToken`s: the same token with the same parameters gives the first result again, with others it is refused.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::spec::GroupId;

/// How long a token is remembered. How long ECI does is not documented; its sister products do so for a day.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

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

/// What is known of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// Never seen.
    New,
    /// This request was carried out before, with this result.
    Done(GroupId),
    /// The first request with it has not been answered yet.
    Processing,
    /// It came with other parameters.
    Mismatch,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    group: GroupId,
    /// Closed once the first request was answered or given up.
    processing: oneshot::Receiver<()>,
}

/// Held while the first request with a token is being answered.
#[derive(Debug)]
pub struct Processing(#[expect(dead_code, reason = "dropping it is what counts")] oneshot::Sender<()>);

/// All tokens of the last day.
#[derive(Debug, Default)]
pub struct Tokens {
    entries: HashMap<Arc<str>, Entry>,
    order: VecDeque<(Timestamp, Arc<str>)>,
}

impl Tokens {
    /// Looks a token up.
    pub fn look_up(&mut self, token: &str, fingerprint: Fingerprint, now: Timestamp) -> Known {
        self.forget_old(now);
        let Some(entry) = self.entries.get_mut(token) else {
            return Known::New;
        };
        if entry.fingerprint != fingerprint {
            return Known::Mismatch;
        }
        match entry.processing.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => Known::Processing,
            _ => Known::Done(entry.group.clone()),
        }
    }

    /// Remembers the result of the first request with a token.
    pub fn remember(&mut self, token: &str, fingerprint: Fingerprint, group: GroupId, now: Timestamp) -> Processing {
        let (sender, processing) = oneshot::channel();
        let token: Arc<str> = token.into();
        self.order.push_back((now, token.clone()));
        self.entries.insert(
            token,
            Entry {
                fingerprint,
                group,
                processing,
            },
        );
        Processing(sender)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some((since, token)) = self.order.front() {
            if now.duration_since(*since) < REMEMBERED {
                break;
            }
            self.entries.remove(token);
            self.order.pop_front();
        }
    }
}
