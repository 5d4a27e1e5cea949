//! Commands in containers: ExecContainerCommand, and the WebSocket it gives an address for.
//!
//! ECI documents the call and says nothing of the socket. What its public clients agree on is [`framing`]; they offer no
//! subprotocol, so none is offered here.

mod framing;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Sink, SinkExt as _, StreamExt as _, stream};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri};
use provider::error::ErrorClass;
use provider::params;
use serde::Deserialize;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::client::{decode, scrub};
use crate::query::{base, put};
use crate::transport::Upgraded;
use crate::{Action, Client, Error, TransportError};

const ACTION: Action = Action::ExecContainerCommand;
/// The address is good for 30 seconds; nobody waits longer for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest message that is taken.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// What is read at once.
const READ_BUFFER: usize = 16 * 1024;
/// How much may wait to be written; every message is awaited.
const WRITE_BUFFER: usize = 1024 * 1024;

/// A command and where to run it. It may hold secrets, so `Debug` shows how many words it has.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ExecQuery {
    /// The group.
    pub group_id: String,
    /// The container.
    pub container: String,
    /// Program and arguments: at most 20, of 256 characters each.
    pub command: Vec<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Give it standard input.
    pub stdin: bool,
}

impl fmt::Debug for ExecQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecQuery")
            .field("group_id", &self.group_id)
            .field("container", &self.container)
            .field("words", &self.command.len())
            .field("tty", &self.tty)
            .field("stdin", &self.stdin)
            .finish()
    }
}

/// What a running command is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecInput {
    /// Bytes of standard input; an empty chunk is nothing.
    Stdin(Bytes),
    /// The end of standard input. Whether ECI passes it on is unconfirmed.
    StdinEnd,
    /// The terminal's size, in characters.
    Resize {
        /// Columns.
        width: u16,
        /// Lines.
        height: u16,
    },
}

/// What a running command gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutput {
    /// Bytes of standard output; with a terminal, of both.
    Stdout(Bytes),
    /// Bytes of standard error.
    Stderr(Bytes),
    /// It ended, and nothing follows: its exit code, or why there is none.
    Ended(Result<i32, String>),
}

/// A running command. It loses its client when both halves are dropped.
pub struct ExecSession {
    /// To it. Each item waits until the connection takes it.
    pub input: Pin<Box<dyn Sink<ExecInput, Error = TransportError> + Send>>,
    /// From it, up to [`ExecOutput::Ended`].
    pub output: BoxStream<'static, ExecOutput>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExecAnswer {
    #[serde(default)]
    web_socket_uri: String,
    #[serde(default)]
    request_id: String,
}

impl Client {
    /// Runs a command in a container and connects to it.
    ///
    /// # Errors
    /// `NotFound` if there is no such group or container; `Permanent` if ECI refuses the command.
    pub async fn exec(&self, query: &ExecQuery) -> Result<ExecSession, Error> {
        let mut params = base(self.region());
        put(&mut params, "ContainerGroupId", Some(query.group_id.clone()));
        put(&mut params, "ContainerName", Some(query.container.clone()));
        let words = serde_json::Value::from(query.command.as_slice());
        put(&mut params, "Command", Some(words.to_string()));
        put(&mut params, "TTY", Some(query.tty.to_string()));
        put(&mut params, "Stdin", Some(query.stdin.to_string()));
        put(&mut params, "Sync", Some("false".to_owned()));
        let body = self
            .call(ACTION, params::form(&params), |message| {
                scrub::words(message, &query.command);
            })
            .await?;
        let answer: ExecAnswer = decode(ACTION, &body)?;
        let failed = |message: &str| {
            Error::new(ACTION, ErrorClass::Transient, message).answered(200, String::new(), answer.request_id.clone())
        };
        let encrypted = self.endpoint().scheme() == Some(&Scheme::HTTPS);
        let uri = address(&answer.web_socket_uri, encrypted).map_err(failed)?;
        let no_connection = |error| failed("the connection to the command cannot be made").because(error);
        match tokio::time::timeout(CONNECT_TIMEOUT, connect(&*self.transport, uri)).await {
            Ok(Ok(connection)) => Ok(session(connection).await),
            Ok(Err(error)) => Err(no_connection(error)),
            Err(_) => Err(no_connection(TransportError::timed_out())),
        }
    }
}

/// The address as an HTTP client wants it. It holds the only secret of the session, so no error quotes it.
fn address(uri: &str, encrypted: bool) -> Result<Uri, &'static str> {
    let uri: Uri = uri.parse().map_err(|_| "ECI gave no address of a WebSocket")?;
    let mut parts = uri.into_parts();
    parts.scheme = match parts.scheme.as_ref().map(Scheme::as_str) {
        Some("wss") => Some(Scheme::HTTPS),
        Some("ws") if encrypted => return Err("ECI gave an address without encryption for the command"),
        Some("ws") => Some(Scheme::HTTP),
        _ => return Err("ECI gave no address of a WebSocket"),
    };
    Uri::from_parts(parts).map_err(|_| "ECI gave no address of a WebSocket")
}

async fn connect(transport: &dyn crate::Transport, uri: Uri) -> Result<Upgraded, TransportError> {
    let key = generate_key();
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(
        SEC_WEBSOCKET_KEY,
        HeaderValue::from_str(&key).map_err(TransportError::not_sent)?,
    );
    let (answer, connection) = transport.upgrade(request).await?.into_parts();
    let accepted = answer.headers.get(SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none_or(|accepted| accepted.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(TransportError::not_sent("the other side is no WebSocket"));
    }
    Ok(connection)
}

async fn session(connection: Upgraded) -> ExecSession {
    let bounds = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let socket = WebSocketStream::from_raw_socket(connection, Role::Client, Some(bounds)).await;
    let (sink, messages) = socket.split();
    let input = sink
        .sink_map_err(TransportError::interrupted)
        .with(|input: ExecInput| std::future::ready(Ok::<_, TransportError>(framing::message(&input))));
    let output = stream::unfold(Some(messages), |messages| async move {
        let mut messages = messages?;
        loop {
            let output = match messages.next().await {
                Some(Ok(Message::Binary(data))) => framing::read(data),
                // Some servers are said to send output as text.
                Some(Ok(Message::Text(text))) => Some(ExecOutput::Stdout(Bytes::from(text))),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => None,
                // Closed in order and without a word of failure.
                Some(Ok(Message::Close(_))) => Some(ExecOutput::Ended(Ok(0))),
                Some(Err(error)) => Some(ExecOutput::Ended(Err(broken(&error)))),
                None => Some(ExecOutput::Ended(Err("the connection to the command broke".to_owned()))),
            };
            match output {
                None => {}
                Some(end @ ExecOutput::Ended(_)) => return Some((end, None)),
                Some(output) => return Some((output, Some(messages))),
            }
        }
    });
    ExecSession {
        input: Box::pin(input),
        output: output.boxed(),
    }
}

fn broken(error: &tungstenite::Error) -> String {
    format!("the connection to the command broke: {error}")
}

#[cfg(test)]
mod tests;
