//! Images: pull policy, credentials, and the kubelet's words for what goes wrong.
//!
//! Which registries are spoken to without TLS is a setting of the engine that its API cannot change, so
//! `InsecureRegistry` and `PlainHttpRegistry` have no effect here.

use std::time::Duration;

use bollard::{auth::DockerCredentials, models::ImageInspect};
use tokio::time::Instant;

use super::engine::{Engine, EngineError};
use crate::spec::{PullPolicy, RegistryCredential};

/// The registry of images that name none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// An image the engine holds.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// Its digest, or its id where it was never in a registry.
    pub(super) id: String,
    /// `user[:group]`, empty = root.
    pub(super) user: String,
    /// What ends its containers, such as `SIGTERM`.
    pub(super) stop_signal: String,
}

/// Why an image cannot be had: the kubelet's word and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageError {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl From<ImageInspect> for Image {
    fn from(image: ImageInspect) -> Self {
        let digest = image.repo_digests.into_iter().flatten().next();
        let config = image.config.unwrap_or_default();
        Self {
            id: digest.or(image.id).unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            stop_signal: config
                .stop_signal
                .filter(|signal| !signal.is_empty())
                .unwrap_or_else(|| "SIGTERM".to_owned()),
        }
    }
}

/// Makes sure that the engine holds `image`, pulling it as the policy says; `pulling` is called when a pull begins.
/// Answers how long the pull took, if there was one.
pub(super) async fn ensure(
    engine: &Engine,
    image: &str,
    policy: PullPolicy,
    credentials: &[RegistryCredential],
    pulling: impl FnOnce(),
) -> Result<(Image, Option<Duration>), ImageError> {
    if image.is_empty() || image.contains(|c: char| c.is_whitespace() || c.is_control()) || image.contains("://") {
        let message =
            format!("Failed to apply default image tag {image:?}: couldn't parse image name: invalid reference format");
        return Err(ImageError {
            reason: "InvalidImageName",
            message,
        });
    }
    let look = async || {
        let failed = |error: EngineError| ImageError {
            reason: "ImageInspectError",
            message: format!("Failed to inspect image {image:?}: {error}"),
        };
        engine
            .image(image)
            .await
            .map(|found| found.map(Image::from))
            .map_err(failed)
    };
    if policy != PullPolicy::Always
        && let Some(found) = look().await?
    {
        return Ok((found, None));
    }
    if policy == PullPolicy::Never {
        let message = format!("Container image {image:?} is not present with pull policy of Never");
        return Err(ImageError {
            reason: "ErrImageNeverPull",
            message,
        });
    }
    let _permit = engine.pull_permit().await;
    if policy != PullPolicy::Always
        && let Some(found) = look().await?
    {
        // Another container's pull brought it meanwhile.
        return Ok((found, None));
    }
    pulling();
    let begin = Instant::now();
    let failed = |message: &str| ImageError {
        reason: "ErrImagePull",
        message: format!("Failed to pull image {image:?}: {message}"),
    };
    // Without a tag an engine may pull every tag there is.
    let reference = if has_tag_or_digest(image) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    };
    let login = credential(image, credentials).map(|login| DockerCredentials {
        username: Some(login.user_name.clone()),
        password: Some(login.password.0.clone()),
        serveraddress: Some(login.server.clone()),
        ..Default::default()
    });
    engine
        .pull(&reference, login)
        .await
        .map_err(|error| failed(&error.message))?;
    match look().await? {
        Some(found) => Ok((found, Some(begin.elapsed()))),
        None => Err(failed("the engine does not hold it after the pull")),
    }
}

/// Registry host of an image reference.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => DEFAULT_REGISTRY,
    }
}

fn has_tag_or_digest(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.contains([':', '@'])
}

/// The login for an image's registry.
fn credential<'a>(image: &str, credentials: &'a [RegistryCredential]) -> Option<&'a RegistryCredential> {
    let bare = |server: &'a str| {
        let server = server.split_once("://").map_or(server, |(_, rest)| rest);
        match server.split('/').next().unwrap_or(server) {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
            host => host,
        }
    };
    credentials.iter().find(|login| bare(&login.server) == registry(image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Secret;

    #[test]
    fn the_login_of_the_images_registry_is_used() {
        let login = |server: &str| RegistryCredential {
            server: server.into(),
            user_name: server.into(),
            password: Secret::default(),
        };
        let logins = [
            login("https://index.docker.io/v1/"),
            login("registry.test:5000"),
            login("localhost"),
        ];
        let user = |image| credential(image, &logins).map(|login| login.user_name.as_str());
        assert_eq!(user("busybox:1"), Some("https://index.docker.io/v1/"));
        assert_eq!(user("apache/spark:4.0.0"), Some("https://index.docker.io/v1/"));
        assert_eq!(user("registry.test:5000/a/b@sha256:00"), Some("registry.test:5000"));
        assert_eq!(user("localhost/a:1"), Some("localhost"));
        assert_eq!(user("registry.test/a"), None);
    }

    #[test]
    fn a_port_is_no_tag() {
        assert!(has_tag_or_digest("registry.test:5000/a:1"));
        assert!(has_tag_or_digest("a@sha256:00"));
        assert!(!has_tag_or_digest("registry.test:5000/a"));
    }
}
