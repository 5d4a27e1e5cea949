//! What `make fuzz` runs of the streams, as plain functions of bytes: a fuzz target (`fuzz/`) calls each with what libFuzzer
//! makes up, and the tests below with the corpus that was kept. They panic when something is wrong, and only then.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::outcome::Outcome;
use super::port_forward::Pod;
use super::session::Session;
pub use super::spdy::connection::fuzz::spdy_connection;
pub use super::spdy::fuzz::{spdy_frames, spdy_headers};
pub use super::websocket::fuzz::websocket;

/// Far beyond any timeout of a connection but the idle one, by a clock that jumps.
const PATIENCE: Duration = Duration::from_secs(600);

/// An input, read piece by piece; where it ends, everything is zero or empty.
pub(super) struct Script<'a>(pub(super) &'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(super) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// As many bytes as the next one says; 255 = all that are left.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        match self.byte() {
            255 => self.take(self.0.len()),
            length => self.take(length.into()),
        }
    }
}

/// Runs `test` in one thread, by a clock that jumps when all tasks wait.
pub(super) fn paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(test);
}

/// Lets the other tasks do what they can.
pub(super) async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// Sends bytes; the server may have closed, or may not read on.
pub(super) async fn send(io: &mut DuplexStream, bytes: &[u8]) {
    let _ = timeout(Duration::from_millis(1), io.write_all(bytes)).await;
    settle().await;
}

/// What has come and was not read.
pub(super) fn arrived(io: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(Ok(1..)) = io.read_buf(&mut bytes).now_or_never() {}
    bytes
}

/// Once its client is gone, whatever it said, `serving` must end.
pub(super) async fn must_end(serving: JoinHandle<()>) {
    let ended = timeout(PATIENCE, serving).await;
    ended.expect("it ends with its client").expect("it does not panic");
}

/// A command that sends back what it gets.
pub(super) async fn echo(session: Option<Session>) {
    let Some(mut session) = session else { return };
    let gone = session.end.gone.clone();
    let work = async {
        if let Some(mut stdin) = session.stdin.take() {
            while let Some(data) = stdin.next().await {
                if let Some(stdout) = &session.stdout {
                    stdout.send(data).await.ok()?;
                }
            }
        }
        Some(session)
    };
    if let Some(Some(session)) = gone.run_until_cancelled(work).await {
        session.finish(&Outcome::Exited(7)).await;
    }
}

/// A pod that no connection is made to: there is no room for one.
pub(super) fn pod() -> Pod {
    Pod {
        name: "pod".to_owned(),
        uid: "uid".to_owned(),
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        places: Arc::new(Semaphore::new(0)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Runs `target` on every file of its corpus, and on those that failed once.
    fn replay(name: &str, target: fn(&[u8])) {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let files = |kind: &str| {
            let entries = fs::read_dir(fuzz.join(kind).join(name)).into_iter().flatten();
            let paths = entries.map(|entry| entry.expect("a readable folder").path());
            paths.collect::<Vec<_>>()
        };
        let corpus = files("corpus");
        assert!(!corpus.is_empty(), "the corpus of {name} is kept beside the targets");
        for file in corpus.into_iter().chain(files("regressions")) {
            let data = fs::read(&file).expect("a readable file");
            let ended = std::panic::catch_unwind(|| target(&data));
            assert!(ended.is_ok(), "{name} fails on {}", file.display());
        }
    }

    #[test]
    fn the_corpus_of_spdy_frames() {
        replay("spdy_frames", spdy_frames);
    }

    #[test]
    fn the_corpus_of_spdy_headers() {
        replay("spdy_headers", spdy_headers);
    }

    #[test]
    fn the_corpus_of_spdy_connection() {
        replay("spdy_connection", spdy_connection);
    }

    #[test]
    fn the_corpus_of_websocket() {
        replay("websocket", websocket);
    }
}
