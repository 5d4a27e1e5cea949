//! (pure) Which certificate follows which, and when.
//!
//! | state | bundle | served |
//! |---|---|---|
//! | one generation | its CA | it |
//! | its end comes near: the next one is made | both CAs | the old one |
//! | the bundle with both was in the configuration for the overlap | both CAs | the new one |
//! | the old CA has ended | the new CA | the new one |
//!
//! So a replica that looks late serves what is still trusted, and an API server that sees the configuration late trusts what is still
//! served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use tokio::time::Instant;

use super::generation::{Generation, certificates, end_of};
use super::{LIFE, OVERLAP, RENEWED_BEFORE_END};

/// Keys of the Secret: those of the current generation as every TLS secret has them.
const KEYS: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];
const NEXT_KEYS: [&str; 3] = ["next-ca.crt", "next-tls.crt", "next-tls.key"];
const FORMER_CA: &str = "former-ca.crt";

/// Times of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long a certificate and its CA are good.
    pub life: Duration,
    /// How long a new CA is trusted before it is used.
    pub overlap: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            life: LIFE,
            overlap: OVERLAP,
        }
    }
}

/// What the Secret holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// What is served with.
    pub(crate) current: Option<Generation>,
    /// What will be, once its CA is trusted.
    pub(crate) next: Option<Generation>,
    /// CA of what was served with before, which a replica that looks late still does.
    pub(crate) former_ca: Option<String>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A generation to be served with at once: there is none that could be.
    Begin,
    /// A generation whose CA is to be trusted before it is used.
    Stage,
    /// The next one becomes the current one.
    Promote,
    /// The former CA has ended.
    Forget,
}

impl Kept {
    /// Reads the data of the Secret. What is incomplete counts as missing.
    pub(crate) fn read(data: &BTreeMap<String, ByteString>) -> Self {
        let text = |key: &str| {
            let bytes = data.get(key).map(|bytes| bytes.0.clone());
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .filter(|text| !text.is_empty())
        };
        let generation = |[ca, certificate, key]: [&str; 3]| {
            Some(Generation {
                ca: text(ca)?,
                certificate: text(certificate)?,
                key: text(key)?,
            })
        };
        Self {
            current: generation(KEYS),
            next: generation(NEXT_KEYS),
            former_ca: text(FORMER_CA),
        }
    }

    /// The data of the Secret; none = no such key.
    pub(super) fn write(&self) -> BTreeMap<&'static str, Option<ByteString>> {
        let bytes = |text: &String| ByteString(text.clone().into_bytes());
        let mut data = BTreeMap::from([(FORMER_CA, self.former_ca.as_ref().map(bytes))]);
        for (keys, generation) in [(KEYS, &self.current), (NEXT_KEYS, &self.next)] {
            let [ca, certificate, key] = keys;
            let of = |part: fn(&Generation) -> &String| generation.as_ref().map(|g| bytes(part(g)));
            data.insert(ca, of(|g| &g.ca));
            data.insert(certificate, of(|g| &g.certificate));
            data.insert(key, of(|g| &g.key));
        }
        data
    }

    /// The CAs that are to be trusted.
    pub(crate) fn bundle(&self) -> String {
        let generations = [&self.current, &self.next];
        let cas = generations.into_iter().flatten().map(|generation| &generation.ca);
        cas.chain(&self.former_ca).map(String::as_str).collect()
    }

    /// Whether `bundle` trusts the same CAs.
    pub(crate) fn is_trusted_by(&self, bundle: &[u8]) -> bool {
        certificates(bundle) == certificates(self.bundle().as_bytes())
    }

    /// What is due now, for an API server that calls by `names`; `trusted_since` is since when the configuration is seen to hold the
    /// CA of the next generation.
    pub(super) fn due(
        &self,
        names: &BTreeSet<String>,
        now: (Timestamp, Instant),
        trusted_since: Option<Instant>,
        times: Times,
    ) -> Option<Due> {
        let (wall, now) = now;
        let remaining = |generation: &Generation| {
            let usable = generation.covers(names) && generation.server().is_ok();
            let end = generation.end().filter(|_| usable)?;
            Duration::try_from(end.duration_since(wall))
                .ok()
                .filter(|left| !left.is_zero())
        };
        let Some(left) = self.current.as_ref().and_then(remaining) else {
            // Without a name there is nothing to make one for.
            return (!names.is_empty()).then_some(Due::Begin);
        };
        match self.next.as_ref().map(remaining) {
            Some(Some(_)) => {
                let trusted = trusted_since.is_some_and(|since| now.duration_since(since) >= times.overlap);
                return trusted.then_some(Due::Promote);
            }
            // One that was made and forgotten, or for other names.
            Some(None) => return Some(Due::Stage),
            None => {}
        }
        if left <= times.life / RENEWED_BEFORE_END {
            return Some(Due::Stage);
        }
        let former_end = self.former_ca.as_deref().map(end_of);
        former_end
            .is_some_and(|end| end.is_none_or(|end| end <= wall))
            .then_some(Due::Forget)
    }

    /// After what was due; `new` is the generation that was made for it.
    pub(super) fn after(self, due: Due, new: Option<Generation>) -> Self {
        let former_ca = self.current.as_ref().map(|g| g.ca.clone());
        match due {
            // Whoever still serves with the old one is trusted for as long as it lasts.
            Due::Begin => Self {
                former_ca: former_ca.filter(|_| new.is_some()),
                current: new,
                next: None,
            },
            Due::Stage => Self { next: new, ..self },
            Due::Promote => Self {
                current: self.next,
                next: None,
                former_ca,
            },
            Due::Forget => Self {
                former_ca: None,
                ..self
            },
        }
    }
}

impl Due {
    /// Whether a generation is to be made for it.
    pub(super) fn needs_new(self) -> bool {
        matches!(self, Self::Begin | Self::Stage)
    }
}

#[cfg(test)]
mod tests;
