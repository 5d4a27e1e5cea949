//! Keeps an outage of the agent from ending pods: those that would be evicted early are given longer tolerations.
//!
//! At admission that costs nothing (the webhook does it). Without a webhook it is one read and one patch of each pod that
//! has been here for a while, in the background: the many that end within half a minute are left alone.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::chain::chain;
use crate::clock;
use crate::pods::endurance::{enduring, falls_short};
use crate::pods::record::Uid;
use crate::pods::store::Store;

/// Between two looks at all pods.
const PERIOD: Duration = Duration::from_secs(5);
/// Pods that are younger may end by themselves before it matters.
const SETTLED: SignedDuration = SignedDuration::from_secs(30);
/// Pods patched after one look: 20 a second, beside which the API server has room for a burst.
const BATCH: usize = 100;
const PARALLEL: usize = 4;
/// After the API server refused for lack of rights.
const AFTER_REFUSAL: Duration = Duration::from_secs(10 * 60);

/// How long pods stay when their node is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageToleration {
    /// As long as their own tolerations say.
    Off,
    /// At least so many seconds.
    Seconds(u32),
    /// Until somebody deletes them.
    Forever,
}

impl OutageToleration {
    /// At least how long pods are to stay (inner none = for ever); none = their own tolerations are left alone.
    pub fn seconds(self) -> Option<Option<u32>> {
        match self {
            Self::Off => None,
            Self::Seconds(seconds) => Some(Some(seconds)),
            Self::Forever => Some(None),
        }
    }
}

/// What raising tolerations needs.
pub struct Outages {
    /// The API server, by the identity of burst.
    pub kube: kube::Client,
    /// The pods of each node.
    pub stores: Vec<Store>,
    /// How long pods are to stay.
    pub toleration: OutageToleration,
}

impl Outages {
    /// Runs for ever.
    pub async fn run(self) {
        let Some(seconds) = self.toleration.seconds() else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(PERIOD).await;
            let results: Vec<Result<(), kube::Error>> = stream::iter(self.falling_short(seconds))
                .map(|pod| self.raise(pod, seconds))
                .buffer_unordered(PARALLEL)
                .collect()
                .await;
            let Some(error) = results.into_iter().find_map(Result::err) else {
                continue;
            };
            let error_text = chain(&error);
            if matches!(&error, kube::Error::Api(status) if status.code == 403) {
                tracing::warn!(
                    error = error_text,
                    "pods cannot be kept through an outage of the agent: it may not get and patch pods (manifests/burst says \
                     which rights it needs)"
                );
                tokio::time::sleep(AFTER_REFUSAL).await;
            } else {
                tracing::warn!(
                    error = error_text,
                    "tolerations of pods could not be raised; will retry"
                );
            }
        }
    }

    fn falling_short(&self, seconds: Option<u32>) -> Vec<(Uid, Box<str>, Box<str>)> {
        let before = clock::now() - SETTLED;
        let mut pods = Vec::new();
        for store in &self.stores {
            let records = store.lock();
            let short = records.iter().filter(|(_, record)| {
                let desired = &record.desired;
                falls_short(desired.evicted_after, seconds)
                    && record.first_seen <= before
                    && !desired.finished
                    && !desired.gone
                    && desired.deletion.is_none()
            });
            let room = BATCH.saturating_sub(pods.len());
            pods.extend(short.take(room).map(|(uid, record)| {
                let facts = &record.facts;
                (uid.clone(), Box::from(&*facts.namespace), Box::from(&*facts.name))
            }));
        }
        pods
    }

    /// The watch then shows the pod with what it was given; a patch that missed its pod is made again after the next look.
    async fn raise(
        &self,
        (uid, namespace, name): (Uid, Box<str>, Box<str>),
        seconds: Option<u32>,
    ) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.kube.clone(), &namespace);
        let Some(pod) = api.get_opt(&name).await? else {
            return Ok(());
        };
        if pod.metadata.uid.as_deref() != Some(&*uid) {
            return Ok(());
        }
        let tolerations = pod.spec.and_then(|spec| spec.tolerations).unwrap_or_default();
        let Some(raised) = enduring(&tolerations, seconds) else {
            return Ok(());
        };
        let patch = json!({
            "metadata": { "uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version },
            "spec": { "tolerations": raised },
        });
        match api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            other => other.map(drop),
        }
    }
}
