//! The effects of a rotation: every replica looks at configuration and Secret, does what is due, and serves with what is current.
//!
//! The configuration is read before the Secret, and written only as it was read: a replica that saw an older Secret than another one
//! cannot write over what that one wrote.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use rustls::ServerConfig;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::generation::{Generation, PkiError, is_signed_by};
use super::names;
use super::rotation::{Due, Kept, Times};
use crate::chain::chain;
use crate::clock;
use crate::metrics::Gate;

/// Between two looks: two small reads by each replica.
const PERIOD: Duration = Duration::from_secs(10);
/// Until there is something to serve with, and when another replica was faster.
const SOON: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What is looked after.
pub(in crate::webhook) struct Keeper {
    /// The API server.
    pub(in crate::webhook) kube: Client,
    /// Name of the webhook configuration.
    pub(in crate::webhook) configuration: String,
    /// Namespace and name of the Secret.
    pub(in crate::webhook) secret: (String, String),
    /// Times of certificates.
    pub(in crate::webhook) times: Times,
    /// How connections begin.
    pub(in crate::webhook) serving: watch::Sender<Option<Arc<ServerConfig>>>,
    /// Readiness.
    pub(in crate::webhook) gate: Gate,
}

/// Why a look came to nothing.
#[derive(Debug, Error)]
enum Setback {
    #[error("there is no MutatingWebhookConfiguration {0} (manifests/webhook has it): nobody calls the webhook")]
    NoConfiguration(String),
    #[error("there is no Secret {0} (manifests/webhook has it) to keep the webhook's certificate in")]
    NoSecret(String),
    #[error("no webhook of the configuration names a service or a URL")]
    NoName,
    #[error("another replica was faster")]
    Overtaken,
    #[error("no answer within {CALL_TIMEOUT:?}")]
    Slow,
    #[error("the API server cannot be asked for it")]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// What was seen by former looks.
#[derive(Default)]
struct Memory {
    /// What is served with.
    served: Option<Generation>,
    /// The CA that is to be used next, and since when the configuration holds it.
    trusted: Option<(String, Instant)>,
    /// What was said last about a look that came to nothing.
    told: String,
}

impl Keeper {
    /// Runs for ever.
    pub(in crate::webhook) async fn run(self) {
        let mut memory = Memory::default();
        loop {
            let pause = match self.look(&mut memory).await {
                Ok(()) => {
                    memory.told.clear();
                    PERIOD.min(self.times.overlap / 4)
                }
                Err(Setback::Overtaken) => SOON.min(self.times.overlap / 4),
                Err(setback) => {
                    if matches!(setback, Setback::NoConfiguration(_)) {
                        // Whoever takes it away wants no webhook; that keeps nobody from being ready.
                        self.gate.open();
                    }
                    let text = chain(&setback);
                    if text != memory.told {
                        tracing::warn!(
                            error = text,
                            "the webhook's certificate cannot be looked after; will retry"
                        );
                        memory.told = text;
                    }
                    if memory.served.is_some() { PERIOD } else { SOON }
                }
            };
            sleep(pause).await;
        }
    }

    async fn look(&self, memory: &mut Memory) -> Result<(), Setback> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.kube.clone());
        let configuration = in_time(configurations.get_opt(&self.configuration)).await?;
        let configuration = configuration.ok_or_else(|| Setback::NoConfiguration(self.configuration.clone()))?;
        let (namespace, name) = &self.secret;
        let secrets: Api<Secret> = Api::namespaced(self.kube.clone(), namespace);
        let secret = in_time(secrets.get_opt(name)).await?;
        let secret = secret.ok_or_else(|| Setback::NoSecret(format!("{namespace}/{name}")))?;
        let webhooks = configuration.webhooks.as_deref().unwrap_or_default();
        let names = names(webhooks);

        let mut kept = Kept::read(secret.data.as_ref().unwrap_or(&BTreeMap::new()));
        let now = (clock::now(), clock::monotonic());
        memory.trusted = kept.next.as_ref().and_then(|next| {
            let bundles = webhooks.iter().map(|w| w.client_config.ca_bundle.as_ref());
            let everywhere = |bundle: Option<&ByteString>| bundle.is_some_and(|bundle| is_signed_by(next, &bundle.0));
            let since = memory.trusted.take().filter(|(ca, _)| *ca == next.ca);
            bundles
                .into_iter()
                .all(everywhere)
                .then(|| since.unwrap_or((next.ca.clone(), now.1)))
        });
        let trusted_since = memory.trusted.as_ref().map(|(_, since)| *since);
        if let Some(due) = kept.due(&names, now, trusted_since, self.times) {
            let new = match due.needs_new() {
                true => Some(Generation::make(&names, now.0, self.times.life)?),
                false => None,
            };
            kept = kept.after(due, new);
            self.keep(&secrets, &secret, &kept).await?;
            let text = match due {
                Due::Begin => "the webhook has a new CA and serving certificate",
                Due::Stage => {
                    "the webhook's next CA and serving certificate are made, and are used once the CA is trusted"
                }
                Due::Promote => "the webhook serves with its next certificate from here on",
                Due::Forget => "the webhook's former CA has ended",
            };
            tracing::info!(end = ?kept.current.as_ref().and_then(Generation::end), "{text}");
        }
        self.serve(memory, &kept)?;
        if kept.current.is_none() {
            return Err(Setback::NoName);
        }
        self.publish(&configurations, &configuration, &kept).await
    }

    /// Serves with what is current.
    fn serve(&self, memory: &mut Memory, kept: &Kept) -> Result<(), Setback> {
        if let Some(current) = &kept.current
            && memory.served.as_ref() != Some(current)
        {
            self.serving.send_replace(Some(current.server()?));
            memory.served = Some(current.clone());
            self.gate.open();
        }
        Ok(())
    }

    /// Writes the Secret, if it is as it was read.
    async fn keep(&self, secrets: &Api<Secret>, read: &Secret, kept: &Kept) -> Result<(), Setback> {
        let patch = json!({
            "metadata": { "resourceVersion": read.metadata.resource_version, "uid": read.metadata.uid },
            "data": kept.write(),
        });
        let params = PatchParams::default();
        in_time(secrets.patch(&self.secret.1, &params, &Patch::Merge(&patch))).await?;
        Ok(())
    }

    /// Writes the CAs into the configuration, if it is as it was read.
    async fn publish(
        &self,
        configurations: &Api<MutatingWebhookConfiguration>,
        read: &MutatingWebhookConfiguration,
        kept: &Kept,
    ) -> Result<(), Setback> {
        let stale = |bundle: &Option<ByteString>| bundle.as_ref().is_none_or(|bundle| !kept.is_trusted_by(&bundle.0));
        let webhooks = read.webhooks.as_deref().unwrap_or_default();
        let stale = webhooks
            .iter()
            .filter(|webhook| stale(&webhook.client_config.ca_bundle));
        let bundle = ByteString(kept.bundle().into_bytes());
        let changes: Vec<Value> = stale
            .map(|webhook| json!({ "name": webhook.name, "clientConfig": { "caBundle": bundle } }))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        // By their names, and nothing of them but the bundle: what a later Kubernetes has there stays.
        let patch = json!({
            "metadata": { "resourceVersion": read.metadata.resource_version, "uid": read.metadata.uid },
            "webhooks": changes,
        });
        let params = PatchParams::default();
        in_time(configurations.patch(&self.configuration, &params, &Patch::Strategic(&patch))).await?;
        tracing::info!(
            configuration = self.configuration,
            "the webhook configuration has the CAs of the webhook"
        );
        Ok(())
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Setback> {
    match timeout(CALL_TIMEOUT, call).await {
        Err(_) => Err(Setback::Slow),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Setback::Overtaken),
        Ok(result) => Ok(result?),
    }
}

#[cfg(test)]
mod tests;
