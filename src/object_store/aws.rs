//! Credentials as users of AWS expect them: from the environment, or from the shared credentials file.

use std::path::PathBuf;
use std::sync::Arc;

use eci::credentials::{Environment, Provided};
use eci::{Credentials, CredentialsError, ProvideCredentials, Secret};
use futures::FutureExt as _;

const SOURCE: &str = "AWS";
const DEFAULT_PROFILE: &str = "default";

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, or profile `AWS_PROFILE` of
/// `AWS_SHARED_CREDENTIALS_FILE` (`~/.aws/credentials`), which is read whenever it is needed, as it may be rotated.
#[derive(Debug)]
pub(super) struct AwsCredentials {
    environment: Environment,
}

impl AwsCredentials {
    pub(super) fn new(environment: Environment) -> Self {
        Self { environment }
    }

    fn of_environment(&self) -> Option<Credentials> {
        let id = self.environment.get("AWS_ACCESS_KEY_ID")?;
        let mut credentials = Credentials::new(id, self.environment.get("AWS_SECRET_ACCESS_KEY")?);
        credentials.security_token = self.environment.get("AWS_SESSION_TOKEN").map(Secret::new);
        Some(credentials)
    }

    async fn of_file(&self) -> Result<Credentials, CredentialsError> {
        let named = self.environment.get("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let home = || Some(PathBuf::from(self.environment.get("HOME")?).join(".aws/credentials"));
        let missing = |missing: String| CredentialsError::NotLoaded {
            source: SOURCE,
            missing,
        };
        let path = named.or_else(home).ok_or_else(|| {
            missing(
                "neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_SHARED_CREDENTIALS_FILE is set".to_owned(),
            )
        })?;
        let shown = path.display();
        let text = tokio::fs::read_to_string(&path).await.map_err(|error| {
            missing(format!(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and {shown} cannot be read: {error}"
            ))
        })?;
        let profile = self.environment.get("AWS_PROFILE");
        let profile = profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        of_profile(&text, profile).ok_or_else(|| CredentialsError::Invalid {
            source: SOURCE,
            problem: format!("{shown} has no aws_access_key_id and aws_secret_access_key in profile `{profile}`"),
            cause: None,
        })
    }
}

impl ProvideCredentials for AwsCredentials {
    fn provide(&self) -> Provided<'_> {
        async move {
            match self.of_environment() {
                Some(credentials) => Ok(Arc::new(credentials)),
                None => self.of_file().await.map(Arc::new),
            }
        }
        .boxed()
    }
}

/// The keys of a profile.
fn of_profile(text: &str, profile: &str) -> Option<Credentials> {
    let (mut id, mut secret, mut token) = (None, None, None);
    let mut within = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            within = name.trim() == profile;
        } else if within && let Some((key, value)) = line.split_once('=') {
            let value = value.trim().to_owned();
            match key.trim() {
                "aws_access_key_id" => id = Some(value),
                "aws_secret_access_key" => secret = Some(value),
                "aws_session_token" => token = Some(value),
                _ => {}
            }
        }
    }
    let mut credentials = Credentials::new(id?, secret?);
    credentials.security_token = token.map(Secret::new);
    Some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_found_among_others() {
        let text = "# comment\n[default]\naws_access_key_id = one\naws_secret_access_key=two=2\n\n[other]\n\
                    aws_access_key_id=three\naws_secret_access_key = four\naws_session_token = five\n[half]\naws_access_key_id=x\n";
        let keys = |profile: &str| {
            let found = of_profile(text, profile)?;
            let token = found.security_token.map(|token| token.expose().to_owned());
            Some((found.access_key_id, found.access_key_secret.expose().to_owned(), token))
        };
        assert_eq!(keys("default"), Some(("one".to_owned(), "two=2".to_owned(), None)));
        let other = ("three".to_owned(), "four".to_owned(), Some("five".to_owned()));
        assert_eq!(keys("other"), Some(other));
        assert_eq!(keys("half"), None);
        assert_eq!(keys("nobody"), None);
    }

    #[tokio::test]
    async fn the_environment_comes_first_and_the_file_second() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "[p]\naws_access_key_id=filed\naws_secret_access_key=s\n").expect("writes");
        let path = file.path().to_str().expect("a path");
        let id = async |pairs: &[(&str, &str)]| {
            let source = AwsCredentials::new(Environment::of(pairs.iter().copied()));
            source.provide().await.map(|found| found.access_key_id.clone())
        };
        let both = [
            ("AWS_ACCESS_KEY_ID", "given"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_SHARED_CREDENTIALS_FILE", path),
            ("AWS_PROFILE", "p"),
        ];
        assert_eq!(id(&both).await.expect("found"), "given");
        assert_eq!(id(&both[2..]).await.expect("found"), "filed");
        let error = id(&both[2..3]).await.expect_err("no such profile").to_string();
        assert!(error.contains("profile `default`"), "{error}");
        let error = id(&[]).await.expect_err("nothing is set").to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    }
}
