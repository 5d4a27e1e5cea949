//! Both ends for tests: a client that says what it is told to and shows what comes, and commands that are scripted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use eci::{ExecInput, ExecOutput, ExecQuery, ExecSession, TransportError};
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::exec::CommandSource;
use super::spdy::Headers;
use super::spdy::frame::{Decoder, Encoder, Frame};

pub(in crate::kubelet) struct SpdyClient<T> {
    io: T,
    encoder: Encoder,
    decoder: Decoder,
    unread: BytesMut,
}

impl<T: AsyncRead + AsyncWrite + Unpin> SpdyClient<T> {
    pub(in crate::kubelet) fn new(io: T) -> Self {
        Self {
            io,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            unread: BytesMut::new(),
        }
    }

    pub(in crate::kubelet) async fn open(&mut self, id: u32, headers: &[(&str, &str)]) {
        let headers = Headers::from_iter(headers.iter().copied());
        let fin = false;
        self.send(&Frame::SynStream { id, fin, headers }).await;
    }

    pub(in crate::kubelet) async fn send(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        self.encoder.encode(frame, &mut bytes).expect("fits");
        self.send_bytes(&bytes).await;
    }

    /// The other side may be gone; what it said last is what tests look at.
    pub(in crate::kubelet) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    /// The next frame, or piece of one; `None` = the other side has closed.
    pub(in crate::kubelet) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.unread).expect("frames") {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.unread).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

/// A few programs: `cat`, `exit CODE`, `size` (of the terminal), `yes` (without end), `work` (for an hour), `break` (its connection), `refuse`.
#[derive(Clone, Default)]
pub(in crate::kubelet) struct Commands {
    running: Arc<AtomicUsize>,
    /// Whether the end of input is passed on.
    deaf: bool,
}

impl Commands {
    /// Commands that are not told the end of their input.
    pub(in crate::kubelet) fn deaf() -> Self {
        Self {
            deaf: true,
            ..Self::default()
        }
    }

    /// Commands whose client has not left them.
    pub(in crate::kubelet) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// Counts a command for as long as its output is wanted.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CommandSource for Commands {
    fn run(&self, query: ExecQuery) -> BoxFuture<'static, Result<ExecSession, String>> {
        assert_eq!((query.group_id.as_str(), query.container.as_str()), ("eci-1", "spark"));
        if query.command == ["refuse"] {
            return async { Err("ExecContainerCommand: IncorrectStatus: no".to_owned()) }.boxed();
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(self.running.clone());
        let (input, received) = mpsc::channel(1);
        let deaf = self.deaf;
        let received = received.filter(move |input| std::future::ready(!deaf || *input != ExecInput::StdinEnd));
        let (output, sent) = mpsc::channel(1);
        tokio::spawn(program(query, received, output));
        let input = Box::pin(input.sink_map_err(TransportError::interrupted));
        let sent = sent.map(move |output| {
            let _ = &counted;
            output
        });
        let output = sent.boxed();
        async { Ok(ExecSession { input, output }) }.boxed()
    }
}

/// Ends early when nobody wants its output.
async fn program(
    query: ExecQuery,
    mut input: impl Stream<Item = ExecInput> + Unpin,
    mut output: mpsc::Sender<ExecOutput>,
) {
    let words: Vec<&str> = query.command.iter().map(String::as_str).collect();
    let mut end = Ok(0);
    match words.as_slice() {
        ["cat"] => {
            while let Some(ExecInput::Stdin(data)) = input.next().await {
                if output.send(ExecOutput::Stdout(data)).await.is_err() {
                    return;
                }
            }
        }
        ["exit", code] => {
            let _ = output.send(ExecOutput::Stdout(Bytes::from_static(b"out"))).await;
            let _ = output.send(ExecOutput::Stderr(Bytes::from_static(b"err"))).await;
            end = Ok(code.parse().expect("a code"));
        }
        ["size"] => {
            if let Some(ExecInput::Resize { width, height }) = input.next().await {
                let size = Bytes::from(format!("{height} {width}"));
                let _ = output.send(ExecOutput::Stdout(size)).await;
            }
        }
        ["yes"] => {
            let much = Bytes::from(vec![b'y'; 8 * 1024]);
            while output.send(ExecOutput::Stdout(much.clone())).await.is_ok() {}
        }
        ["work"] => tokio::time::sleep(Duration::from_secs(3600)).await,
        ["break"] => end = Err("the connection to the command broke".to_owned()),
        other => panic!("{other:?}"),
    }
    let _ = output.send(ExecOutput::Ended(end)).await;
}
