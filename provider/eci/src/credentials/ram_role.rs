//! Credentials of the RAM role of the ECS instance we run on, from its metadata service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

use super::cached::{Cached, Fetch};
use super::{Credentials, CredentialsError, Environment, ProvideCredentials, Provided, Secret};
use crate::clock::Clock;
use crate::{Transport, TransportError};

const SOURCE: &str = "instance role";
const HOST: &str = "http://100.100.100.200";
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
/// The service is on the same machine: what does not answer at once is not there.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The metadata service of ECS at `100.100.100.200`, asked with a token where it gives one.
///
/// `ALIBABA_CLOUD_ECS_METADATA` names the role (else the service does), `ALIBABA_CLOUD_ECS_METADATA_DISABLED=true`
/// switches this source off, `ALIBABA_CLOUD_IMDSV1_DISABLED=true` insists on the token.
#[derive(Debug)]
pub struct RamRoleCredentials(Option<Cached<Metadata>>);

impl RamRoleCredentials {
    /// Asks over `transport`.
    pub fn new(environment: &Environment, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        if environment.is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED") {
            return Self(None);
        }
        let metadata = Metadata {
            transport,
            role: environment.get("ALIBABA_CLOUD_ECS_METADATA"),
            token_required: environment.is_true("ALIBABA_CLOUD_IMDSV1_DISABLED"),
        };
        Self(Some(Cached::new(metadata, clock)))
    }
}

impl ProvideCredentials for RamRoleCredentials {
    fn provide(&self) -> Provided<'_> {
        match &self.0 {
            Some(source) => source.provide(),
            None => async { Err(not_loaded("switched off by ALIBABA_CLOUD_ECS_METADATA_DISABLED")) }.boxed(),
        }
    }

    fn renew(&self, refused: &Arc<Credentials>) -> Provided<'_> {
        match &self.0 {
            Some(source) => source.renew(refused),
            None => self.provide(),
        }
    }
}

struct Metadata {
    transport: Arc<dyn Transport>,
    role: Option<String>,
    token_required: bool,
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: String,
    #[serde(default)]
    access_key_id: String,
    #[serde(default)]
    access_key_secret: String,
    #[serde(default)]
    security_token: String,
    expiration: Option<Timestamp>,
}

impl Fetch for Metadata {
    fn fetch(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
        async move {
            let token = self.token().await?;
            let role = match &self.role {
                Some(role) => role.clone(),
                None => self.role_name(token.as_deref()).await?,
            };
            let answer = self
                .get(&format!("{ROLES}{role}"), token.as_deref())
                .await
                .map_err(|error| invalid("the metadata service does not answer", Some(error)))?;
            if answer.status() != StatusCode::OK {
                let problem = format!(
                    "the metadata service answers {} for role {role}",
                    answer.status().as_u16()
                );
                return Err(invalid(&problem, None));
            }
            // The error of a parser might quote the answer, so it is left out.
            let answer: Answer = serde_json::from_slice(answer.body())
                .map_err(|_| invalid("the answer of the metadata service cannot be read", None))?;
            if answer.code != "Success" {
                return Err(invalid(
                    &format!("the metadata service says `{}` for role {role}", answer.code),
                    None,
                ));
            }
            let mut credentials = Credentials::new(answer.access_key_id, answer.access_key_secret);
            credentials.security_token = Some(Secret::new(answer.security_token));
            credentials.expires_at = answer.expiration;
            Ok(credentials)
        }
        .boxed()
    }
}

impl Metadata {
    /// The session token, `None` where the service knows none and need not.
    async fn token(&self) -> Result<Option<String>, CredentialsError> {
        let request =
            Request::put(format!("{HOST}/latest/api/token")).header("x-aliyun-ecs-metadata-token-ttl-seconds", "21600");
        let answer = self.send(request).await;
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(text(&answer)),
            _ if self.token_required => Err(not_loaded("the metadata service gives no token")),
            // No answer at all: the next request will say so.
            _ => Ok(None),
        }
    }

    async fn role_name(&self, token: Option<&str>) -> Result<String, CredentialsError> {
        let answer = self.get(ROLES, token).await;
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => {
                text(&answer).ok_or_else(|| not_loaded("the instance has no role"))
            }
            Ok(_) => Err(not_loaded("the instance has no role")),
            Err(_) => Err(not_loaded("there is no metadata service here")),
        }
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Result<Response<Bytes>, TransportError> {
        let mut request = Request::get(format!("{HOST}{path}"));
        if let Some(token) = token {
            request = request.header("x-aliyun-ecs-metadata-token", token);
        }
        self.send(request).await
    }

    async fn send(&self, request: http::request::Builder) -> Result<Response<Bytes>, TransportError> {
        let request = request.body(Bytes::new()).map_err(TransportError::not_sent)?;
        match tokio::time::timeout(TIMEOUT, self.transport.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::timed_out()),
        }
    }
}

fn text(answer: &Response<Bytes>) -> Option<String> {
    let text = std::str::from_utf8(answer.body()).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn not_loaded(missing: &str) -> CredentialsError {
    CredentialsError::NotLoaded {
        source: SOURCE,
        missing: missing.to_owned(),
    }
}

fn invalid(problem: &str, cause: Option<TransportError>) -> CredentialsError {
    CredentialsError::Invalid {
        source: SOURCE,
        problem: problem.to_owned(),
        cause: cause.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::TowerTransport;
    use crate::clock::SystemClock;

    type Body = http_body_util::Full<Bytes>;

    /// A metadata service that wants a token for everything.
    async fn serve(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let has_token = request
            .headers()
            .get("x-aliyun-ecs-metadata-token")
            .is_some_and(|token| token == "t0k3n");
        let (status, body) = match (request.method().as_str(), request.uri().path(), has_token) {
            ("PUT", "/latest/api/token", _) => (200, "t0k3n"),
            ("GET", ROLES, true) => (200, "node-role\n"),
            ("GET", "/latest/meta-data/ram/security-credentials/node-role", true) => (
                200,
                r#"{"Code":"Success","AccessKeyId":"id","AccessKeySecret":"secret","SecurityToken":"token",
                    "Expiration":"2100-01-01T00:00:00Z","LastUpdated":"2026-01-01T00:00:00Z"}"#,
            ),
            ("GET", _, true) => (404, ""),
            _ => (403, ""),
        };
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
        Ok(answer)
    }

    async fn provide(variables: &[(&str, &str)]) -> Result<Arc<Credentials>, CredentialsError> {
        let transport = Arc::new(TowerTransport::<_, Body>::new(tower::service_fn(serve)));
        let environment = Environment::of(variables.iter().copied());
        RamRoleCredentials::new(&environment, transport, Arc::new(SystemClock))
            .provide()
            .await
    }

    #[tokio::test]
    async fn token_role_key() {
        let credentials = provide(&[]).await.expect("credentials");
        assert_eq!(
            (
                credentials.access_key_id.as_str(),
                credentials.access_key_secret.expose()
            ),
            ("id", "secret")
        );
        assert_eq!(credentials.security_token, Some(Secret::new("token")));
        assert_eq!(credentials.expires_at, "2100-01-01T00:00:00Z".parse().ok());
    }

    #[tokio::test]
    async fn a_named_role_must_exist() {
        let error = provide(&[("ALIBABA_CLOUD_ECS_METADATA", "other")])
            .await
            .expect_err("no such role");
        assert!(error.to_string().contains("404 for role other"), "{error}");
        assert!(matches!(error, CredentialsError::Invalid { .. }));
    }

    #[tokio::test]
    async fn switched_off_is_not_loaded() {
        let error = provide(&[("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")])
            .await
            .expect_err("off");
        assert!(matches!(error, CredentialsError::NotLoaded { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn elsewhere_there_is_no_service() {
        let silence =
            tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let transport = Arc::new(TowerTransport::<_, Body>::new(silence));
        let source = RamRoleCredentials::new(&Environment::of([]), transport, Arc::new(SystemClock));
        let error = source.provide().await.expect_err("silence");
        assert!(matches!(error, CredentialsError::NotLoaded { .. }), "{error}");
    }
}
