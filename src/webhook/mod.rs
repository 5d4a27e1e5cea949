//! The admission webhook: pods are shaped by their policies as they are created, and who creates a pod that could never run is told
//! (docs/decisions/0025-the-admission-webhook.md).
//!
//! ```text
//! API server ──AdmissionReview──► serve ──► admit (pure) ──► burst::mutate, burst::feasible (pure)
//!                                   ▲ scene: eci-profile and namespaces, watched
//!                                   └ pki: its own CA and certificate, rotated
//! ```
//!
//! Every replica serves it, whether it leads or not: a take-over must not keep pods from being shaped.

pub mod admit;
pub(crate) mod pki;
pub mod serve;

use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Taint;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::admit::{Impossible, Terms};
pub use self::pki::Times;
use self::serve::Webhook;
use crate::budget::Budgets;
use crate::burst::policy::Policy;
use crate::burst::scene::{Keeper, ProfileName, Scene};
use crate::caps::Caps;
use crate::metrics::{Health, Metrics};
use crate::shutdown::Shutdown;
use crate::tls_server;

/// What the webhook needs to know.
pub struct WebhookSettings {
    /// Policy of pods for which nobody else has one.
    pub policy: Option<Policy>,
    /// Where the eci-profile is.
    pub profile: ProfileName,
    /// Taints by which virtual nodes keep pods off.
    pub taints: Vec<Taint>,
    /// What else pods are judged by.
    pub terms: Terms,
    /// Name of the webhook configuration.
    pub configuration: String,
    /// Namespace and name of the Secret.
    pub secret: (String, String),
    /// Times of certificates.
    pub times: Times,
}

/// Where the webhook listens.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// Listens at that address.
///
/// # Errors
/// It cannot be listened on.
pub async fn listen(address: SocketAddr) -> std::io::Result<Listener> {
    TcpListener::bind(address).await.map(Listener)
}

/// Serves until shutdown.
pub async fn run(
    settings: WebhookSettings,
    kube: Client,
    Listener(listener): Listener,
    health: Health,
    metrics: Metrics,
    shutdown: Shutdown,
) {
    let scene = Scene::new(settings.policy, &settings.taints);
    // Of the replicas, the one that leads says what is wrong with the profile.
    let rules = Keeper {
        kube: kube.clone(),
        scene: scene.clone(),
        profile: settings.profile,
        nodes: Vec::new(),
        caps: Caps::none(),
        budgets: Budgets::none(),
        teller: None,
        health: health.clone(),
        purpose: "webhook",
    };
    let (serving, tls) = watch::channel(None);
    let certificate = pki::keep::Keeper {
        kube: kube.clone(),
        configuration: settings.configuration,
        secret: settings.secret,
        times: settings.times,
        serving,
        gate: health.require("webhook: certificate", "there is none yet"),
    };
    let webhook = Webhook {
        scene,
        kube,
        terms: Arc::new(settings.terms),
        tls,
        metrics,
    };
    let looking = async { tokio::join!(rules.keep_rules(), certificate.run()) };
    tokio::join!(
        shutdown.race(looking),
        tls_server::serve(listener, webhook, shutdown.clone())
    );
}
