//! The webhook's own certificates: a CA that the agent makes, the serving certificate that it signed, and how they follow each other
//! (docs/decisions/0026-the-webhooks-certificates.md).
//!
//! ```text
//! Secret (current, next, former) ──► rotation (pure: what is due) ──► keep ──► Secret, by resourceVersion
//!                                                                     ├──► caBundle of the webhook configuration
//!                                                                     └──► what this replica serves with
//! ```

pub(super) mod generation;
pub(super) mod keep;
mod rotation;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, WebhookClientConfig};

pub(crate) use generation::roots;
pub use rotation::Times;

/// After how much of its life a certificate is renewed: what remains is the time to notice that renewing fails.
const RENEWED_BEFORE_END: u32 = 3;
/// A day a week would be enough; a quarter of a year, renewed after two months, leaves a month to notice.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// API servers see a new bundle within a second; a new CA is trusted for so long before it is used.
const OVERLAP: Duration = Duration::from_secs(10 * 60);

/// The names by which the API server calls, for each of the configuration's webhooks.
pub(crate) fn names(webhooks: &[MutatingWebhook]) -> BTreeSet<String> {
    webhooks.iter().filter_map(|w| name(&w.client_config)).collect()
}

/// The name that the certificate must have for an API server that calls by `client`.
pub(crate) fn name(client: &WebhookClientConfig) -> Option<String> {
    if let Some(service) = &client.service {
        return Some(format!("{}.{}.svc", service.name, service.namespace));
    }
    let url = url::Url::parse(client.url.as_deref()?).ok()?;
    // An address of IPv6 is in brackets there.
    url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned())
}
