//! The client's end of a command, whatever protocol carries it.

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::ending::FAREWELL;
use super::outcome::Outcome;
use super::size::TerminalSize;
use super::spdy::connection::{Connection, StreamWriter};
use super::websocket::{Channel, Closer};

/// The client is gone, or wants nothing more of this stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// The streams of a client, as far as it asked for them.
pub(super) struct Session {
    /// Standard input; it ends where the client's does.
    pub(super) stdin: Option<BoxStream<'static, Bytes>>,
    /// Sizes of its terminal.
    pub(super) sizes: BoxStream<'static, TerminalSize>,
    /// Standard output.
    pub(super) stdout: Option<Output>,
    /// Standard error.
    pub(super) stderr: Option<Output>,
    /// How it is told the end.
    pub(super) end: End,
}

/// Where output goes.
pub(super) enum Output {
    Spdy(StreamWriter),
    WebSocket(Channel),
}

impl Output {
    /// Sends bytes, as soon as there is room for them.
    pub(super) async fn send(&self, data: Bytes) -> Result<(), Gone> {
        match self {
            Self::Spdy(stream) => stream.send(data).await.map_err(|_| Gone),
            Self::WebSocket(channel) => channel.send(&data).await,
        }
    }

    /// Says that nothing more is sent.
    pub(super) fn finish(self) {
        match self {
            Self::Spdy(stream) => stream.finish(),
            // A channel cannot be ended by itself.
            Self::WebSocket(_) => {}
        }
    }
}

/// The end of a session.
pub(super) struct End {
    /// Cancelled when the client is gone.
    pub(super) gone: CancellationToken,
    pub(super) kind: EndKind,
}

pub(super) enum EndKind {
    Spdy {
        error: StreamWriter,
        /// Whether the end is a `Status`; else a sentence, and only of a failure.
        status: bool,
        /// Directions nobody uses; dropping them would reset their streams.
        unused: Vec<StreamWriter>,
        /// Closed when it is dropped.
        _connection: Connection,
    },
    WebSocket(Closer),
}

impl Session {
    /// Tells the client how it ended, after all output, and closes the connection. Without it, it is just closed.
    pub(super) async fn finish(self, outcome: &Outcome) {
        let gone = self.end.gone.clone();
        self.tell(outcome).await;
        // What was said is on its way then; the process may end with this.
        let _ = timeout(FAREWELL, gone.cancelled()).await;
    }

    async fn tell(self, outcome: &Outcome) {
        for output in [self.stdout, self.stderr].into_iter().flatten() {
            output.finish();
        }
        match self.end.kind {
            EndKind::Spdy {
                error, status, unused, ..
            } => {
                unused.into_iter().for_each(StreamWriter::finish);
                if let Some(text) = said(outcome, status) {
                    let _ = error.send(text).await;
                }
                error.finish();
            }
            EndKind::WebSocket(closer) => {
                let text = said(outcome, closer.status());
                closer.close(text).await;
            }
        }
    }
}

fn said(outcome: &Outcome, status: bool) -> Option<Bytes> {
    if status {
        Some(Bytes::from(outcome.status().to_string()))
    } else {
        outcome.sentence().map(Bytes::from)
    }
}
