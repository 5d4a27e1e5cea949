//! From an upgraded connection to a [`Session`]: `exec` and `attach` over SPDY.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::options::{RemoteCommand, StreamOptions};
use super::session::{End, EndKind, Output, Session};
use super::size::{Sizes, TerminalSize};
use super::spdy::connection::{Bounds, Connection, StreamReader, StreamWriter};
use super::{CREATION_TIMEOUT, IDLE_TIMEOUT};

/// Bytes of input that wait for the command to take them.
pub(super) const INBOX: usize = 128 * 1024;
const BOUNDS: Bounds = Bounds {
    // More than a command has; those that do not belong to it are refused.
    streams: 8,
    inbox: INBOX,
    idle: IDLE_TIMEOUT,
};
/// Header that says what a stream is for.
pub(super) const STREAM_TYPE: &str = "streamtype";

/// The streams that were opened so far.
#[derive(Default)]
struct Opened {
    error: Option<StreamWriter>,
    stdin: Option<StreamReader>,
    stdout: Option<StreamWriter>,
    stderr: Option<StreamWriter>,
    resize: Option<StreamReader>,
    /// Directions nobody uses.
    unused: Vec<StreamWriter>,
}

/// Waits for the client to open the streams it asked for; `None` = it did not, or left.
pub(super) async fn spdy_session<T>(
    io: T,
    version: RemoteCommand,
    options: StreamOptions,
    idle: Duration,
) -> Option<Session>
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut connection = Connection::start(io, Bounds { idle, ..BOUNDS });
    let opened = collect(&mut connection, version, options, CREATION_TIMEOUT).await;
    let Some(Opened {
        error: Some(error),
        stdin,
        stdout,
        stderr,
        resize,
        unused,
    }) = opened
    else {
        tracing::debug!("the client did not open the streams it asked for");
        return None;
    };
    let gone = connection.over();
    let stdin = stdin.map(|reader| {
        stream::unfold(reader, |mut reader| async move {
            let data = reader.recv().await.ok().flatten()?;
            Some((data, reader))
        })
        .boxed()
    });
    Some(Session {
        stdin,
        sizes: resize.map_or_else(|| stream::pending().boxed(), sizes),
        stdout: stdout.map(Output::Spdy),
        stderr: stderr.map(Output::Spdy),
        end: End {
            gone,
            kind: EndKind::Spdy {
                error,
                status: version == RemoteCommand::V4,
                unused,
                _connection: connection,
            },
        },
    })
}

async fn collect(
    connection: &mut Connection,
    version: RemoteCommand,
    options: StreamOptions,
    within: Duration,
) -> Option<Opened> {
    let mut opened = Opened::default();
    let all = async {
        while !is_complete(&opened, version, options) {
            let request = connection.opened().await?;
            let kind = request.headers.get(STREAM_TYPE).unwrap_or_default().to_owned();
            // What was there before, or is no stream of a command, is refused.
            match kind.as_str() {
                "error" if opened.error.is_none() => opened.error = Some(request.accept().1),
                "stdout" if opened.stdout.is_none() => opened.stdout = Some(request.accept().1),
                "stderr" if opened.stderr.is_none() => opened.stderr = Some(request.accept().1),
                "stdin" if opened.stdin.is_none() => {
                    let (reader, writer) = request.accept();
                    opened.stdin = Some(reader);
                    opened.unused.push(writer);
                }
                "resize" if opened.resize.is_none() => {
                    let (reader, writer) = request.accept();
                    opened.resize = Some(reader);
                    opened.unused.push(writer);
                }
                _ => {}
            }
        }
        Some(())
    };
    timeout(within, all).await.ok().flatten()?;
    Some(opened)
}

fn is_complete(opened: &Opened, version: RemoteCommand, options: StreamOptions) -> bool {
    opened.error.is_some()
        && (!options.stdin || opened.stdin.is_some())
        && (!options.stdout || opened.stdout.is_some())
        && (!options.stderr || opened.stderr.is_some())
        && (!options.tty || version < RemoteCommand::V3 || opened.resize.is_some())
}

fn sizes(reader: StreamReader) -> BoxStream<'static, TerminalSize> {
    let sizes = stream::unfold((reader, Sizes::default()), |(mut reader, mut sizes)| async move {
        let data = reader.recv().await.ok().flatten()?;
        Some((sizes.feed(&data), (reader, sizes)))
    });
    // Whoever waits for sizes waits on when there are no more.
    sizes.filter_map(std::future::ready).chain(stream::pending()).boxed()
}
