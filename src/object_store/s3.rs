//! A bucket of S3, of OSS (by its S3-compatible API), or of anything that speaks like S3.
//!
//! Requests are signed in their query (AWS Signature Version 4), so URLs are secrets here and appear in no error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eci::credentials::{Chain, Environment};
use eci::{ProvideCredentials, Transport};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use jiff::Timestamp;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use url::{Host, Url};

use super::aws::AwsCredentials;
use super::{Location, ObjectStore, StoreError, StoreKind};
use crate::chain::chain;
use crate::clock;

/// How long a signature is good for.
const SIGNED_FOR: Duration = Duration::from_secs(300);
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of what the store says, so much is passed on.
const WORDS: usize = 300;

/// A bucket and a prefix in it.
pub struct S3Store {
    bucket: Bucket,
    /// With a slash at the end, unless it is empty.
    prefix: String,
    credentials: Arc<dyn ProvideCredentials>,
    transport: Arc<dyn Transport>,
}

/// A location that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The endpoint is no URL.
    #[error("the endpoint `{0}` is not a URL")]
    Endpoint(String),
    /// Bucket and endpoint do not go together.
    #[error("the bucket `{bucket}` cannot be used at {endpoint}: {source}")]
    Bucket {
        /// Bucket.
        bucket: String,
        /// Endpoint.
        endpoint: Url,
        /// Why.
        source: rusty_s3::BucketError,
    },
}

impl S3Store {
    /// The store at `location`. Credentials come from the environment or from files, as users of AWS or Alibaba
    /// Cloud expect it.
    ///
    /// # Errors
    /// The location cannot be used.
    pub fn new(
        location: &Location,
        eci_region: &str,
        environment: &Environment,
        clock: Arc<dyn eci::clock::Clock>,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, SetupError> {
        let variable = |names: &[&str]| names.iter().find_map(|name| environment.get(name));
        let given = location.region.clone();
        let (region, endpoint, credentials): (String, Option<String>, Arc<dyn ProvideCredentials>) = match location.kind
        {
            StoreKind::S3 => (
                given
                    .or_else(|| variable(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
                    .unwrap_or_else(|| "us-east-1".to_owned()),
                location
                    .endpoint
                    .clone()
                    .or_else(|| variable(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])),
                Arc::new(AwsCredentials::new(environment.clone())),
            ),
            StoreKind::Oss => (
                given.unwrap_or_else(|| eci_region.to_owned()),
                location.endpoint.clone(),
                Arc::new(Chain::full_order(environment, transport.clone(), clock)),
            ),
        };
        let standard = match location.kind {
            StoreKind::S3 => format!("https://s3.{region}.amazonaws.com"),
            StoreKind::Oss => format!("https://s3.oss-{region}.aliyuncs.com"),
        };
        let by_host = endpoint.is_none() || location.kind == StoreKind::Oss;
        let text = endpoint.unwrap_or(standard);
        let endpoint: Url = text.parse().map_err(|_| SetupError::Endpoint(text.clone()))?;
        // OSS wants the bucket in the host's name; stores of one's own mostly do not know it there.
        let named = matches!(endpoint.host(), Some(Host::Domain(_)));
        let style = if by_host && named && !location.bucket.contains('.') {
            UrlStyle::VirtualHost
        } else {
            UrlStyle::Path
        };
        let bucket = Bucket::new(endpoint.clone(), style, location.bucket.clone(), region).map_err(|source| {
            SetupError::Bucket {
                bucket: location.bucket.clone(),
                endpoint,
                source,
            }
        })?;
        let prefix = match location.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self {
            bucket,
            prefix,
            credentials,
            transport,
        })
    }

    /// Sends a request that is signed as `sign` says.
    async fn send(
        &self,
        method: Method,
        body: Bytes,
        sign: impl Fn(&Credentials, &Timestamp) -> Url,
    ) -> Result<Response<Bytes>, StoreError> {
        self.send_with(method, HeaderMap::new(), body, sign).await
    }

    /// As [`Self::send`], with headers that are no part of what is signed.
    async fn send_with(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        sign: impl Fn(&Credentials, &Timestamp) -> Url,
    ) -> Result<Response<Bytes>, StoreError> {
        let failed = |what: &(dyn std::error::Error + 'static)| StoreError::Failed(chain(what));
        let found = self.credentials.provide().await.map_err(|e| failed(&e))?;
        let (id, secret) = (found.access_key_id.clone(), found.access_key_secret.expose());
        let credentials = match &found.security_token {
            Some(token) => Credentials::new_with_token(id, secret, token.expose()),
            None => Credentials::new(id, secret),
        };
        let url = sign(&credentials, &clock::now());
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(http::header::CONTENT_LENGTH, body.len())
            .body(body)
            .map_err(|_| StoreError::Failed("the request cannot be built".to_owned()))?;
        request.headers_mut().extend(headers);
        let answer = tokio::time::timeout(PATIENCE, self.transport.send(request)).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(|e| failed(&e))?,
            Err(_) => return Err(StoreError::Failed(format!("no answer within {PATIENCE:?}"))),
        };
        match answer.status() {
            status if status.is_success() => Ok(answer),
            // What was asked for begins where the object ends.
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Response::default()),
            StatusCode::NOT_FOUND if said(answer.body()).starts_with("NoSuchKey") => Err(StoreError::Absent),
            status => Err(StoreError::Failed(format!("{status}: {}", said(answer.body())))),
        }
    }

    /// At most `length` bytes of an object from byte `from` on; none where it ends before.
    ///
    /// # Errors
    /// As for [`ObjectStore::get`].
    pub async fn get_range(&self, key: String, from: u64, length: u64) -> Result<Bytes, StoreError> {
        let key = self.key(&key);
        let sign = |credentials: &Credentials, now: &Timestamp| {
            let action = self.bucket.get_object(Some(credentials), &key);
            action.sign_with_time(SIGNED_FOR, now)
        };
        let last = from.saturating_add(length).saturating_sub(1);
        let range = HeaderValue::from_str(&format!("bytes={from}-{last}"));
        let range = range.map_err(|_| StoreError::Failed("the request cannot be built".to_owned()))?;
        let headers = HeaderMap::from_iter([(http::header::RANGE, range)]);
        let answer = self.send_with(Method::GET, headers, Bytes::new(), sign).await?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => Ok(answer.into_body()),
            // A store that knows no ranges sends all of it.
            _ => {
                let start = usize::try_from(from).unwrap_or(usize::MAX).min(answer.body().len());
                let end = usize::try_from(last.saturating_add(1)).unwrap_or(usize::MAX);
                Ok(answer.body().slice(start..end.clamp(start, answer.body().len())))
            }
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl ObjectStore for S3Store {
    fn put(&self, key: String, body: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let key = self.key(&key);
            let sign = |credentials: &Credentials, now: &Timestamp| {
                let action = self.bucket.put_object(Some(credentials), &key);
                action.sign_with_time(SIGNED_FOR, now)
            };
            self.send(Method::PUT, body, sign).await.map(drop)
        }
        .boxed()
    }

    fn get(&self, key: String) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        async move {
            let key = self.key(&key);
            let sign = |credentials: &Credentials, now: &Timestamp| {
                let action = self.bucket.get_object(Some(credentials), &key);
                action.sign_with_time(SIGNED_FOR, now)
            };
            self.send(Method::GET, Bytes::new(), sign)
                .await
                .map(Response::into_body)
        }
        .boxed()
    }

    fn list(&self, prefix: String) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        async move {
            let prefix = self.key(&prefix);
            let mut keys = Vec::new();
            let mut next: Option<String> = None;
            loop {
                let sign = |credentials: &Credentials, now: &Timestamp| {
                    let mut action = self.bucket.list_objects_v2(Some(credentials));
                    action.with_prefix(prefix.as_str());
                    if let Some(next) = &next {
                        action.with_continuation_token(next.as_str());
                    }
                    action.sign_with_time(SIGNED_FOR, now)
                };
                let answer = self.send(Method::GET, Bytes::new(), sign).await?;
                let unreadable = || StoreError::Failed("the list of objects cannot be read".to_owned());
                let text = std::str::from_utf8(answer.body()).map_err(|_| unreadable())?;
                let page = ListObjectsV2::parse_response(text).map_err(|_| unreadable())?;
                let own = page.contents.into_iter();
                keys.extend(own.filter_map(|object| object.key.strip_prefix(&self.prefix).map(str::to_owned)));
                match page.next_continuation_token.filter(|token| !token.is_empty()) {
                    // A token that comes again leads in a circle.
                    Some(token) if next.as_ref() != Some(&token) => next = Some(token),
                    _ => return Ok(keys),
                }
            }
        }
        .boxed()
    }
}

/// Code and message of an error's XML, and nothing else of it: the rest repeats the request.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        let clean: String = value.chars().filter(|c| !c.is_control()).take(WORDS).collect();
        Some(clean)
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => "no reason was given".to_owned(),
    }
}
