//! (tests) An API server in memory that answers as a closure says.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

type Chunks = std::pin::Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;

/// An answer of the scripted API server.
pub(crate) struct Answer {
    code: StatusCode,
    body: Chunks,
}

impl Answer {
    /// 200 with an object.
    pub(crate) fn ok(body: Value) -> Self {
        Self::whole(StatusCode::OK, &body)
    }

    /// An error as the API server writes it.
    pub(crate) fn error(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
        });
        Self::whole(
            StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            &body,
        )
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self::error(404, "NotFound", "not found")
    }

    /// A watch: the events as they are sent, for as long as the sender lives.
    pub(crate) fn events(events: UnboundedReceiver<Value>) -> Self {
        let lines = stream::unfold(events, |mut events| async move {
            let event = events.recv().await?;
            Some((frame(format!("{event}\n")), events))
        });
        Self {
            code: StatusCode::OK,
            body: lines.boxed(),
        }
    }

    fn whole(code: StatusCode, body: &Value) -> Self {
        let body = body.to_string();
        Self {
            code,
            body: async { frame(body) }.into_stream().boxed(),
        }
    }
}

fn frame(text: String) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from(text)))
}

/// A client of an API server that calls `script` with method, path with query, and body (`Null` if there is none).
pub(crate) fn scripted(script: impl Fn(&Method, &str, &Value) -> Answer + Send + Sync + 'static) -> kube::Client {
    let script = Arc::new(script);
    let service = tower::service_fn(move |request: Request<Body>| {
        let script = script.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            // kube ends paths without parameters in a question mark.
            let path = parts
                .uri
                .path_and_query()
                .map_or("", |path| path.as_str())
                .trim_end_matches('?');
            let answer = script(&parts.method, path, &body);
            let mut response = Response::new(StreamBody::new(answer.body));
            *response.status_mut() = answer.code;
            Ok::<_, Infallible>(response)
        }
    });
    kube::Client::new(service, "default")
}
