//! What each token stands for, until it is used or too old.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use crate::domain::exec::Exec;

/// How long a token can be used. ECI says 30 seconds of the address for browsers; taken to hold for both.
const LIFETIME: SignedDuration = SignedDuration::from_secs(30);
/// Most tokens that can be used at one time.
const MOST: usize = 1_000;

/// Stands for one command that may be run once. Whoever knows it needs no signature, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// 256 bits of a generator that the operating system seeds: what a server draws from its own seed can be guessed.
    fn random() -> Self {
        let bits: [u8; 32] = rand::random();
        Self(URL_SAFE_NO_PAD.encode(bits))
    }

    /// For the address that the caller of ECI gets.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<token>")
    }
}

#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<HashMap<Token, (Timestamp, Exec)>>);

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, HashMap<Token, (Timestamp, Exec)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new token for this command; none = there are too many.
    pub(super) fn issue(&self, exec: Exec, now: Timestamp) -> Option<Token> {
        let mut tickets = self.lock();
        tickets.retain(|_, (issued, _)| is_valid(*issued, now));
        if tickets.len() >= MOST {
            return None;
        }
        let token = Token::random();
        tickets.insert(token.clone(), (now, exec));
        Some(token)
    }

    /// What it stands for. It can be used no second time.
    pub(super) fn redeem(&self, token: &Token, now: Timestamp) -> Option<Exec> {
        let (issued, exec) = self.lock().remove(token)?;
        is_valid(issued, now).then_some(exec)
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}

fn is_valid(issued: Timestamp, now: Timestamp) -> bool {
    now.duration_since(issued) <= LIFETIME
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::exec::CommandLine;

    fn exec() -> Exec {
        Exec {
            group: "eci-x".into(),
            container: "c".into(),
            command: CommandLine(vec!["true".into()]),
            tty: false,
            stdin: false,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    #[test]
    fn a_token_is_good_once_and_for_half_a_minute() {
        let tickets = Tickets::default();
        let [used, late] = [0, 0].map(|second| tickets.issue(exec(), at(second)).expect("room"));
        assert!(tickets.redeem(&used, at(30)).is_some());
        assert!(tickets.redeem(&used, at(30)).is_none());
        assert!(tickets.redeem(&late, at(31)).is_none());
        assert!(tickets.redeem(&"guess".into(), at(0)).is_none());
    }

    #[test]
    fn tokens_are_bounded_and_make_room_as_they_age() {
        let tickets = Tickets::default();
        for _ in 0..MOST {
            assert!(tickets.issue(exec(), at(0)).is_some());
        }
        assert_eq!(tickets.issue(exec(), at(30)), None);
        assert!(tickets.issue(exec(), at(31)).is_some());
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = Tickets::default().issue(exec(), at(0)).expect("room");
        assert!(token.reveal().len() >= 43);
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
