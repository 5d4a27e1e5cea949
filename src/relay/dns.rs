//! Datagrams: each query goes to an endpoint from a socket of its own, and its answer back to who asked.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::endpoints::Endpoints;
use super::tcp::Active;
use crate::clock;
use crate::config::HostPort;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// For one endpoint; the next is tried then.
const ATTEMPT: Duration = Duration::from_secs(1);
/// For all attempts together. Resolvers ask again after 5 s, so an answer would come too late then; until then a DNS server
/// that is being replaced may be back.
const TOGETHER: Duration = Duration::from_millis(4_500);
/// After a round in which no endpoint answered.
const PAUSE: Duration = Duration::from_millis(200);
/// The header of a DNS message begins with the id that an answer repeats.
const ID_BYTES: usize = 2;
/// The largest datagram; answers are rarely above 1,232 bytes.
const MAX_QUERY: usize = 65_535;
const MAX_ANSWER: usize = 8_192;

/// Forwards until the shutdown. With `max_queries` on their way, further ones are dropped, as a busy network drops them.
pub(super) async fn forward(
    socket: UdpSocket,
    endpoints: Endpoints,
    max_queries: usize,
    metrics: Metrics,
    shutdown: Shutdown,
) {
    let socket = Arc::new(socket);
    let places = Arc::new(Semaphore::new(max_queries));
    let mut buffer = vec![0; MAX_QUERY];
    while let Some(received) = shutdown.race(socket.recv_from(&mut buffer)).await {
        let (length, client) = match received {
            Ok(received) => received,
            Err(error) => {
                // An earlier answer that could not be delivered is reported here; it concerns nobody else.
                tracing::debug!(%error, "receiving a query");
                continue;
            }
        };
        let count = |outcome| {
            metrics
                .relay_forwards
                .with_label_values(&[endpoints.port, outcome])
                .inc()
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            count("dropped");
            continue;
        };
        let query = buffer[..length].to_vec();
        let (socket, endpoints, metrics) = (socket.clone(), endpoints.clone(), metrics.clone());
        tokio::spawn(async move {
            let _active = Active::new(metrics.relay_active.with_label_values(&[endpoints.port]));
            let outcome = match timeout(TOGETHER, answer(&query, &endpoints)).await {
                Ok(answer) => match socket.send_to(&answer, client).await {
                    Ok(_) => "ok",
                    Err(_) => "broken",
                },
                Err(_) => "unreachable",
            };
            metrics
                .relay_forwards
                .with_label_values(&[endpoints.port, outcome])
                .inc();
            drop(place);
        });
    }
}

/// Asks endpoint after endpoint until one answers.
async fn answer(query: &[u8], endpoints: &Endpoints) -> Vec<u8> {
    loop {
        let started = clock::monotonic();
        for endpoint in endpoints.in_turn() {
            let result = timeout(ATTEMPT, ask(query, &endpoint)).await;
            let answered = matches!(result, Ok(Ok(_)));
            endpoints.note(&endpoint, answered);
            if let Ok(Ok(answer)) = result {
                return answer;
            }
        }
        tracing::debug!(after = ?started.elapsed(), "no DNS endpoint answered, trying on");
        tokio::time::sleep(PAUSE).await;
    }
}

/// One attempt. The socket is connected, so only the endpoint can answer, and a closed port is an error at once.
async fn ask(query: &[u8], endpoint: &HostPort) -> io::Result<Vec<u8>> {
    let address = lookup_host((endpoint.host.as_str(), endpoint.port))
        .await?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    socket.send(query).await?;
    loop {
        // The buffer is taken when there is something to put into it, not while waiting.
        socket.readable().await?;
        let mut answer = vec![0; MAX_ANSWER];
        match socket.try_recv(&mut answer) {
            Ok(length) => {
                answer.truncate(length);
                if answer.get(..ID_BYTES) == query.get(..ID_BYTES) {
                    return Ok(answer);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
