//! One attempt over the wire: a request in, an answer out, nothing in between.

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Service, ServiceExt as _};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Sends a request and collects the answer. Time limits are the caller's.
pub trait Transport: Send + Sync {
    /// Sends `request`, whose URI is absolute.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>>;

    /// Sends a `request` that asks for an upgrade, and hands over its connection when the answer is 101; any other answer is
    /// an error. A transport without connections cannot do it.
    fn upgrade(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Upgraded>, TransportError>> {
        drop(request);
        async { Err(TransportError::not_sent("this transport has no connections")) }.boxed()
    }
}

/// A connection that speaks another protocol now.
pub type Upgraded = Pin<Box<dyn Connection>>;

/// What can be an [`Upgraded`] connection.
pub trait Connection: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Connection for T {}

/// There was no answer.
#[derive(Debug)]
pub struct TransportError {
    may_have_taken_effect: bool,
    what: &'static str,
    source: Option<BoxError>,
}

impl TransportError {
    /// The request was never sent (refused connection, failed handshake, no such host).
    pub fn not_sent(source: impl Into<BoxError>) -> Self {
        Self {
            may_have_taken_effect: false,
            what: "cannot connect",
            source: Some(source.into()),
        }
    }

    /// The request was, or may have been, sent; what became of it is unknown.
    pub fn interrupted(source: impl Into<BoxError>) -> Self {
        Self {
            may_have_taken_effect: true,
            what: "the connection broke before the answer",
            source: Some(source.into()),
        }
    }

    /// No answer within the time limit.
    pub fn timed_out() -> Self {
        Self {
            may_have_taken_effect: true,
            what: "no answer within the time limit",
            source: None,
        }
    }

    /// Whether the other side may have acted on the request.
    pub fn may_have_taken_effect(&self) -> bool {
        self.may_have_taken_effect
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// HTTP/1.1 over TCP, with TLS by rustls for `https`, and a pool of idle connections.
#[derive(Clone, Debug)]
pub struct ReqwestTransport(reqwest::Client);

impl ReqwestTransport {
    /// How long a connection may take to be made.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// Shorter than the idle limits of common load balancers (60 s), so that we, not they, close an idle connection: a
    /// request on one the other side has just closed has an unknown outcome.
    const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

    /// Connections kept for the next calls; more are made in a burst and closed after it.
    const IDLE_CONNECTIONS: usize = 16;

    /// A transport of its own pool.
    ///
    /// # Errors
    /// If TLS cannot be set up: no crypto provider installed, or no root certificates on this machine.
    pub fn new() -> Result<Self, TransportError> {
        reqwest::Client::builder()
            .connect_timeout(Self::CONNECT_TIMEOUT)
            .pool_idle_timeout(Self::IDLE_TIMEOUT)
            .pool_max_idle_per_host(Self::IDLE_CONNECTIONS)
            .tcp_nodelay(true)
            // ECI does not redirect; following one would send a signed request to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map(Self)
            .map_err(TransportError::not_sent)
    }
}

impl Transport for ReqwestTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        async move {
            let request = reqwest::Request::try_from(request).map_err(|e| TransportError::not_sent(e.without_url()))?;
            let mut answer = self.0.execute(request).await.map_err(from_reqwest)?;
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            // Copied as it comes: pieces that are kept hold the connection's whole read buffers, many times their size.
            let mut body = BytesMut::new();
            while let Some(piece) = answer.chunk().await.map_err(from_reqwest)? {
                body.extend_from_slice(&piece);
            }
            *response.body_mut() = body.freeze();
            Ok(response)
        }
        .boxed()
    }

    fn upgrade(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Upgraded>, TransportError>> {
        async move {
            let request = reqwest::Request::try_from(request).map_err(|e| TransportError::not_sent(e.without_url()))?;
            let mut answer = self.0.execute(request).await.map_err(from_reqwest)?;
            let status = answer.status();
            if status != StatusCode::SWITCHING_PROTOCOLS {
                // The beginning is enough: it is one sentence, or a page that nobody wants to read.
                let body = answer.chunk().await.ok().flatten().unwrap_or_default();
                let body: String = String::from_utf8_lossy(&body)
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(200)
                    .collect();
                return Err(TransportError::not_sent(format!("HTTP status {status}: {body}")));
            }
            let headers = answer.headers().clone();
            let connection: Upgraded = Box::pin(answer.upgrade().await.map_err(from_reqwest)?);
            let mut response = Response::new(connection);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        }
        .boxed()
    }
}

fn from_reqwest(error: reqwest::Error) -> TransportError {
    // Connecting includes the TLS handshake; nothing of the request is sent before both are done.
    let sent = !(error.is_connect() || error.is_builder());
    // The URL says nothing that the caller does not know, and might hold parameters.
    let error = error.without_url();
    if sent {
        TransportError::interrupted(error)
    } else {
        TransportError::not_sent(error)
    }
}

/// A tower service in memory instead of a network: for tests, and for running against a server in the same process.
pub struct TowerTransport<S, B> {
    // Behind a lock only because a service need not be Sync; it is held while cloning.
    service: Mutex<S>,
    body: PhantomData<fn(B)>,
}

impl<S, B> TowerTransport<S, B> {
    /// Sends to clones of `service`, whose requests have bodies of type `B` (such as `axum::body::Body`).
    pub fn new(service: S) -> Self {
        Self {
            service: Mutex::new(service),
            body: PhantomData,
        }
    }
}

impl<S, B, A> Transport for TowerTransport<S, B>
where
    S: Service<Request<B>, Response = Response<A>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: From<Bytes> + Send + 'static,
    A: BodyExt<Data = Bytes> + Send,
    A::Error: Into<BoxError>,
{
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move {
            let answer = service
                .oneshot(request.map(B::from))
                .await
                .map_err(TransportError::interrupted)?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map_err(TransportError::interrupted)?.to_bytes();
            Ok(Response::from_parts(parts, body))
        }
        .boxed()
    }
}
