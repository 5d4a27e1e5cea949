//! Reads what a pod names: ConfigMaps, Secrets, service-account tokens, and claims with the volumes they are bound to; and
//! the Services of its namespace, which its environment tells of.
//!
//! Only objects that a pod of this node names are ever asked for, one by one, which is also all that the Node authorizer
//! allows. A thousand executors name the same ConfigMap: one read serves all that ask within [`SHARED_FOR`], which is what a
//! kubelet's own cache does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{try_join_all, try_join3};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use provider::mapping::{Ref, References, Refs, ServiceLink, ServicePort, TokenRef};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long one read may serve others.
const SHARED_FOR: Duration = Duration::from_secs(5);
/// More than this many objects are not remembered at once.
const REMEMBERED: usize = 1_024;

/// Reader of references.
pub struct RefsReader {
    client: kube::Client,
    config_maps: Shared<ConfigMap>,
    secrets: Shared<Secret>,
    claims: Shared<PersistentVolumeClaim>,
    volumes: Shared<PersistentVolume>,
    /// By namespace alone.
    services: Shared<Arc<[ServiceLink]>>,
}

impl RefsReader {
    /// A reader that acts as `client` does.
    pub fn new(client: kube::Client) -> Self {
        Self::sharing(client, SHARED_FOR)
    }

    /// As [`Self::new`]; one read serves others for so long.
    fn sharing(client: kube::Client, shared_for: Duration) -> Self {
        Self {
            client,
            config_maps: Shared::new(shared_for),
            secrets: Shared::new(shared_for),
            claims: Shared::new(shared_for),
            volumes: Shared::new(shared_for),
            services: Shared::new(shared_for),
        }
    }

    /// Everything `pod` names. What does not exist is there as `None`: the mapping knows which of them the pod can do without.
    pub async fn read(&self, pod: &Pod, wanted: &References) -> Result<Refs, kube::Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let config_maps = try_join_all(
            wanted
                .config_maps
                .iter()
                .map(|r| self.named(&self.config_maps, namespace, r)),
        );
        let secrets = try_join_all(wanted.secrets.iter().map(|r| self.named(&self.secrets, namespace, r)));
        let tokens = try_join_all(wanted.tokens.iter().map(|token| self.token(pod, namespace, token)));
        let (config_maps, secrets, tokens) = try_join3(config_maps, secrets, tokens).await?;
        let mut refs = Refs {
            config_maps: config_maps.into_iter().collect(),
            secrets: secrets.into_iter().collect(),
            tokens: tokens.into_iter().collect(),
            ..Refs::default()
        };
        if wanted.services {
            let services = self.services.get(namespace, "", self.services(namespace)).await?;
            refs.services = services.unwrap_or_default();
        }
        if !wanted.claims.is_empty() {
            self.storage(namespace, wanted, &mut refs).await?;
        }
        Ok(refs)
    }

    /// The Services of a namespace that have an address, by name.
    async fn services(&self, namespace: &str) -> Result<Option<Arc<[ServiceLink]>>, kube::Error> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        // What the API server has in memory will do: a kubelet's own view is as old.
        let list = match api.list(&ListParams::default().match_any()).await {
            Ok(list) => list,
            // An API server without Services has none.
            Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(Some(Arc::default())),
            Err(error) => return Err(error),
        };
        let mut links: Vec<ServiceLink> = list.items.into_iter().filter_map(link).collect();
        links.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(links.into()))
    }

    /// The claims, then their volumes, then the Secrets of those: each step names the next.
    async fn storage(&self, namespace: &str, wanted: &References, refs: &mut Refs) -> Result<(), kube::Error> {
        for name in &wanted.claims {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
            // Binding takes a moment, and a pod that waits for it must see it at once.
            let bound = |claim: &PersistentVolumeClaim| {
                let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
                phase == Some("Bound") && claim.metadata.deletion_timestamp.is_none()
            };
            let claim = self.claims.get_if(namespace, name, api.get_opt(name), bound).await?;
            refs.claims.insert(name.clone(), claim);
        }
        for name in refs.volumes_to_read() {
            let api: Api<PersistentVolume> = Api::all(self.client.clone());
            let volume = self.volumes.get("", &name, api.get_opt(&name)).await?;
            refs.volumes.insert(name, volume);
        }
        for (namespace, name) in refs.volume_secrets_to_read() {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
            let secret = self.secrets.get(&namespace, &name, api.get_opt(&name)).await?;
            refs.volume_secrets.insert((namespace, name), secret);
        }
        Ok(())
    }

    async fn named<K>(
        &self,
        shared: &Shared<K>,
        namespace: &str,
        wanted: &Ref,
    ) -> Result<(String, Option<K>), kube::Error>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let object = shared.get(namespace, &wanted.name, api.get_opt(&wanted.name)).await?;
        Ok((wanted.name.clone(), object))
    }

    /// A token bound to the pod, with the life its volume asks for.
    async fn token(
        &self,
        pod: &Pod,
        namespace: &str,
        wanted: &TokenRef,
    ) -> Result<(TokenRef, provider::request::Sensitive), kube::Error> {
        let account = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.as_deref())
            .filter(|name| !name.is_empty())
            .unwrap_or("default");
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: wanted.audience.iter().cloned().collect(),
                expiration_seconds: Some(wanted.expiration_seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
            },
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        Ok((wanted.clone(), token.into()))
    }
}

/// What environment variables tell of a Service; `None` = it has no address of its own.
fn link(service: Service) -> Option<ServiceLink> {
    let spec = service.spec?;
    let cluster_ip = spec.cluster_ip.filter(|ip| !ip.is_empty() && ip != "None")?;
    let ports = spec.ports.into_iter().flatten().map(|port| ServicePort {
        name: port.name.unwrap_or_default(),
        port: u16::try_from(port.port).unwrap_or_default(),
        protocol: port.protocol.unwrap_or_default(),
    });
    Some(ServiceLink {
        name: service.metadata.name?,
        cluster_ip,
        ports: ports.collect(),
    })
}

/// One object: filled by the first reader, shared by the others.
type Slot<K> = Arc<OnceCell<K>>;

/// Namespace and name.
type Key = (String, String);

/// Objects read a moment ago, by namespace and name. Absence is never remembered: what a pod waits for must be seen at once.
struct Shared<K> {
    slots: Mutex<HashMap<Key, (Instant, Slot<K>)>>,
    shared_for: Duration,
}

/// Why a slot stayed empty.
enum Empty<K> {
    Absent,
    /// It is there, and about to change.
    Unsettled(K),
    Failed(kube::Error),
}

impl<K: Clone> Shared<K> {
    fn new(shared_for: Duration) -> Self {
        Self {
            slots: Mutex::default(),
            shared_for,
        }
    }

    async fn get(
        &self,
        namespace: &str,
        name: &str,
        read: impl Future<Output = Result<Option<K>, kube::Error>>,
    ) -> Result<Option<K>, kube::Error> {
        self.get_if(namespace, name, read, |_| true).await
    }

    /// As [`Self::get`]; what is not `settled` is not remembered either.
    async fn get_if(
        &self,
        namespace: &str,
        name: &str,
        read: impl Future<Output = Result<Option<K>, kube::Error>>,
        settled: impl Fn(&K) -> bool,
    ) -> Result<Option<K>, kube::Error> {
        let slot = self.slot(namespace, name);
        let fill = async {
            match read.await.map_err(Empty::Failed)? {
                Some(object) if settled(&object) => Ok(object),
                Some(object) => Err(Empty::Unsettled(object)),
                None => Err(Empty::Absent),
            }
        };
        match slot.get_or_try_init(|| fill).await {
            Ok(object) => Ok(Some(object.clone())),
            Err(Empty::Absent) => Ok(None),
            Err(Empty::Unsettled(object)) => Ok(Some(object)),
            Err(Empty::Failed(error)) => Err(error),
        }
    }

    fn slot(&self, namespace: &str, name: &str) -> Slot<K> {
        let now = Instant::now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= REMEMBERED {
            slots.retain(|_, (since, _)| now.duration_since(*since) < self.shared_for);
        }
        let entry = slots
            .entry((namespace.to_owned(), name.to_owned()))
            .or_insert_with(|| (now, Slot::default()));
        if now.duration_since(entry.0) >= self.shared_for {
            *entry = (now, Slot::default());
        }
        entry.1.clone()
    }
}

#[cfg(test)]
mod tests;
