//! What is at `/exec/` for those who bring no WebSocket: a plain terminal for browsers, and refusals in words.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};

/// Everything of commands is below this.
pub(crate) const PATH: &str = "/exec/";
/// The terminal for browsers; `HttpUrl` names it.
const TERMINAL: &str = "/exec/terminal";
/// The page. It speaks the framing of `framing` and holds no other file.
const PAGE: &str = include_str!("terminal.html");
/// Nothing but itself, and sockets to its own server. Older browsers do not take `ws:` as `'self'`.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self' ws: wss:";

/// The two addresses of a token, on the host that the caller addressed.
pub(crate) fn addresses(host: &str, token: &super::Token) -> (String, String) {
    let token = token.reveal();
    (
        format!("ws://{host}{PATH}?s={token}"),
        format!("http://{host}{TERMINAL}?s={token}"),
    )
}

/// Whether this is where WebSockets are.
pub(super) fn is_socket(path: &str) -> bool {
    path == PATH || path == PATH.trim_end_matches('/')
}

/// `s` of the query.
pub(super) fn token(uri: &Uri) -> Option<String> {
    form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(name, value)| name == "s" && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

/// Answers what is no WebSocket.
pub(crate) fn handle(request: &Request<Bytes>) -> Response<Bytes> {
    match request.uri().path() {
        TERMINAL => {
            let mut response = text(StatusCode::OK, "text/html;charset=utf-8", PAGE);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            response
        }
        path if is_socket(path) => {
            let mut response = refusal(
                StatusCode::UPGRADE_REQUIRED,
                "this is a WebSocket: it begins with an upgrade",
            );
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            response
        }
        _ => refusal(StatusCode::NOT_FOUND, "there is nothing here"),
    }
}

/// A refusal of one sentence.
pub(super) fn refusal(status: StatusCode, sentence: &'static str) -> Response<Bytes> {
    text(status, "text/plain;charset=utf-8", sentence)
}

fn text(status: StatusCode, kind: &'static str, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_the_query() {
        let of = |uri: &str| token(&uri.parse().expect("a URI"));
        assert_eq!(of("/exec/?s=abc").as_deref(), Some("abc"));
        assert_eq!(of("/exec/?x=1&s=a%2Db").as_deref(), Some("a-b"));
        assert_eq!(of("/exec/?s="), None);
        assert_eq!(of("/exec/"), None);
    }

    #[test]
    fn what_is_no_websocket_is_told_so() {
        let status = |path: &str| {
            let request = Request::builder().uri(path).body(Bytes::new()).expect("valid");
            handle(&request).status().as_u16()
        };
        assert_eq!(status("/exec/?s=x"), 426);
        assert_eq!(status("/exec/terminal?s=x"), 200);
        assert_eq!(status("/exec/other"), 404);
    }
}
