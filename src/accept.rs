//! Accepting: so many connections at a time, each in a task of its own, until the shutdown.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::shutdown::Shutdown;

/// Accepting fails when file descriptors run out; trying again at once would only spin.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves each connection by the future that `serve` makes of it, or closes it where there is none, until the shutdown; those that
/// are open then are returned. With `most` open, further ones wait to be accepted. `failed` is told of those that could not be.
pub(crate) async fn each<Serving>(
    listener: TcpListener,
    most: usize,
    shutdown: &Shutdown,
    failed: impl Fn(io::Error),
    mut serve: impl FnMut(TcpStream) -> Option<Serving>,
) -> JoinSet<()>
where
    Serving: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.triggered() => return connections,
            // Ended connections are taken from the set as they end, so that it does not grow.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let Some(serving) = serve(stream) else { continue };
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                failed(error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}
