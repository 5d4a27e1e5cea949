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
    if !is_reference(image) {
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

/// Whether this is `[registry/]name[:tag][@digest]`, as registries spell it.
fn is_reference(image: &str) -> bool {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let path = match name.split_once('/') {
        Some((host, path)) if registry(name) == host => path,
        _ => name,
    };
    let (path, tag) = path
        .rsplit_once(':')
        .map_or((path, None), |(path, tag)| (path, Some(tag)));
    let word = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let part = |part: &str| {
        let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let lower = part.bytes().all(|b| !b.is_ascii_uppercase());
        word(part, b"._-") && lower && part.starts_with(ends) && part.ends_with(ends)
    };
    path.split('/').all(part)
        && tag.is_none_or(|tag| tag.len() <= 128 && word(tag, b"._-") && !tag.starts_with(['.', '-']))
        && digest.is_none_or(|digest| {
            digest
                .split_once(':')
                .is_some_and(|(kind, hex)| word(kind, b"+._-") && hex.len() >= 32 && word(hex, b""))
        })
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
    fn references_are_spelled_as_registries_spell_them() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for good in [
            "busybox",
            "busybox:1.36",
            "a/b-c/d__e.f:V1",
            "registry.test:5000/a",
            "localhost/a:1",
            "Registry.TEST:5000/a:1",
            &digest,
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "http://a/b",
            "a:",
            "Upper",
            "localhost/Upper:1",
            "a//b",
            "-a",
            "a:x y",
            "a@sha256:00",
            "a@",
        ] {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    #[test]
    fn a_port_is_no_tag() {
        assert!(has_tag_or_digest("registry.test:5000/a:1"));
        assert!(has_tag_or_digest("a@sha256:00"));
        assert!(!has_tag_or_digest("registry.test:5000/a"));
    }
}
