//! `imagePullSecrets` to `ImageRegistryCredential.N`: of all credentials in those Secrets, the ones a kubelet's keyring
//! would try first for the images of this pod. ECI matches by server alone, so nothing else may be sent along.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{LocalObjectReference, Secret};
use serde::Deserialize;

use super::Context;
use super::rejection::Findings;
use crate::request::{RegistryCredential, Sensitive};

/// The key Docker's own registry has in Docker's configuration files.
const DOCKER_HUB: &str = "index.docker.io";

/// The credentials to send.
pub(super) fn credentials(
    cx: &Context<'_>,
    pull_secrets: Option<&[LocalObjectReference]>,
    findings: &mut Findings,
) -> Vec<RegistryCredential> {
    let mut keyring = Vec::new();
    for (index, LocalObjectReference { name }) in pull_secrets.unwrap_or_default().iter().enumerate() {
        let field = format!("spec.imagePullSecrets[{index}]");
        match cx.refs.secret(name) {
            Some(secret) => keyring.extend(entries(secret, name, &field, findings)),
            // A kubelet goes on as well: the image may be public.
            None => findings.warn(
                field,
                format!("FailedToRetrieveImagePullSecret: secret \"{name}\" not found"),
            ),
        }
    }
    let mut chosen: Vec<RegistryCredential> = Vec::new();
    let containers = cx.spec.init_containers.iter().flatten().chain(&cx.spec.containers);
    for image in containers.filter_map(|container| container.image.as_deref()) {
        let target = Target::of_image(image);
        // The longest path wins, then the server written out over one with a wildcard, then the first.
        let best = keyring
            .iter()
            .filter(|entry| entry.key.matches(&target))
            .min_by_key(|entry| (usize::MAX - entry.key.path.len(), entry.key.host.matches('*').count()));
        let Some(entry) = best else { continue };
        let credential = RegistryCredential {
            server: target.host.clone(),
            user_name: entry.user_name.clone(),
            password: entry.password.clone(),
        };
        match chosen.iter().find(|other| other.server == credential.server) {
            None => chosen.push(credential),
            Some(other) if *other == credential => {}
            Some(_) => findings.warn(
                "spec.imagePullSecrets",
                format!(
                    "images of {} need different credentials; ECI takes one per server, the first is used",
                    target.host
                ),
            ),
        }
    }
    chosen
}

/// A credential and where it applies.
struct Entry {
    key: Target,
    user_name: String,
    password: Sensitive,
}

/// Registry host (with port, perhaps with wildcards) and repository path.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    path: String,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

/// One member of `auths`. No `Debug`: all of it is secret.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
}

/// Why a pull secret is of no use. Says nothing of its content.
#[derive(Debug)]
enum Unusable {
    WrongType(String),
    NoKey(&'static str),
    NotJson(&'static str),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType(found) => write!(
                f,
                "its type is `{found}`; a pull secret has kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg"
            ),
            Self::NoKey(key) => write!(f, "it has no key {key}"),
            Self::NotJson(key) => write!(f, "its key {key} is not a Docker configuration"),
        }
    }
}

fn entries(secret: &Secret, name: &str, field: &str, findings: &mut Findings) -> Vec<Entry> {
    let auths = match read(secret) {
        Ok(auths) => auths,
        Err(why) => {
            findings.warn(field, format!("secret \"{name}\" is not used: {why}"));
            return Vec::new();
        }
    };
    let mut entries = Vec::new();
    for (server, auth) in auths {
        let key = Target::of_config_key(&server);
        match auth.pair() {
            Some((user_name, password)) => entries.push(Entry {
                key,
                user_name,
                password,
            }),
            None => findings.warn(
                field,
                format!(
                    "secret \"{name}\" has no user name and password for {}; ECI takes nothing else",
                    key.host
                ),
            ),
        }
    }
    entries
}

fn read(secret: &Secret) -> Result<BTreeMap<String, Auth>, Unusable> {
    let data = |key: &'static str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .map(|bytes| &bytes.0)
            .ok_or(Unusable::NoKey(key))
    };
    match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => {
            let key = ".dockerconfigjson";
            let config: DockerConfig = serde_json::from_slice(data(key)?).map_err(|_| Unusable::NotJson(key))?;
            Ok(config.auths)
        }
        Some("kubernetes.io/dockercfg") => {
            let key = ".dockercfg";
            serde_json::from_slice(data(key)?).map_err(|_| Unusable::NotJson(key))
        }
        other => Err(Unusable::WrongType(other.unwrap_or("Opaque").to_owned())),
    }
}

impl Auth {
    /// User name and password, from their own members or from `auth` (base64 of `user:password`).
    fn pair(self) -> Option<(String, Sensitive)> {
        if !self.username.is_empty() && !self.password.is_empty() {
            return Some((self.username, self.password.into()));
        }
        if !self.identitytoken.is_empty() && self.auth.is_empty() {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(self.auth.trim()).ok()?).ok()?;
        let (user_name, password) = decoded.split_once(':')?;
        Some((user_name.to_owned(), password.trim_end_matches('\0').into()))
    }
}

impl Target {
    /// `https://host:port/v1/path` and all shorter forms.
    fn of_config_key(key: &str) -> Self {
        let bare = key
            .strip_prefix("https://")
            .or_else(|| key.strip_prefix("http://"))
            .unwrap_or(key);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        let path = match path.split_once('/') {
            Some(("v1" | "v2", rest)) => rest,
            None if path == "v1" || path == "v2" => "",
            _ => path,
        };
        Self {
            host: canonical(host),
            path: path.trim_end_matches('/').to_owned(),
        }
    }

    /// Registry and repository of an image reference.
    fn of_image(image: &str) -> Self {
        match image.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => Self {
                host: canonical(host),
                path: path.to_owned(),
            },
            _ => Self {
                host: DOCKER_HUB.to_owned(),
                path: image.to_owned(),
            },
        }
    }

    /// Whether a credential for `self` applies to the image `target`: same port, host part by part with `*` within a
    /// part, and a path that begins with ours.
    fn matches(&self, target: &Self) -> bool {
        let (own, own_port) = split_port(&self.host);
        let (host, port) = split_port(&target.host);
        own_port == port
            && own.split('.').count() == host.split('.').count()
            && own
                .split('.')
                .zip(host.split('.'))
                .all(|(pattern, part)| glob(pattern, part))
            && target.path.starts_with(&self.path)
    }
}

fn canonical(host: &str) -> String {
    match host {
        "docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        other => other.to_owned(),
    }
}

fn split_port(host: &str) -> (&str, &str) {
    host.rsplit_once(':').unwrap_or((host, ""))
}

/// `*` stands for any characters, also none.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| glob(tail, rest)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_docker_configurations() {
        for (key, host, path) in [
            ("https://index.docker.io/v1/", DOCKER_HUB, ""),
            ("docker.io", DOCKER_HUB, ""),
            ("http://registry:5000/v2", "registry:5000", ""),
            ("gcr.io/project/", "gcr.io", "project"),
            ("*.example.com/v1/team", "*.example.com", "team"),
        ] {
            assert_eq!(
                Target::of_config_key(key),
                Target {
                    host: host.into(),
                    path: path.into()
                },
                "{key}"
            );
        }
    }

    #[test]
    fn matching_follows_the_kubelets_keyring() {
        for (key, image, expected) in [
            ("https://index.docker.io/v1/", "busybox", true),
            ("https://index.docker.io/v1/", "docker.io/apache/spark:4.3.0", true),
            ("registry.example.com", "registry.example.com/a/b:1", true),
            ("*.example.com", "registry.example.com/a", true),
            ("reg*.example.com", "registry.example.com/a", true),
            ("*.example.com", "a.b.example.com/a", false),
            ("registry.example.com/team", "registry.example.com/team/app", true),
            ("registry.example.com/team", "registry.example.com/other/app", false),
            ("registry.example.com", "registry.example.com:5000/app", false),
            ("registry.example.com:5000", "registry.example.com:5000/app", true),
            ("localhost", "localhost/app", true),
        ] {
            let matches = Target::of_config_key(key).matches(&Target::of_image(image));
            assert_eq!(matches, expected, "{key} for {image}");
        }
    }
}
