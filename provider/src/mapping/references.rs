//! What a pod names and has to be fetched before it can be mapped, and the form in which it is handed back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, PersistentVolume, PersistentVolumeClaim, Pod, ProjectedVolumeSource, Secret,
    ServiceAccountTokenProjection, Volume,
};

use super::services::ServiceLink;
use super::storage;
use crate::request::Sensitive;

/// What must be fetched before [`super::map`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// ConfigMaps, all in the pod's namespace.
    pub config_maps: BTreeSet<Ref>,
    /// Secrets, all in the pod's namespace. Pull secrets are optional: a kubelet only warns when one is missing.
    pub secrets: BTreeSet<Ref>,
    /// Service-account tokens to request, bound to the pod.
    pub tokens: Vec<TokenRef>,
    /// PersistentVolumeClaims, all in the pod's namespace. What they lead to is asked for step by step: see
    /// [`Refs::volumes_to_read`] and [`Refs::volume_secrets_to_read`].
    pub claims: BTreeSet<String>,
    /// Whether the Services of the pod's namespace appear in its environment.
    pub services: bool,
}

/// A ConfigMap or Secret by name. Named as required in one place and as optional in another, it is required.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref {
    /// `metadata.name`.
    pub name: String,
    /// Whether the pod can do without it.
    pub optional: bool,
}

/// One projected service-account token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenRef {
    /// Name of the projected volume it is a file of.
    pub volume: String,
    /// Path in that volume.
    pub path: String,
    /// Its audience; `None` = the API server's own.
    pub audience: Option<String>,
    /// The life to ask for, in seconds: the pod's own wish for the API server's audience (a kubelet's default is 3600, and
    /// the API server makes a year of the usual 3607), a year for any other, since files of a group are not renewed.
    pub expiration_seconds: i64,
}

/// The answer to [`References`]. Keys are names; `None` = looked up and absent. A name that is not in the map counts as
/// absent too.
#[derive(Clone, Default)]
pub struct Refs {
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, Option<ConfigMap>>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Option<Secret>>,
    /// Tokens by what was asked for.
    pub tokens: BTreeMap<TokenRef, Sensitive>,
    /// PersistentVolumeClaims by name.
    pub claims: BTreeMap<String, Option<PersistentVolumeClaim>>,
    /// PersistentVolumes by name.
    pub volumes: BTreeMap<String, Option<PersistentVolume>>,
    /// The Services of the pod's namespace that have an address, by name.
    pub services: Arc<[ServiceLink]>,
    /// Secrets of PersistentVolumes, by namespace and name.
    pub volume_secrets: BTreeMap<(String, String), Option<Secret>>,
}

/// Names and presence only: ConfigMaps hold passwords more often than they should.
impl fmt::Debug for Refs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn presence<K: Ord, T>(objects: &BTreeMap<K, Option<T>>) -> BTreeMap<&K, bool> {
            objects.iter().map(|(name, object)| (name, object.is_some())).collect()
        }
        f.debug_struct("Refs")
            .field("config_maps", &presence(&self.config_maps))
            .field("secrets", &presence(&self.secrets))
            .field("tokens", &self.tokens)
            .field("claims", &presence(&self.claims))
            .field("volumes", &presence(&self.volumes))
            .field("volume_secrets", &presence(&self.volume_secrets))
            .finish()
    }
}

impl Refs {
    pub(super) fn config_map(&self, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(name).and_then(Option::as_ref)
    }

    pub(super) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name).and_then(Option::as_ref)
    }

    pub(super) fn claim(&self, name: &str) -> Option<&PersistentVolumeClaim> {
        self.claims.get(name).and_then(Option::as_ref)
    }

    pub(super) fn volume(&self, name: &str) -> Option<&PersistentVolume> {
        self.volumes.get(name).and_then(Option::as_ref)
    }

    pub(super) fn volume_secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        let key = (namespace.to_owned(), name.to_owned());
        self.volume_secrets.get(&key).and_then(Option::as_ref)
    }

    /// Names of the PersistentVolumes that the claims here are bound to: the second step.
    pub fn volumes_to_read(&self) -> BTreeSet<String> {
        let claims = self.claims.values().flatten();
        claims.filter_map(storage::volume_of).map(str::to_owned).collect()
    }

    /// Namespaces and names of the Secrets with which the volumes here are mounted: the third step.
    pub fn volume_secrets_to_read(&self) -> BTreeSet<(String, String)> {
        let volumes = self.volumes.values().flatten();
        volumes.filter_map(storage::secret_of).collect()
    }
}

/// A kubelet's default life of a projected token.
const DEFAULT_TOKEN_SECONDS: i64 = 3600;
/// A year, what API servers give their own tokens; they shorten it where their settings allow less.
const LONGEST_TOKEN_SECONDS: i64 = 365 * 24 * 3600;

/// Everything `pod` names.
pub fn references(pod: &Pod) -> References {
    let mut named = Named::default();
    let Some(spec) = &pod.spec else {
        return References::default();
    };
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        named.container(container);
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    for volume in spec.volumes.iter().flatten() {
        named.volume(volume, name);
    }
    for secret in spec.image_pull_secrets.iter().flatten() {
        named.secret(&secret.name, Some(true));
    }
    References {
        config_maps: to_refs(named.config_maps),
        secrets: to_refs(named.secrets),
        tokens: named.tokens,
        claims: named.claims,
        services: spec.enable_service_links != Some(false),
    }
}

/// Names with "is optional", merged while walking.
#[derive(Default)]
struct Named {
    config_maps: BTreeMap<String, bool>,
    secrets: BTreeMap<String, bool>,
    tokens: Vec<TokenRef>,
    claims: BTreeSet<String>,
}

impl Named {
    fn config_map(&mut self, name: &str, optional: Option<bool>) {
        note(&mut self.config_maps, name, optional);
    }

    fn secret(&mut self, name: &str, optional: Option<bool>) {
        note(&mut self.secrets, name, optional);
    }

    fn container(&mut self, container: &Container) {
        for source in container.env_from.iter().flatten() {
            if let Some(config_map) = &source.config_map_ref {
                self.config_map(&config_map.name, config_map.optional);
            }
            if let Some(secret) = &source.secret_ref {
                self.secret(&secret.name, secret.optional);
            }
        }
        for source in container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()) {
            if let Some(key) = &source.config_map_key_ref {
                self.config_map(&key.name, key.optional);
            }
            if let Some(key) = &source.secret_key_ref {
                self.secret(&key.name, key.optional);
            }
        }
    }

    fn volume(&mut self, volume: &Volume, pod: &str) {
        if let Some(source) = &volume.persistent_volume_claim {
            self.claims.insert(source.claim_name.clone());
        }
        if volume.ephemeral.is_some() {
            self.claims.insert(storage::ephemeral_claim(pod, &volume.name));
        }
        if let Some(secret) = storage::inline_secret(volume) {
            self.secret(secret, None);
        }
        if let Some(source) = &volume.config_map {
            self.config_map(&source.name, source.optional);
        }
        if let Some(source) = &volume.secret {
            self.secret(source.secret_name.as_deref().unwrap_or_default(), source.optional);
        }
        if let Some(source) = &volume.projected {
            self.projected(&volume.name, source);
        }
    }

    fn projected(&mut self, volume: &str, projected: &ProjectedVolumeSource) {
        for source in projected.sources.iter().flatten() {
            if let Some(config_map) = &source.config_map {
                self.config_map(&config_map.name, config_map.optional);
            }
            if let Some(secret) = &source.secret {
                self.secret(&secret.name, secret.optional);
            }
            if let Some(token) = &source.service_account_token {
                self.tokens.push(token_ref(volume, token));
            }
        }
    }
}

/// The key under which a projected token is asked for and handed back.
pub(super) fn token_ref(volume: &str, token: &ServiceAccountTokenProjection) -> TokenRef {
    let ServiceAccountTokenProjection {
        audience,
        expiration_seconds,
        path,
    } = token;
    let audience = audience.clone().filter(|audience| !audience.is_empty());
    let wished = expiration_seconds.unwrap_or(DEFAULT_TOKEN_SECONDS);
    TokenRef {
        volume: volume.to_owned(),
        path: path.clone(),
        expiration_seconds: if audience.is_some() {
            wished.max(LONGEST_TOKEN_SECONDS)
        } else {
            wished
        },
        audience,
    }
}

fn note(names: &mut BTreeMap<String, bool>, name: &str, optional: Option<bool>) {
    if !name.is_empty() {
        let optional = optional.unwrap_or(false);
        names
            .entry(name.to_owned())
            .and_modify(|all| *all &= optional)
            .or_insert(optional);
    }
}

fn to_refs(names: BTreeMap<String, bool>) -> BTreeSet<Ref> {
    names
        .into_iter()
        .map(|(name, optional)| Ref { name, optional })
        .collect()
}
