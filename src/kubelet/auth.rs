//! Who asks, and whether they may: as a kubelet does it with webhook authentication and authorization.
//!
//! A client is known by its certificate, verified during the TLS handshake, or by a bearer token, which the API server
//! reviews (TokenReview). Whether it may is the API server's decision as well (SubjectAccessReview on `nodes/<subresource>` of
//! this node). There is no anonymous access. Answers are kept for the times a kubelet keeps them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, ObjectMeta, PostParams};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::chain::chain;
use crate::clock;

const TOKEN_KNOWN_FOR: Duration = Duration::from_secs(2 * 60);
/// A refused token may be one the API server does not know yet.
const TOKEN_REFUSED_FOR: Duration = Duration::from_secs(10);
const ALLOWED_FOR: Duration = Duration::from_secs(5 * 60);
const DENIED_FOR: Duration = Duration::from_secs(30);
/// Answers kept at most.
const CACHE_SIZE: usize = 4_096;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A client whose identity is proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// Name; the common name of a certificate.
    pub name: String,
    /// UID, of token users.
    pub uid: Option<String>,
    /// Groups; the organizations of a certificate.
    pub groups: Vec<String>,
    /// Further properties, of token users.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Why a request is refused; `Display` is the body a kubelet answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 401: not known who asks.
    Unauthenticated,
    /// 403: known, and not allowed.
    Forbidden {
        /// Who.
        user: String,
        /// What they wanted to do.
        verb: &'static str,
        /// To what of the node; one of these would have been enough.
        subresources: Vec<&'static str>,
    },
    /// 500: the API server could not be asked.
    Unknown {
        /// Who.
        user: String,
        /// What they wanted to do.
        verb: &'static str,
        /// To what of the node.
        subresource: &'static str,
    },
}

impl Refusal {
    /// HTTP status.
    pub fn code(&self) -> u16 {
        match self {
            Self::Unauthenticated => 401,
            Self::Forbidden { .. } => 403,
            Self::Unknown { .. } => 500,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthenticated => write!(f, "Unauthorized"),
            Self::Forbidden {
                user,
                verb,
                subresources,
            } => {
                let list = subresources.join(" ");
                writeln!(
                    f,
                    "Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{list}])"
                )
            }
            Self::Unknown {
                user,
                verb,
                subresource,
            } => write!(
                f,
                "Authorization error (user={user}, verb={verb}, resource=nodes, subresource={subresource})"
            ),
        }
    }
}

/// Asks the API server, and remembers.
pub struct Auth {
    node: String,
    tokens: Api<TokenReview>,
    access: Api<SubjectAccessReview>,
    /// By hash: tokens themselves are not kept.
    known_tokens: Cache<[u8; 32], Option<User>>,
    decisions: Cache<(User, &'static str, &'static str), bool>,
}

impl Auth {
    /// For the kubelet API of `node`.
    pub fn new(client: kube::Client, node: String) -> Self {
        Self {
            node,
            tokens: Api::all(client.clone()),
            access: Api::all(client),
            known_tokens: Cache::default(),
            decisions: Cache::default(),
        }
    }

    /// Finds out who asks and whether they may.
    ///
    /// # Errors
    /// They may not, or it cannot be found out.
    pub async fn check(
        &self,
        certificate: Option<&User>,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<User, Refusal> {
        let user = match certificate {
            Some(user) => user.clone(),
            None => self.by_token(headers).await?,
        };
        let verb = verb(method);
        let subresources = subresources(path);
        for &subresource in &subresources {
            if self.may(&user, verb, subresource).await? {
                return Ok(user);
            }
        }
        Err(Refusal::Forbidden {
            user: user.name,
            verb,
            subresources,
        })
    }

    async fn by_token(&self, headers: &HeaderMap) -> Result<User, Refusal> {
        let token = bearer_token(headers).ok_or(Refusal::Unauthenticated)?;
        let key: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.known_tokens.get(&key) {
            return known.ok_or(Refusal::Unauthenticated);
        }
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: None,
            },
            status: None,
        };
        let answer = timeout(CALL_TIMEOUT, self.tokens.create(&PostParams::default(), &review)).await;
        let status = match answer {
            Ok(Ok(review)) => review.status.unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "a bearer token could not be reviewed");
                return Err(Refusal::Unauthenticated);
            }
            Err(_) => {
                tracing::warn!("a bearer token could not be reviewed: no answer within {CALL_TIMEOUT:?}");
                return Err(Refusal::Unauthenticated);
            }
        };
        let user = status
            .user
            .filter(|_| status.authenticated == Some(true))
            .map(|user| User {
                name: user.username.unwrap_or_default(),
                uid: user.uid,
                groups: user.groups.unwrap_or_default(),
                extra: user.extra.unwrap_or_default(),
            });
        let lifetime = if user.is_some() {
            TOKEN_KNOWN_FOR
        } else {
            TOKEN_REFUSED_FOR
        };
        self.known_tokens.put(key, user.clone(), lifetime);
        user.ok_or(Refusal::Unauthenticated)
    }

    async fn may(&self, user: &User, verb: &'static str, subresource: &'static str) -> Result<bool, Refusal> {
        let key = (user.clone(), verb, subresource);
        if let Some(allowed) = self.decisions.get(&key) {
            return Ok(allowed);
        }
        let review = SubjectAccessReview {
            metadata: ObjectMeta::default(),
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: user.uid.clone(),
                groups: Some(user.groups.clone()),
                extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    version: Some("v1".to_owned()),
                    resource: Some("nodes".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    name: Some(self.node.clone()),
                    ..ResourceAttributes::default()
                }),
                non_resource_attributes: None,
            },
            status: None,
        };
        let answer = timeout(CALL_TIMEOUT, self.access.create(&PostParams::default(), &review)).await;
        let failure = match answer {
            Ok(Ok(review)) => {
                let allowed = review
                    .status
                    .is_some_and(|status| status.allowed && status.denied != Some(true));
                self.decisions
                    .put(key, allowed, if allowed { ALLOWED_FOR } else { DENIED_FOR });
                return Ok(allowed);
            }
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer within {CALL_TIMEOUT:?}"),
        };
        tracing::warn!(user = user.name, error = failure, "access could not be reviewed");
        Err(Refusal::Unknown {
            user: user.name.clone(),
            verb,
            subresource,
        })
    }
}

/// The user a verified client certificate speaks for; `None` for one without a common name.
pub fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|o| o.as_str().ok())
        .map(str::to_owned)
        .collect();
    Some(User {
        name,
        uid: None,
        groups,
        extra: BTreeMap::new(),
    })
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// What of the node a path is, by a kubelet's table; the finer one first, then `proxy`, which stands for everything.
fn subresources(path: &str) -> Vec<&'static str> {
    let under = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match path {
        _ if under("/stats") => vec!["stats"],
        _ if under("/metrics") => vec!["metrics"],
        _ if under("/logs") => vec!["log"],
        _ if under("/checkpoint") => vec!["checkpoint"],
        _ if under("/statusz") => vec!["statusz"],
        _ if under("/flagz") => vec!["configz"],
        _ if under("/healthz") => vec!["healthz", "proxy"],
        _ if under("/configz") => vec!["configz", "proxy"],
        _ if under("/pods") || under("/runningpods") => vec!["pods", "proxy"],
        _ => vec!["proxy"],
    }
}

/// Answers with an expiry, and not more than [`CACHE_SIZE`] of them.
struct Cache<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .get(key)
            .filter(|(_, until)| clock::monotonic() < *until)
            .map(|(value, _)| value.clone())
    }

    fn put(&self, key: K, value: V, lifetime: Duration) {
        let now = clock::monotonic();
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CACHE_SIZE {
            entries.retain(|_, (_, until)| now < *until);
        }
        if entries.len() >= CACHE_SIZE {
            // So many different clients within minutes is an attack or a mistake; forgetting costs a question each.
            entries.clear();
        }
        entries.insert(key, (value, now + lifetime));
    }
}

#[cfg(test)]
mod tests;
