//! Channels over a WebSocket: each message is a channel's number and data (`*.channel.k8s.io`).
//!
//! API servers do not speak this to kubelets any more, but pass such clients on to them as they come.

mod framing;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt, stream};
use http::{HeaderMap, header};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::options::{Refusal, StreamOptions};
use super::queue::{self, Budget};
use super::remote::INBOX;
use super::session::{End, EndKind, Gone, Output, Session};
use super::size::Sizes;
use super::spdy::connection::OUTBOX;
use crate::clock;
use framing::Input;
pub(super) use framing::{Framing, PORT_FORWARD, REMOTE_COMMAND};

/// Largest message a client may send.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// What is read at once.
const READ_BUFFER: usize = 16 * 1024;
/// Data of one message that is sent.
const MAX_PIECE: usize = 32 * 1024;
/// A client that vanished is noticed when something is sent to it; so often something is.
const PING: Duration = Duration::from_secs(5);
/// How long the other side may take to read the rest and to close, once all is said.
const LINGER: Duration = Duration::from_secs(5);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// A handshake that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// Value of `Sec-WebSocket-Accept`.
    pub(super) accept: String,
    /// What was chosen of what the client offers.
    pub(super) framing: Framing,
}

/// Checks the headers of a request that wants to become a WebSocket.
///
/// # Errors
/// The answer.
pub(super) fn handshake(headers: &HeaderMap, spoken: &[Framing]) -> Result<Handshake, Refusal> {
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return Err(Refusal::new(400, "Sec-WebSocket-Version must be 13\n"));
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| Refusal::new(400, "there is no Sec-WebSocket-Key\n"))?;
    let offers: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|offer| !offer.is_empty())
        .collect();
    let framing = Framing::choose(&offers, spoken).ok_or_else(|| {
        let offers = offers.join(" ");
        Refusal::new(403, format!("requested protocol(s) are not supported: [{offers}]\n"))
    })?;
    Ok(Handshake {
        accept: derive_accept_key(key.as_bytes()),
        framing,
    })
}

/// A WebSocket of channels.
pub(super) struct Socket {
    shared: Arc<Shared>,
}

struct Shared {
    framing: Framing,
    out: queue::Sender<Message>,
    used: Mutex<Instant>,
    gone: CancellationToken,
}

/// A channel to the client.
pub(super) struct Channel {
    number: u8,
    shared: Arc<Shared>,
}

/// Says the last word.
pub(super) struct Closer(Channel);

impl Shared {
    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = clock::monotonic();
    }
}

impl Channel {
    /// Sends bytes, as soon as there is room for them.
    pub(super) async fn send(&self, data: &[u8]) -> Result<(), Gone> {
        for piece in data.chunks(MAX_PIECE) {
            self.send_piece(piece).await?;
        }
        Ok(())
    }

    /// Sends one message, also an empty one.
    pub(super) async fn send_piece(&self, piece: &[u8]) -> Result<(), Gone> {
        let message = self.shared.framing.message(self.number, piece);
        let bytes = message.len();
        self.shared.out.send(message, bytes).await.map_err(|_| Gone)?;
        self.shared.touch();
        Ok(())
    }
}

impl Closer {
    /// Whether the last word is a `Status`.
    pub(super) fn status(&self) -> bool {
        self.0.shared.framing.status
    }

    /// Says it, and closes. The session's driver waits for the client to have read it.
    pub(super) async fn close(self, text: Option<Bytes>) {
        if let Some(text) = text {
            let _ = self.0.send(&text).await;
        }
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        let _ = self.0.shared.out.send_now(Message::Close(Some(close)), None);
    }
}

impl Socket {
    /// The server's side of `io`: what the client sends on each of `readable`, and what drives the connection.
    pub(super) async fn new<T>(
        io: T,
        framing: Framing,
        readable: &[u8],
        idle: Duration,
    ) -> (
        Self,
        Vec<queue::Receiver<Bytes>>,
        impl Future<Output = ()> + Send + use<T>,
    )
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let bounds = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * OUTBOX)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(bounds)).await;
        let (out, messages) = queue::channel(&Budget::new(OUTBOX));
        let inbox = Budget::new(INBOX);
        let (channels, receivers) = readable
            .iter()
            .map(|number| {
                let (sender, receiver) = queue::channel(&inbox);
                ((*number, sender), receiver)
            })
            .unzip();
        let shared = Arc::new(Shared {
            framing,
            out,
            used: Mutex::new(clock::monotonic()),
            gone: CancellationToken::new(),
        });
        let driver = drive(socket, shared.clone(), channels, messages, idle);
        (Self { shared }, receivers, driver)
    }

    /// A channel to the client.
    pub(super) fn channel(&self, number: u8) -> Channel {
        Channel {
            number,
            shared: self.shared.clone(),
        }
    }

    /// Cancelled when the client is gone.
    pub(super) fn gone(&self) -> CancellationToken {
        self.shared.gone.clone()
    }

    /// Who says the last word, on channel `number`.
    pub(super) fn closer(&self, number: u8) -> Closer {
        Closer(self.channel(number))
    }
}

/// `exec` and `attach` over a WebSocket.
pub(super) async fn websocket_session<T>(
    io: T,
    framing: Framing,
    options: StreamOptions,
    idle: Duration,
) -> Option<Session>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (socket, receivers, driver) = Socket::new(io, framing, &[STDIN, RESIZE], idle).await;
    tokio::spawn(driver);
    let [stdin, resize] = <[_; 2]>::try_from(receivers).ok()?;
    let sizes = stream::unfold((resize, Sizes::default()), |(mut resize, mut sizes)| async move {
        let data: Bytes = resize.recv().await?;
        Some((sizes.feed(&data), (resize, sizes)))
    });
    let first = if options.stdout {
        STDOUT
    } else if options.stderr {
        STDERR
    } else {
        ERROR
    };
    // An empty message tells the client that it is connected.
    socket.channel(first).send_piece(&[]).await.ok()?;
    let output = |number| Output::WebSocket(socket.channel(number));
    Some(Session {
        stdin: options.stdin.then(|| received(stdin).boxed()),
        sizes: sizes.filter_map(std::future::ready).chain(stream::pending()).boxed(),
        stdout: options.stdout.then(|| output(STDOUT)),
        stderr: options.stderr.then(|| output(STDERR)),
        end: End {
            gone: socket.gone(),
            kind: EndKind::WebSocket(socket.closer(ERROR)),
        },
    })
}

/// What a client sends on a channel.
pub(super) fn received(queue: queue::Receiver<Bytes>) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(queue, |mut queue| async move {
        queue.recv().await.map(|data| (data, queue))
    })
}

/// Tells everybody that the connection is over, however its driver ends.
struct Ended(CancellationToken);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

async fn drive<T: AsyncRead + AsyncWrite + Unpin + Send>(
    socket: WebSocketStream<T>,
    shared: Arc<Shared>,
    mut channels: HashMap<u8, queue::Sender<Bytes>>,
    mut messages: queue::Receiver<Message>,
    idle: Duration,
) {
    let ended = Ended(shared.gone.clone());
    // Only those who send keep the queue open: when they are gone, the connection ends.
    let weak = Arc::downgrade(&shared);
    let framing = shared.framing;
    drop(shared);
    let (mut sink, mut stream) = socket.split();

    let read = async {
        while let Some(Ok(message)) = stream.next().await {
            let data = match message {
                Message::Binary(data) => data,
                Message::Text(text) => Bytes::from(text),
                Message::Close(_) => return,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            if let Some(shared) = weak.upgrade() {
                shared.touch();
            }
            match framing.read(data) {
                Some(Input::Data { channel, data }) if !data.is_empty() => {
                    if let Some(channel) = channels.get(&channel) {
                        let bytes = data.len();
                        // Who does not read a channel misses nothing.
                        let _ = channel.send(data, bytes).await;
                    }
                }
                Some(Input::Close { channel }) => drop(channels.remove(&channel)),
                _ => {}
            }
        }
    };
    let write = async {
        while let Some(message) = messages.recv().await {
            let last = matches!(message, Message::Close(_));
            if sink.send(message).await.is_err() {
                return false;
            }
            if last {
                return true;
            }
        }
        // Given up without a word: closed without one.
        false
    };
    let keep = async {
        loop {
            let now = clock::monotonic();
            let Some(shared) = weak.upgrade() else {
                return std::future::pending().await;
            };
            let idle_at = *shared.used.lock().unwrap_or_else(PoisonError::into_inner) + idle;
            drop(shared);
            if idle_at <= now {
                return;
            }
            tokio::time::sleep_until(idle_at.min(now + PING)).await;
            if let Some(shared) = weak.upgrade() {
                let _ = shared.out.send_now(Message::Ping(Bytes::new()), None);
            }
        }
    };
    let said_all = tokio::select! {
        () = read => false,
        said_all = write => said_all,
        () = keep => false,
    };
    drop(ended);
    drop(messages);
    let ending = async {
        if said_all {
            // The client's own close ends the stream; what it still sends before that is of no interest.
            while let Some(Ok(_)) = stream.next().await {}
        }
        if let Ok(mut socket) = sink.reunite(stream) {
            let _ = socket.get_mut().shutdown().await;
        }
    };
    let _ = timeout(LINGER, ending).await;
}
