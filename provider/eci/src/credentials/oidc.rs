//! Credentials for a service account of a cluster (RRSA): its OIDC token is exchanged for a role's temporary key.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Request;
use jiff::Timestamp;
use provider::params::form;
use provider::response::ErrorBody;
use serde::Deserialize;

use super::cached::{Cached, Fetch};
use super::{Credentials, CredentialsError, Environment, ProvideCredentials, Provided, Secret};
use crate::clock::Clock;
use crate::query::wire_time;
use crate::{Transport, TransportError};

const SOURCE: &str = "OIDC token";
const ROLE: &str = "ALIBABA_CLOUD_ROLE_ARN";
const PROVIDER: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const TOKEN_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const TIMEOUT: Duration = Duration::from_secs(10);

/// STS `AssumeRoleWithOIDC`, if `ALIBABA_CLOUD_ROLE_ARN`, `ALIBABA_CLOUD_OIDC_PROVIDER_ARN` and
/// `ALIBABA_CLOUD_OIDC_TOKEN_FILE` are set, as ACK's RRSA webhook sets them. The file is read for every exchange,
/// because the kubelet replaces it.
///
/// `ALIBABA_CLOUD_ROLE_SESSION_NAME` names the session; `ALIBABA_CLOUD_STS_REGION` and
/// `ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED=true` choose the endpoint.
#[derive(Debug)]
pub struct OidcCredentials(Option<Cached<Exchange>>);

impl OidcCredentials {
    /// Exchanges over `transport`.
    pub fn new(environment: &Environment, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        let all = (
            environment.get(ROLE),
            environment.get(PROVIDER),
            environment.get(TOKEN_FILE),
        );
        let (Some(role_arn), Some(provider_arn), Some(token_file)) = all else {
            return Self(None);
        };
        let session = environment
            .get("ALIBABA_CLOUD_ROLE_SESSION_NAME")
            .unwrap_or_else(|| "virtual-node".to_owned());
        let exchange = Exchange {
            transport,
            clock: clock.clone(),
            host: host(environment),
            role_arn,
            provider_arn,
            token_file: token_file.into(),
            session,
        };
        Self(Some(Cached::new(exchange, clock)))
    }
}

fn host(environment: &Environment) -> String {
    match environment.get("ALIBABA_CLOUD_STS_REGION") {
        Some(region) if environment.is_true("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED") => {
            format!("sts-vpc.{region}.aliyuncs.com")
        }
        Some(region) => format!("sts.{region}.aliyuncs.com"),
        None => "sts.aliyuncs.com".to_owned(),
    }
}

impl ProvideCredentials for OidcCredentials {
    fn provide(&self) -> Provided<'_> {
        match &self.0 {
            Some(source) => source.provide(),
            None => async {
                let missing = format!("{ROLE}, {PROVIDER} and {TOKEN_FILE} are not all set");
                Err(CredentialsError::NotLoaded {
                    source: SOURCE,
                    missing,
                })
            }
            .boxed(),
        }
    }

    fn renew(&self, refused: &Arc<Credentials>) -> Provided<'_> {
        match &self.0 {
            Some(source) => source.renew(refused),
            None => self.provide(),
        }
    }
}

struct Exchange {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    host: String,
    role_arn: String,
    provider_arn: String,
    token_file: PathBuf,
    session: String,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("host", &self.host)
            .field("role_arn", &self.role_arn)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    credentials: Key,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: Timestamp,
}

impl Fetch for Exchange {
    fn fetch(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
        async move {
            let token = tokio::fs::read_to_string(&self.token_file).await.map_err(|error| {
                invalid(
                    format!("{} cannot be read", self.token_file.display()),
                    Some(error.into()),
                )
            })?;
            let answer = self
                .send(token.trim())
                .await
                .map_err(|error| invalid(format!("{} does not answer", self.host), Some(error.into())))?;
            if !answer.status().is_success() {
                // The message may quote the token; the code says enough.
                let ErrorBody { code, request_id, .. } = ErrorBody::parse(answer.body());
                let status = answer.status().as_u16();
                return Err(invalid(
                    format!(
                        "{} refuses role {}: {code} ({status}, request {request_id})",
                        self.host, self.role_arn
                    ),
                    None,
                ));
            }
            // The error of a parser might quote the answer, so it is left out.
            let Answer { credentials: key } = serde_json::from_slice(answer.body())
                .map_err(|_| invalid(format!("the answer of {} cannot be read", self.host), None))?;
            let mut credentials = Credentials::new(key.access_key_id, key.access_key_secret);
            credentials.security_token = Some(Secret::new(key.security_token));
            credentials.expires_at = Some(key.expiration);
            Ok(credentials)
        }
        .boxed()
    }
}

impl Exchange {
    /// The call is not signed: the token is the proof. It goes into the body, so that no log of URLs holds it.
    async fn send(&self, token: &str) -> Result<http::Response<Bytes>, TransportError> {
        let now = wire_time(self.clock.now());
        let nonce = format!("{:032x}", rand::random::<u128>());
        let query = form(&[
            ("Action", "AssumeRoleWithOIDC"),
            ("Format", "JSON"),
            ("Version", "2015-04-01"),
            ("Timestamp", now.as_str()),
            ("SignatureNonce", nonce.as_str()),
        ]);
        let body = form(&[
            ("RoleArn", self.role_arn.as_str()),
            ("OIDCProviderArn", self.provider_arn.as_str()),
            ("OIDCToken", token),
            ("RoleSessionName", self.session.as_str()),
            ("DurationSeconds", "3600"),
        ]);
        let request = Request::post(format!("https://{}/?{query}", self.host))
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .map_err(TransportError::not_sent)?;
        match tokio::time::timeout(TIMEOUT, self.transport.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError::timed_out()),
        }
    }
}

fn invalid(problem: String, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> CredentialsError {
    CredentialsError::Invalid {
        source: SOURCE,
        problem,
        cause,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::TowerTransport;
    use crate::clock::SystemClock;

    type Body = http_body_util::Full<Bytes>;

    async fn provide(token: &str, answer: (u16, &'static str)) -> Result<Arc<Credentials>, CredentialsError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), token).expect("written");
        let service = tower::service_fn(move |request: Request<Body>| async move {
            assert_eq!(request.uri().host(), Some("sts-vpc.cn-hangzhou.aliyuncs.com"));
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert!(
                query.contains("Action=AssumeRoleWithOIDC") && !query.contains("j.w.t"),
                "{query}"
            );
            let body = request.into_body().collect().await.expect("in memory").to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            assert!(body.contains("OIDCToken=j.w.t&RoleSessionName=s"), "{body}");
            let mut response = Response::new(Body::from(answer.1));
            *response.status_mut() = http::StatusCode::from_u16(answer.0).expect("a status");
            Ok::<_, Infallible>(response)
        });
        let environment = Environment::of([
            (ROLE, "acs:ram::1:role/r"),
            (PROVIDER, "acs:ram::1:oidc-provider/p"),
            (TOKEN_FILE, file.path().to_str().expect("a plain path")),
            ("ALIBABA_CLOUD_ROLE_SESSION_NAME", "s"),
            ("ALIBABA_CLOUD_STS_REGION", "cn-hangzhou"),
            ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true"),
        ]);
        let transport = Arc::new(TowerTransport::<_, Body>::new(service));
        OidcCredentials::new(&environment, transport, Arc::new(SystemClock))
            .provide()
            .await
    }

    #[tokio::test]
    async fn a_token_for_a_key() {
        let answer = r#"{"RequestId":"r","Credentials":{"AccessKeyId":"id","AccessKeySecret":"secret","SecurityToken":"token",
            "Expiration":"2100-01-01T00:00:00Z"}}"#;
        let credentials = provide("j.w.t\n", (200, answer)).await.expect("credentials");
        assert_eq!(
            (
                credentials.access_key_id.as_str(),
                credentials.access_key_secret.expose()
            ),
            ("id", "secret")
        );
        assert_eq!(credentials.expires_at, "2100-01-01T00:00:00Z".parse().ok());
    }

    #[tokio::test]
    async fn a_refusal_names_code_and_role_and_not_the_token() {
        let body = r#"{"RequestId":"req-1","Code":"AuthenticationFail.OIDCToken.Expired","Message":"j.w.t expired"}"#;
        let error = provide("j.w.t", (400, body)).await.expect_err("expired");
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("OIDCToken.Expired") && shown.contains("role/r") && !shown.contains("j.w.t"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn not_configured_is_not_loaded() {
        let service =
            tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        let transport = Arc::new(TowerTransport::<_, Body>::new(service));
        let environment = Environment::of([(ROLE, "acs:ram::1:role/r")]);
        let error = OidcCredentials::new(&environment, transport, Arc::new(SystemClock))
            .provide()
            .await;
        assert!(matches!(error, Err(CredentialsError::NotLoaded { .. })), "{error:?}");
    }
}
