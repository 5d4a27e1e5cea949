//! Who we are to ECI: sources of access keys, one file each, and the chain that tries them in order.

mod cached;
mod chain;
mod env;
mod environment;
mod oidc;
mod profile;
mod ram_role;

pub use chain::Chain;
pub use env::EnvCredentials;
pub use environment::Environment;
pub use oidc::OidcCredentials;
pub use profile::ProfileCredentials;
pub use ram_role::RamRoleCredentials;

use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;

/// Text that must not be seen. `Debug` never shows it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The text itself, for signing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("** redacted **")
    }
}

/// An access key, with a session token if it is a temporary one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The key's id: not secret, part of every request.
    pub access_key_id: String,
    /// The key's secret.
    pub access_key_secret: Secret,
    /// The token that goes with a temporary key.
    pub security_token: Option<Secret>,
    /// When a temporary key ends.
    pub expires_at: Option<Timestamp>,
}

impl Credentials {
    /// A lasting key.
    pub fn new(access_key_id: impl Into<String>, access_key_secret: impl Into<String>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            access_key_secret: Secret::new(access_key_secret),
            security_token: None,
            expires_at: None,
        }
    }
}

/// Why there are no credentials.
#[derive(Debug)]
pub enum CredentialsError {
    /// This source is not configured here: a chain tries the next one.
    NotLoaded {
        /// The source.
        source: &'static str,
        /// What it looked for.
        missing: String,
    },
    /// This source is configured and does not work: a chain stops.
    Invalid {
        /// The source.
        source: &'static str,
        /// What is wrong, without any secret.
        problem: String,
        /// Its cause.
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// No source of a chain is configured.
    NoSource {
        /// What each of them said.
        tried: Vec<CredentialsError>,
    },
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoaded { source, missing } => write!(f, "{source}: {missing}"),
            Self::Invalid { source, problem, .. } => write!(f, "credentials from {source}: {problem}"),
            Self::NoSource { tried } => {
                f.write_str("no credentials for Alibaba Cloud found. Tried: ")?;
                for (i, error) in tried.iter().enumerate() {
                    write!(f, "{}{error}", if i == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid { cause, .. } => cause
                .as_ref()
                .map(|cause| &**cause as &(dyn std::error::Error + 'static)),
            Self::NotLoaded { .. } | Self::NoSource { .. } => None,
        }
    }
}

/// What asking for credentials returns.
pub type Provided<'a> = BoxFuture<'a, Result<Arc<Credentials>, CredentialsError>>;

/// A source of credentials. Asked before every attempt, so it must keep what it has found.
pub trait ProvideCredentials: Send + Sync + fmt::Debug {
    /// The credentials to use now.
    fn provide(&self) -> Provided<'_>;

    /// New credentials in place of `refused`, which ECI did not accept. A source that cannot renew returns the same
    /// again.
    fn renew(&self, refused: &Arc<Credentials>) -> Provided<'_> {
        let _ = refused;
        self.provide()
    }
}

/// Fixed credentials.
impl ProvideCredentials for Credentials {
    fn provide(&self) -> Provided<'_> {
        let credentials = Arc::new(self.clone());
        async move { Ok(credentials) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let mut credentials = Credentials::new("id", "s3cr3t");
        credentials.security_token = Some(Secret::new("t0k3n"));
        let shown = format!("{credentials:?} {credentials:#?}");
        assert!(
            shown.contains("\"id\"") && !shown.contains("s3cr3t") && !shown.contains("t0k3n"),
            "{shown}"
        );
    }
}
