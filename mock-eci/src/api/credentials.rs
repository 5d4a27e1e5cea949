//! Who may call: key pairs, and temporary credentials that expire.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;

use super::{error::ApiError, signature};
use crate::config::AccessKey;

/// Most credentials at once; beyond that the oldest temporary ones go.
const MAX: usize = 1_000;

/// One credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Key pair and token.
    pub key: AccessKey,
    /// Whether it is in use; a disabled one is `InvalidAccessKeyId.Inactive`.
    pub active: bool,
    /// When it expires, by the server's clock; none = never.
    pub expires_at: Option<Timestamp>,
}

impl Credential {
    /// One that never expires.
    pub fn new(key: AccessKey) -> Self {
        Self {
            key,
            active: true,
            expires_at: None,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub struct Credentials {
    configured: Vec<AccessKey>,
    known: RwLock<Vec<Arc<Credential>>>,
}

impl Credentials {
    /// These, all active.
    pub fn new(configured: Vec<AccessKey>) -> Self {
        let all = Self {
            configured,
            known: RwLock::default(),
        };
        all.reset();
        all
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Credential>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Credential>>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Back to those of the settings.
    pub fn reset(&self) {
        let keys = self.configured.iter().cloned();
        *self.write() = keys.map(|key| Arc::new(Credential::new(key))).collect();
    }

    /// All there are.
    pub fn list(&self) -> Vec<Arc<Credential>> {
        self.read().clone()
    }

    /// The one of this id.
    pub fn find(&self, id: &str) -> Option<Arc<Credential>> {
        self.read().iter().find(|c| c.key.id == id).cloned()
    }

    /// Adds one, or replaces the one of the same id.
    pub fn put(&self, credential: Credential, now: Timestamp) {
        let mut known = self.write();
        if let Some(old) = known.iter_mut().find(|c| c.key.id == credential.key.id) {
            *old = Arc::new(credential);
            return;
        }
        if known.len() >= MAX {
            known.retain(|c| c.expires_at.is_none_or(|at| at > now));
        }
        if known.len() >= MAX {
            let oldest = known.iter().position(|c| c.expires_at.is_some()).unwrap_or(0);
            known.remove(oldest);
        }
        known.push(Arc::new(credential));
    }

    /// Takes one away; false = there is none of this id.
    pub fn remove(&self, id: &str) -> bool {
        let mut known = self.write();
        let before = known.len();
        known.retain(|c| c.key.id != id);
        known.len() < before
    }

    /// The credential a caller names, if it may be used now.
    ///
    /// # Errors
    /// `InvalidAccessKeyId.*` and `InvalidSecurityToken.*`.
    pub fn usable(&self, id: &str, token: Option<&str>, now: Timestamp) -> Result<Arc<Credential>, ApiError> {
        let credential = self.find(id).ok_or_else(ApiError::access_key_not_found)?;
        if !credential.active {
            return Err(ApiError::access_key_inactive());
        }
        let same = match (&credential.key.security_token, token) {
            (None, None) => true,
            (Some(expected), Some(given)) => signature::equal(expected, given),
            _ => false,
        };
        if !same {
            return Err(ApiError::security_token_mismatch());
        }
        if credential.expires_at.is_some_and(|at| at <= now) {
            return Err(ApiError::security_token_expired());
        }
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn key(id: &str, token: Option<&str>) -> AccessKey {
        AccessKey {
            id: id.to_owned(),
            secret: "s".to_owned(),
            security_token: token.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_code() {
        let now = Timestamp::UNIX_EPOCH;
        let all = Credentials::new(vec![key("plain", None)]);
        all.put(
            Credential {
                expires_at: Some(now + SignedDuration::from_secs(1)),
                ..Credential::new(key("sts", Some("token")))
            },
            now,
        );
        let code = |id: &str, token: Option<&str>, at: i64| {
            let now = now + SignedDuration::from_secs(at);
            all.usable(id, token, now)
                .map_or_else(|e| e.code.to_string(), |c| c.key.id.clone())
        };
        assert_eq!(code("plain", None, 0), "plain");
        assert_eq!(code("nobody", None, 0), "InvalidAccessKeyId.NotFound");
        assert_eq!(code("sts", Some("token"), 0), "sts");
        assert_eq!(code("sts", None, 0), "InvalidSecurityToken.MismatchWithAccessKey");
        assert_eq!(
            code("plain", Some("token"), 0),
            "InvalidSecurityToken.MismatchWithAccessKey"
        );
        assert_eq!(code("sts", Some("token"), 1), "InvalidSecurityToken.Expired");
        all.put(
            Credential {
                active: false,
                ..Credential::new(key("plain", None))
            },
            now,
        );
        assert_eq!(code("plain", None, 0), "InvalidAccessKeyId.Inactive");
        all.reset();
        assert_eq!(code("plain", None, 0), "plain");
        assert_eq!(code("sts", Some("token"), 0), "InvalidAccessKeyId.NotFound");
    }

    #[test]
    fn they_are_bounded_and_lasting_ones_stay() {
        let now = Timestamp::UNIX_EPOCH;
        let all = Credentials::new(vec![key("plain", None)]);
        for n in 0..MAX + 10 {
            let expires_at = Some(now + SignedDuration::from_secs(60));
            let key = key(&format!("sts-{n}"), Some("t"));
            all.put(
                Credential {
                    key,
                    active: true,
                    expires_at,
                },
                now,
            );
        }
        assert_eq!(all.list().len(), MAX);
        assert!(all.find("plain").is_some() && all.find("sts-0").is_none());
    }
}
