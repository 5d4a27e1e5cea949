//! Credentials from environment variables.

use std::sync::Arc;

use futures::FutureExt as _;

use super::{Credentials, CredentialsError, Environment, ProvideCredentials, Provided, Secret};

const SOURCE: &str = "environment";
const ACCESS_KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const ACCESS_KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const SECURITY_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";

/// `ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET` and, for a temporary key,
/// `ALIBABA_CLOUD_SECURITY_TOKEN`.
#[derive(Clone, Debug)]
pub struct EnvCredentials(Environment);

impl EnvCredentials {
    /// Reads from `environment`.
    pub fn new(environment: Environment) -> Self {
        Self(environment)
    }

    fn load(&self) -> Result<Arc<Credentials>, CredentialsError> {
        match (self.0.get(ACCESS_KEY_ID), self.0.get(ACCESS_KEY_SECRET)) {
            (Some(id), Some(secret)) => {
                let mut credentials = Credentials::new(id, secret);
                credentials.security_token = self.0.get(SECURITY_TOKEN).map(Secret::new);
                Ok(Arc::new(credentials))
            }
            (None, None) => Err(CredentialsError::NotLoaded {
                source: SOURCE,
                missing: format!("{ACCESS_KEY_ID} and {ACCESS_KEY_SECRET} are not set"),
            }),
            (id, _) => Err(CredentialsError::Invalid {
                source: SOURCE,
                problem: match id {
                    Some(_) => format!("{ACCESS_KEY_ID} is set, {ACCESS_KEY_SECRET} is not"),
                    None => format!("{ACCESS_KEY_SECRET} is set, {ACCESS_KEY_ID} is not"),
                },
                cause: None,
            }),
        }
    }
}

impl ProvideCredentials for EnvCredentials {
    fn provide(&self) -> Provided<'_> {
        let loaded = self.load();
        async move { loaded }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn load(variables: &[(&str, &str)]) -> Result<Arc<Credentials>, CredentialsError> {
        EnvCredentials::new(Environment::of(variables.iter().copied()))
            .provide()
            .await
    }

    #[tokio::test]
    async fn a_key_with_and_without_a_token() {
        let key = [(ACCESS_KEY_ID, "id"), (ACCESS_KEY_SECRET, "secret")];
        let lasting = load(&key).await.expect("a key");
        assert_eq!(
            (lasting.access_key_id.as_str(), lasting.access_key_secret.expose()),
            ("id", "secret")
        );
        assert_eq!(lasting.security_token, None);
        let temporary = load(&[key[0], key[1], (SECURITY_TOKEN, "token")]).await.expect("a key");
        assert_eq!(temporary.security_token, Some(Secret::new("token")));
    }

    #[tokio::test]
    async fn nothing_is_not_loaded_and_half_a_key_is_wrong() {
        assert!(matches!(
            load(&[(ACCESS_KEY_ID, "")]).await,
            Err(CredentialsError::NotLoaded { .. })
        ));
        for half in [(ACCESS_KEY_ID, "id"), (ACCESS_KEY_SECRET, "secret")] {
            assert!(
                matches!(load(&[half]).await, Err(CredentialsError::Invalid { .. })),
                "{half:?}"
            );
        }
    }
}
