//! The HTTP side: an AdmissionReview in, an AdmissionReview out.
//!
//! # Guarantees
//! - Nothing is judged before the eci-profile and the namespaces were listed: the answer is 503 until then, and the webhook
//!   configuration says what that means for the pod.
//! - A namespace that the watch has not brought yet is asked for, so that the first pod of a new namespace is judged like the rest.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use kube::{Api, Client};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::timeout;

use super::admit::{self, Terms};
use crate::burst::mutate::NamespaceView;
use crate::burst::scene::{Scene, view_of};
use crate::chain::chain;
use crate::clock;
use crate::metrics::Metrics;
use crate::tls_server::TlsService;

/// Where reviews are sent.
pub const PATH: &str = "/mutate";
/// More than the API server takes of any one object.
const BODY_LIMIT: usize = 4 * 1024 * 1024;
/// Of the two seconds that the API server waits.
const NAMESPACE_TIMEOUT: Duration = Duration::from_secs(1);

/// What answers the API server; cheap to clone.
#[derive(Clone)]
pub struct Webhook {
    /// What policies are judged by.
    pub scene: Scene,
    /// The API server, by the identity of burst.
    pub kube: Client,
    /// What else pods are judged by.
    pub terms: Arc<Terms>,
    /// With what connections begin; none = there is no certificate yet.
    pub tls: watch::Receiver<Option<Arc<ServerConfig>>>,
    /// Metrics.
    pub metrics: Metrics,
}

/// Why a review cannot be answered.
#[derive(Debug, thiserror::Error)]
enum ReviewError {
    #[error("the body is no AdmissionReview of a pod")]
    Malformed(#[from] serde_json::Error),
    #[error("the AdmissionReview has no request")]
    Empty(#[from] kube::core::admission::ConvertAdmissionReviewError),
    #[error("the eci-profile and the namespaces are not listed yet")]
    NotReady,
    #[error("namespace {0} cannot be asked for: {1}")]
    Namespace(String, String),
    #[error("the patch cannot be written")]
    Patch(#[from] kube::core::admission::SerializePatchError),
}

impl TlsService for Webhook {
    const NAME: &'static str = "the webhook";

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.borrow().clone()
    }

    fn router(&self, _: Vec<CertificateDer<'static>>) -> Router {
        self.routes()
    }
}

impl Webhook {
    /// Its routes, without TLS.
    pub fn routes(&self) -> Router {
        Router::new()
            .route(PATH, post(mutate))
            .route("/healthz", get(async || "ok\n"))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(self.clone())
    }

    async fn review(&self, body: &[u8]) -> Result<(AdmissionReview<DynamicObject>, &'static str), ReviewError> {
        let review: AdmissionReview<Pod> = serde_json::from_slice(body)?;
        let request: AdmissionRequest<Pod> = review.try_into()?;
        let mut response = AdmissionResponse::from(&request);
        let creates =
            request.operation == Operation::Create && request.sub_resource.as_ref().is_none_or(String::is_empty);
        let Some(mut pod) = request.object.filter(|_| creates) else {
            return Ok((response.into_review(), "untouched"));
        };
        let name = pod
            .metadata
            .namespace
            .get_or_insert(request.namespace.unwrap_or_default());
        if !self.scene.rules_are_known() {
            return Err(ReviewError::NotReady);
        }
        let namespace = match self.scene.known_namespace(name) {
            Some(namespace) => namespace,
            None => Arc::new(self.ask_for(name).await?),
        };
        let verdict = admit::judge(&pod, &namespace, &self.scene.rules(), &self.terms)?;
        let outcome = verdict.outcome();
        if !verdict.warnings.is_empty() {
            response.warnings = Some(verdict.warnings);
        }
        let response = match verdict.refusal {
            Some(why) => response.deny(why),
            None if verdict.patch.0.is_empty() => response,
            None => response.with_patch(verdict.patch)?,
        };
        Ok((response.into_review(), outcome))
    }

    async fn ask_for(&self, name: &str) -> Result<NamespaceView, ReviewError> {
        let api: Api<Namespace> = Api::all(self.kube.clone());
        let failed = |why: String| ReviewError::Namespace(name.to_owned(), why);
        match timeout(NAMESPACE_TIMEOUT, api.get_metadata_opt(name)).await {
            Ok(Ok(namespace)) => Ok(namespace.map(|n| view_of(n.metadata)).unwrap_or_default()),
            Ok(Err(error)) => Err(failed(chain(&error))),
            Err(_) => Err(failed(format!("no answer within {NAMESPACE_TIMEOUT:?}"))),
        }
    }
}

async fn mutate(State(webhook): State<Webhook>, body: Bytes) -> Response {
    let began = clock::monotonic();
    let (response, outcome) = match webhook.review(&body).await {
        Ok((review, outcome)) => (Json(review).into_response(), outcome),
        Err(error) => {
            let text = chain(&error);
            tracing::warn!(error = text, "a pod about to be created could not be judged");
            let code = match error {
                ReviewError::NotReady | ReviewError::Namespace(..) => StatusCode::SERVICE_UNAVAILABLE,
                ReviewError::Patch(_) => StatusCode::INTERNAL_SERVER_ERROR,
                ReviewError::Malformed(_) | ReviewError::Empty(_) => StatusCode::BAD_REQUEST,
            };
            ((code, text).into_response(), "failed")
        }
    };
    let metrics = &webhook.metrics;
    metrics.webhook_admissions.with_label_values(&[outcome]).inc();
    metrics.webhook_admission_seconds.observe(began.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests;
