//! Who asks, and whether they may: as a kubelet does it with webhook authentication and authorization
//! ([0013](../../docs/decisions/0013-who-may-ask.md)).
//!
//! A client is known by its certificate or by a bearer token, which the API server reviews (TokenReview). Whether it may is the
//! API server's decision as well (SubjectAccessReview on `nodes/<subresource>` of this node). There is no anonymous access.
//! Answers are kept for the times a kubelet keeps them.

mod answers;
mod attributes;
mod peer;
mod review;
mod token;

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderMap, Method, header};
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::Api;
use sha2::{Digest, Sha256};

use answers::Answers;
use attributes::Attributes;

pub use peer::Peer;

/// Everybody who is known is in it.
const AUTHENTICATED: &str = "system:authenticated";

/// A client whose identity is proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// Name; the common name of a certificate.
    pub name: String,
    /// UID.
    pub uid: Option<String>,
    /// Groups; the organizations of a certificate.
    pub groups: Vec<String>,
    /// Further properties.
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
    known_tokens: Answers<[u8; 32], Option<User>>,
    decisions: Answers<(User, &'static str, &'static str), bool>,
}

impl Auth {
    /// For the kubelet API of `node`.
    pub fn new(client: kube::Client, node: String) -> Self {
        Self {
            node,
            tokens: Api::all(client.clone()),
            access: Api::all(client),
            known_tokens: Answers::default(),
            decisions: Answers::default(),
        }
    }

    /// Finds out who asks. A token that was believed is taken out of the headers: nothing further on needs it.
    ///
    /// # Errors
    /// Nobody who is known.
    pub async fn authenticate(&self, peer: &Peer, headers: &mut HeaderMap) -> Result<User, Refusal> {
        let by_certificate = peer.user().unwrap_or_else(|error| {
            tracing::debug!(%error, "a client's certificate does not count");
            None
        });
        let mut user = match by_certificate {
            Some(user) => user,
            None => self.by_token(headers).await.ok_or(Refusal::Unauthenticated)?,
        };
        if !user.groups.iter().any(|group| group == AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        Ok(user)
    }

    /// Finds out whether `user` may; `path` is decoded.
    ///
    /// # Errors
    /// They may not, or it cannot be found out.
    pub async fn authorize(&self, user: &User, method: &Method, path: &str) -> Result<(), Refusal> {
        let Attributes { verb, subresources } = Attributes::of(method, path);
        for &subresource in &subresources {
            if self.may(user, verb, subresource).await? {
                return Ok(());
            }
        }
        Err(Refusal::Forbidden {
            user: user.name.clone(),
            verb,
            subresources,
        })
    }

    async fn by_token(&self, headers: &mut HeaderMap) -> Option<User> {
        if let Some(token) = token::of_header(headers)
            && let Some(user) = self.review(token.to_owned()).await
        {
            headers.remove(header::AUTHORIZATION);
            return Some(user);
        }
        let (token, others) = token::of_protocols(headers)?;
        let user = self.review(token).await?;
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
        Some(user)
    }

    async fn review(&self, token: String) -> Option<User> {
        let key: [u8; 32] = Sha256::digest(&token).into();
        let ask = || review::token(self.tokens.clone(), token);
        self.known_tokens.get(key, ask).await.unwrap_or_else(|trouble| {
            tracing::warn!(error = %trouble, "a bearer token could not be reviewed");
            None
        })
    }

    async fn may(&self, user: &User, verb: &'static str, subresource: &'static str) -> Result<bool, Refusal> {
        let key = (user.clone(), verb, subresource);
        let ask = || review::access(self.access.clone(), self.node.clone(), user.clone(), verb, subresource);
        self.decisions.get(key, ask).await.map_err(|trouble| {
            tracing::warn!(user = user.name, error = %trouble, "access could not be reviewed");
            Refusal::Unknown {
                user: user.name.clone(),
                verb,
                subresource,
            }
        })
    }
}

#[cfg(test)]
mod tests;
