//! (tests) An API server in memory that answers as a closure says.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};

/// An answer of the scripted API server.
pub(crate) struct Answer {
    code: StatusCode,
    body: Option<Value>,
}

impl Answer {
    /// 200 with an object.
    pub(crate) fn ok(body: Value) -> Self {
        Self {
            code: StatusCode::OK,
            body: Some(body),
        }
    }

    /// An error as the API server writes it.
    pub(crate) fn error(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
        });
        Self {
            code: StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: Some(body),
        }
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self::error(404, "NotFound", "not found")
    }

    /// Never answers: a watch without events, or a dead connection.
    pub(crate) fn never() -> Self {
        Self {
            code: StatusCode::OK,
            body: None,
        }
    }
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
            let Some(body) = answer.body else {
                return std::future::pending().await;
            };
            let mut response = Response::new(Full::from(body.to_string()));
            *response.status_mut() = answer.code;
            Ok::<_, Infallible>(response)
        }
    });
    kube::Client::new(service, "default")
}
