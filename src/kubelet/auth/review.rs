//! The two questions to the API server: whose token this is, and whether somebody may.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, ObjectMeta, PostParams};
use thiserror::Error;
use tokio::time::timeout;

use super::User;
use super::answers::Asked;
use crate::chain::chain;

/// A kubelet keeps both kinds of answers for so long.
const TOKEN_FOR: Duration = Duration::from_secs(2 * 60);
const ALLOWED_FOR: Duration = Duration::from_secs(5 * 60);
const DENIED_FOR: Duration = Duration::from_secs(30);

/// Trying again: a kubelet's numbers.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_GROWS_BY: f64 = 1.5;
const JITTER: f64 = 0.2;
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// All tries together.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer; fit for a log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(super) struct Trouble(pub(super) Arc<str>);

/// Whose token it is; `None` = nobody's.
pub(super) async fn token(api: Api<TokenReview>, token: String) -> Asked<Option<User>> {
    let review = TokenReview {
        metadata: ObjectMeta::default(),
        spec: TokenReviewSpec {
            token: Some(token),
            audiences: None,
        },
        status: None,
    };
    let status = ask(&api, &review).await?.status.unwrap_or_default();
    match status {
        TokenReviewStatus {
            authenticated: Some(true),
            user,
            ..
        } => {
            let user = user.unwrap_or_default();
            let user = User {
                name: user.username.unwrap_or_default(),
                uid: user.uid,
                groups: user.groups.unwrap_or_default(),
                extra: user.extra.unwrap_or_default(),
            };
            Ok((Some(user), Some(TOKEN_FOR)))
        }
        TokenReviewStatus { error, .. } => {
            // What was said with an error is no answer to keep: the token may be one that the API server does not know yet.
            let error = error.filter(|error| !error.is_empty());
            Ok((None, error.is_none().then_some(TOKEN_FOR)))
        }
    }
}

/// Whether `user` may do `verb` to `nodes/<subresource>` of `node`.
pub(super) async fn access(
    api: Api<SubjectAccessReview>,
    node: String,
    user: User,
    verb: &'static str,
    subresource: &'static str,
) -> Asked<bool> {
    let review = SubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SubjectAccessReviewSpec {
            user: Some(user.name),
            uid: user.uid,
            groups: Some(user.groups),
            extra: (!user.extra.is_empty()).then_some(user.extra),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                version: Some("v1".to_owned()),
                resource: Some("nodes".to_owned()),
                subresource: Some(subresource.to_owned()),
                name: Some(node),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        status: None,
    };
    let status = ask(&api, &review).await?.status.unwrap_or_default();
    let allowed = status.allowed && status.denied != Some(true);
    Ok((allowed, Some(if allowed { ALLOWED_FOR } else { DENIED_FOR })))
}

async fn ask<K>(api: &Api<K>, review: &K) -> Result<K, Trouble>
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let tries = async {
        let mut pause = FIRST_PAUSE;
        let mut tried = 1;
        loop {
            let params = PostParams::default();
            let answer = timeout(TRY_TIMEOUT, api.create(&params, review)).map(|answer| match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err((chain(&error), passes(&error))),
                Err(_) => Err((format!("no answer within {TRY_TIMEOUT:?}"), true)),
            });
            match answer.await {
                Ok(answer) => return Ok(answer),
                Err((_, true)) if tried < TRIES => {}
                Err((text, _)) => return Err(Trouble(text.into())),
            }
            tokio::time::sleep(pause.mul_f64(rand::random_range(1.0..=1.0 + JITTER))).await;
            pause = pause.mul_f64(PAUSE_GROWS_BY);
            tried += 1;
        }
    };
    match timeout(TIMEOUT, tries).await {
        Ok(answer) => answer,
        Err(_) => Err(Trouble(format!("no answer within {TIMEOUT:?}").into())),
    }
}

/// Whether the same question may be answered soon.
fn passes(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            matches!(status.code, 429 | 500 | 504) || status.details.as_ref().is_some_and(|d| d.retry_after_seconds > 0)
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
