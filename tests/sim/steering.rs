//! Steers the cloud over its own interface.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tower::Service as _;

use crate::harness::Sim;

/// `POST /mock/<path>`.
pub async fn steer(sim: &Sim, path: &str, body: Value) -> Value {
    let request = http::Request::post(format!("http://localhost/mock/{path}"))
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("a request");
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let answer = sim.cloud.service().call(http::Request::from_parts(parts, body)).await;
    let answer = answer.expect("an answer");
    let status = answer.status();
    let text = answer.into_body();
    assert!(
        status.is_success(),
        "{path}: {status}: {}",
        String::from_utf8_lossy(&text)
    );
    serde_json::from_slice(&text).expect("JSON")
}
