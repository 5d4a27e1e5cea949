//! How a request becomes a connection of streams, and what is answered when it cannot.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::options::{ACCEPTED_VERSIONS, PROTOCOL_VERSION, Refusal, negotiate};
use super::websocket::{Framing, handshake};

/// What a request wants to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Spdy,
    WebSocket,
}

/// An upgrade that was agreed on: the answer, and what then comes.
pub(super) struct Agreed<T> {
    pub(super) response: Response,
    pub(super) upgrade: OnUpgrade,
    pub(super) spoken: Spoken<T>,
}

/// What is spoken on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken<T> {
    Spdy(T),
    WebSocket(Framing),
}

/// Agrees on a protocol.
///
/// # Errors
/// The answer, as a kubelet and the runtime behind it word it.
pub(super) fn agree<T: Copy>(
    request: &mut Request,
    spdy: &[(&'static str, T)],
    websocket: &[Framing],
) -> Result<Agreed<T>, Refusal> {
    let headers = request.headers();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let spoken = match wanted(headers) {
        None => return Err(Refusal::new(500, "Upgrade request required\n")),
        Some(Wanted::WebSocket) => {
            if request.method() != Method::GET {
                return Err(Refusal::new(405, "a WebSocket begins with GET\n"));
            }
            let agreed = handshake(headers, websocket)?;
            answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            put(answer, header::SEC_WEBSOCKET_ACCEPT, &agreed.accept);
            if let Some(name) = agreed.framing.name {
                put(answer, header::SEC_WEBSOCKET_PROTOCOL, name);
            }
            Spoken::WebSocket(agreed.framing)
        }
        Some(Wanted::Spdy) => {
            let (name, version) = negotiate(headers, spdy)?;
            if !has(headers, header::UPGRADE, SPDY) {
                return Err(Refusal::new(
                    400,
                    "unable to upgrade: missing upgrade headers in request: the upgrades are to SPDY/3.1 and websocket\n",
                ));
            }
            answer.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
            put(answer, HeaderName::from_static(PROTOCOL_VERSION), name);
            Spoken::Spdy(version)
        }
    };
    Ok(Agreed {
        response,
        upgrade: hyper::upgrade::on(request),
        spoken,
    })
}

const SPDY: &str = "SPDY/3.1";

/// `None` = it wants no upgrade. Whatever is not WebSocket is looked at as SPDY.
pub(super) fn wanted(headers: &HeaderMap) -> Option<Wanted> {
    if !has(headers, header::CONNECTION, "upgrade") {
        return None;
    }
    if headers
        .get(header::UPGRADE)
        .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
    {
        return Some(Wanted::WebSocket);
    }
    Some(Wanted::Spdy)
}

/// Whether some value of `name` contains `word`, in whatever case.
fn has(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains(&word))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (code, self.text).into_response();
        if self.json {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        for name in self.accepted {
            response.headers_mut().append(
                HeaderName::from_static(ACCEPTED_VERSIONS),
                HeaderValue::from_static(name),
            );
        }
        response
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The connection, once the answer is sent; `None` = the client left before.
pub(super) async fn connection(upgrade: OnUpgrade) -> Option<TokioIo<Upgraded>> {
    upgrade.await.ok().map(TokioIo::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_in_two_headers() {
        let of = |connection: &'static str, upgrade: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
            headers.insert(header::UPGRADE, HeaderValue::from_static(upgrade));
            wanted(&headers)
        };
        assert_eq!(of("Upgrade", "SPDY/3.1"), Some(Wanted::Spdy));
        assert_eq!(of("keep-alive, upgrade", "WebSocket"), Some(Wanted::WebSocket));
        assert_eq!(of("keep-alive", "websocket"), None);
        assert_eq!(wanted(&HeaderMap::new()), None);
    }
}
