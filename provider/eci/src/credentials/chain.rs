//! Sources in order of precedence.

use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;

use super::{
    Credentials, CredentialsError, EnvCredentials, Environment, OidcCredentials, ProfileCredentials,
    ProvideCredentials, Provided, RamRoleCredentials,
};
use crate::Transport;
use crate::clock::Clock;

/// Asks each source in turn: one that is not configured passes on, one that is configured and fails ends the search, so
/// that a mistake in a file is reported and not covered up by another identity. The source that answered first is kept
/// from then on.
#[derive(Debug)]
pub struct Chain {
    sources: Vec<Box<dyn ProvideCredentials>>,
    chosen: OnceLock<usize>,
}

impl Chain {
    /// These sources, in this order.
    pub fn new(sources: Vec<Box<dyn ProvideCredentials>>) -> Self {
        Self {
            sources,
            chosen: OnceLock::new(),
        }
    }

    /// The default order of Alibaba Cloud's SDKs: environment variables, an OIDC token (RRSA in ACK), the profile file,
    /// and last the role of the ECS instance. The SDKs' CLI profile and credentials URI are left out.
    ///
    /// Nothing is sent before credentials are asked for, and the instance's metadata service only if all others are not
    /// configured.
    pub fn full_order(environment: &Environment, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        Self::new(vec![
            Box::new(EnvCredentials::new(environment.clone())),
            Box::new(OidcCredentials::new(environment, transport.clone(), clock.clone())),
            Box::new(ProfileCredentials::new(environment)),
            Box::new(RamRoleCredentials::new(environment, transport, clock)),
        ])
    }

    /// The sources of [`Self::full_order`] that need no network: environment variables, then the profile file.
    pub fn default_order(environment: &Environment) -> Self {
        Self::new(vec![
            Box::new(EnvCredentials::new(environment.clone())),
            Box::new(ProfileCredentials::new(environment)),
        ])
    }
}

impl ProvideCredentials for Chain {
    fn provide(&self) -> Provided<'_> {
        if let Some(chosen) = self.chosen.get() {
            return self.sources[*chosen].provide();
        }
        async move {
            let mut tried = Vec::new();
            for (i, source) in self.sources.iter().enumerate() {
                match source.provide().await {
                    Ok(credentials) => {
                        // Another task may have been quicker; sources are asked in the same order, so it chose the
                        // same.
                        let _ = self.chosen.set(i);
                        return Ok(credentials);
                    }
                    Err(error @ CredentialsError::NotLoaded { .. }) => tried.push(error),
                    Err(error) => return Err(error),
                }
            }
            Err(CredentialsError::NoSource { tried })
        }
        .boxed()
    }

    fn renew(&self, refused: &Arc<Credentials>) -> Provided<'_> {
        match self.chosen.get() {
            Some(chosen) => self.sources[*chosen].renew(refused),
            None => self.provide(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_environment_comes_before_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(
            file.path(),
            "[default]\ntype=access_key\naccess_key_id=file\naccess_key_secret=s\n",
        )
        .expect("written");
        let path = file.path().to_str().expect("a plain path");
        let from_file = [("ALIBABA_CLOUD_CREDENTIALS_FILE", path)];
        let from_env = [
            from_file[0],
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "env"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s"),
        ];
        let id = async |variables: &[(&str, &str)]| {
            let chain = Chain::default_order(&Environment::of(variables.iter().copied()));
            chain.provide().await.expect("a key").access_key_id.clone()
        };
        assert_eq!(id(&from_env).await, "env");
        assert_eq!(id(&from_file).await, "file");
    }

    #[tokio::test]
    async fn the_network_is_asked_last() {
        type Body = http_body_util::Full<bytes::Bytes>;
        let service = tower::service_fn(|request: http::Request<Body>| async move {
            assert_eq!(request.uri().host(), Some("100.100.100.200"));
            let body = if request.uri().path().ends_with("/r") {
                r#"{"Code":"Success","AccessKeyId":"role","AccessKeySecret":"s","SecurityToken":"t"}"#
            } else {
                "r"
            };
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(body)))
        });
        let transport = Arc::new(crate::TowerTransport::<_, Body>::new(service));
        let id = async |variables: &[(&str, &str)]| {
            let environment = Environment::of(variables.iter().copied());
            let clock = Arc::new(crate::clock::SystemClock);
            let chain = Chain::full_order(&environment, transport.clone(), clock);
            chain.provide().await.expect("a key").access_key_id.clone()
        };
        assert_eq!(id(&[]).await, "role");
        assert_eq!(
            id(&[
                ("ALIBABA_CLOUD_ACCESS_KEY_ID", "env"),
                ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s")
            ])
            .await,
            "env"
        );
    }

    #[tokio::test]
    async fn half_a_key_is_not_covered_up() {
        let variables = [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "env"),
            ("ALIBABA_CLOUD_CREDENTIALS_FILE", "/nonexistent"),
        ];
        let error = Chain::default_order(&Environment::of(variables))
            .provide()
            .await
            .expect_err("half a key");
        assert!(error.to_string().contains("ALIBABA_CLOUD_ACCESS_KEY_SECRET"), "{error}");
    }

    #[tokio::test]
    async fn nothing_found_lists_every_attempt() {
        let error = Chain::default_order(&Environment::of([]))
            .provide()
            .await
            .expect_err("nothing");
        let shown = error.to_string();
        assert!(
            shown.contains("ALIBABA_CLOUD_ACCESS_KEY_ID") && shown.contains("profile file"),
            "{shown}"
        );
    }
}
