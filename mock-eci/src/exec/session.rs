//! One client and one command: messages one way, output the other, until either is gone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

use super::framing::{Framing, Input, Outcome};
use crate::{
    domain::{
        cloud::Cloud,
        exec::{Exec, NoExec},
    },
    runtime::exec::{ExecOutput, ExecStreams},
};

/// Without data either way a session ends after this time: the kubelet's own limit.
const IDLE: Duration = Duration::from_secs(4 * 3600);
/// Between two questions whether the client is still there.
const PING: Duration = Duration::from_secs(60);
/// A client that sends nothing for so long, not even answers to pings, is gone.
const SILENCE: Duration = Duration::from_secs(300);
/// How long a client may take to close its side after ours.
const CLOSE: Duration = Duration::from_secs(5);

/// Why a session is over.
enum End {
    /// The command ended.
    Done,
    /// The client closed the connection, broke it, or fell silent.
    Left,
    /// No data for [`IDLE`].
    Idle,
    /// The server ends.
    Stopping,
}

/// Runs the command; the socket is closed when it returns.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    cloud: Cloud,
    exec: Exec,
    framing: Framing,
    stdin_end: bool,
    stop: CancellationToken,
) {
    let (mut sink, mut messages) = socket.split();
    let end = match cloud.exec(exec).await {
        Ok(streams) => converse(&mut sink, &mut messages, streams, framing, stdin_end, &stop).await,
        Err(error) => {
            if let Some(message) = framing.status(&Outcome::Failed(refusal(&error))) {
                let _ = sink.send(message).await;
            }
            End::Done
        }
    };
    let (code, reason) = match end {
        End::Left => return,
        End::Done => (CloseCode::Normal, ""),
        End::Idle => (CloseCode::Normal, "no data for too long"),
        End::Stopping => (CloseCode::Away, "the server ends"),
    };
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // The client's own close ends the stream; what it still sends before that is of no interest.
    let close = async {
        let _ = sink.send(Message::Close(Some(frame))).await;
        while let Some(Ok(_)) = messages.next().await {}
    };
    let _ = tokio::time::timeout(CLOSE, close).await;
}

fn refusal(error: &NoExec) -> String {
    match error {
        NoExec::Group => "the container group does not exist any more".to_owned(),
        NoExec::Container => "the container does not exist any more".to_owned(),
        NoExec::NotRunning => "the container is not running".to_owned(),
        NoExec::Runtime(error) => error.to_string(),
    }
}

async fn converse(
    sink: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin),
    messages: &mut (impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin),
    streams: ExecStreams,
    framing: Framing,
    stdin_end: bool,
    stop: &CancellationToken,
) -> End {
    let ExecStreams {
        mut stdin,
        size,
        mut output,
    } = streams;
    let newest = Mutex::new(Instant::now());
    let touch = || *newest.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();

    let from_client = async {
        loop {
            let data = match tokio::time::timeout(SILENCE, messages.next()).await {
                Ok(Some(Ok(Message::Binary(data)))) => data,
                Ok(Some(Ok(Message::Text(text)))) => Bytes::from(text),
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => continue,
                // Closed, broken, too large a message, or silent.
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => return End::Left,
            };
            touch();
            match framing.read(data) {
                Some(Input::Stdin(data)) if data.is_empty() => {
                    if stdin_end {
                        stdin = None;
                    }
                }
                Some(Input::Stdin(data)) => {
                    if let Some(input) = &stdin
                        && input.send(data).await.is_err()
                    {
                        // The command reads no more; what the client still sends goes nowhere, as into a closed pipe.
                        stdin = None;
                    }
                }
                Some(Input::Resize(terminal)) => drop(size.send_replace(Some(terminal))),
                Some(Input::Other) | None => {}
            }
        }
    };

    let to_client = async {
        // As a kubelet does: it tells the client that the command was started.
        let mut next = framing.stdout(b"");
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        loop {
            if sink.send(next).await.is_err() {
                return End::Left;
            }
            next = tokio::select! {
                received = output.recv() => {
                    touch();
                    match received {
                        Some(ExecOutput::Stdout(data)) => framing.stdout(&data),
                        Some(ExecOutput::Stderr(data)) => framing.stderr(&data),
                        ended => {
                            let outcome = match ended {
                                Some(ExecOutput::Ended(Ok(code))) => Outcome::Exited(code),
                                Some(ExecOutput::Ended(Err(message))) => Outcome::Failed(message),
                                _ => Outcome::Failed("the command was lost".to_owned()),
                            };
                            if let Some(message) = framing.status(&outcome) {
                                let _ = sink.send(message).await;
                            }
                            return End::Done;
                        }
                    }
                }
                _ = ping.tick() => Message::Ping(Bytes::new()),
            };
        }
    };

    let idle = async {
        loop {
            let deadline = *newest.lock().unwrap_or_else(PoisonError::into_inner) + IDLE;
            if deadline <= Instant::now() {
                return End::Idle;
            }
            tokio::time::sleep_until(deadline).await;
        }
    };

    tokio::select! {
        end = from_client => end,
        end = to_client => end,
        end = idle => end,
        () = stop.cancelled() => End::Stopping,
    }
}
