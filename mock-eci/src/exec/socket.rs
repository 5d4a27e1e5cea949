//! From an HTTP request to a WebSocket: the handshake, and the bounds of a connection.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{Slot, Token, framing::Framing, page, session};
use crate::{app::App, domain::exec::Exec};

/// Largest message a client may send: a mebibyte and its channel.
pub(crate) const MAX_FRAME: usize = 1024 * 1024 + 1;
/// What is read at once; the default of 128 KiB is much for a terminal.
const READ_BUFFER: usize = 16 * 1024;
/// How much may wait to be written; every message is awaited, and the runtimes give small ones.
const WRITE_BUFFER: usize = 1024 * 1024;

/// Whether a request wants to be a WebSocket here.
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    page::is_socket(request.uri().path()) && request.headers().contains_key(header::UPGRADE)
}

/// Answers a handshake. The session goes on by itself.
pub(crate) fn accept(app: &App, mut request: Request<Incoming>) -> Response<Bytes> {
    let upgrade = hyper::upgrade::on(&mut request);
    match handshake(app, &request) {
        Ok(accepted) => accepted.start(app, upgrade),
        Err((status, message)) => page::refusal(status, message),
    }
}

/// A handshake that is good.
struct Accepted {
    key: String,
    framing: Framing,
    exec: Exec,
    slot: Slot,
}

/// What the request asks for. The token is looked at last: a handshake that fails otherwise does not use it up.
fn handshake(app: &App, request: &Request<Incoming>) -> Result<Accepted, (StatusCode, &'static str)> {
    let bad = |why| (StatusCode::BAD_REQUEST, why);
    let headers = request.headers();
    if request.method() != Method::GET || !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(bad("a WebSocket begins with GET and Connection: Upgrade"));
    }
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err(bad("the only upgrade here is to websocket"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return Err(bad("Sec-WebSocket-Version must be 13"));
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(|key| derive_accept_key(key.as_bytes()))
        .ok_or_else(|| bad("there is no Sec-WebSocket-Key"))?;
    let offers: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let offers = (!offers.is_empty()).then(|| offers.join(","));
    let framing = Framing::choose(offers.as_deref())
        .ok_or_else(|| bad("no subprotocol that was offered is spoken here: offer v4.channel.k8s.io, or none"))?;
    let slot = app
        .exec()
        .slot()
        .ok_or((StatusCode::SERVICE_UNAVAILABLE, "too many commands run at the moment"))?;
    let token = page::token(request.uri()).ok_or_else(|| bad("there is no token (s)"))?;
    let exec = app.exec().redeem(&Token::from(&*token), app.clock().now()).ok_or((
        StatusCode::FORBIDDEN,
        "the token was used, is older than 30 seconds, or was never given: call ExecContainerCommand again",
    ))?;
    Ok(Accepted {
        key,
        framing,
        exec,
        slot,
    })
}

/// Whether a comma-separated header has this word.
fn has_token(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|given| given.trim().eq_ignore_ascii_case(word))
}

impl Accepted {
    fn start(self, app: &App, upgrade: OnUpgrade) -> Response<Bytes> {
        let Self {
            key,
            framing,
            exec,
            slot,
        } = self;
        let (cloud, sessions) = (app.cloud().clone(), app.exec());
        let (stdin_end, stop) = (sessions.stdin_end(), sessions.stopping().clone());
        sessions.spawn(async move {
            // The client left before it had the answer.
            let Ok(connection) = upgrade.await else { return };
            let bounds = WebSocketConfig::default()
                .read_buffer_size(READ_BUFFER)
                .write_buffer_size(0)
                .max_write_buffer_size(WRITE_BUFFER)
                .max_message_size(Some(MAX_FRAME))
                .max_frame_size(Some(MAX_FRAME));
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(bounds)).await;
            session::run(socket, cloud, exec, framing, stdin_end, stop).await;
            drop(slot);
        });
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(key) = HeaderValue::from_str(&key) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
        }
        if let Some(name) = framing.name {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        response
    }
}
