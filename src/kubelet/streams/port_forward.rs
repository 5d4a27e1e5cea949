//! `portForward`: connections to ports of a pod. ECI has no such call; the agent dials the pod's address itself, so the
//! program must listen on it, and not on loopback alone.
//!
//! A connection is a pair of streams, `data` and `error`, with the same request id; many share one SPDY connection. Over a
//! WebSocket it is a pair of channels, and each port that the request names has one connection.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, future};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::options::values;
use super::remote::STREAM_TYPE;
use super::session::{Gone, Output};
use super::spdy::connection::{Bounds, Connection, Request, StreamReader, StreamWriter};
use super::websocket::{Framing, Socket, received};
use super::{CREATION_TIMEOUT, IDLE_TIMEOUT};
use crate::clock;

/// The protocol's only version.
pub(super) const VERSIONS: [(&str, ()); 1] = [("portforward.k8s.io", ())];
const BOUNDS: Bounds = Bounds {
    // Of one client at the same time; a connection to the pod has two.
    streams: 1_000,
    // Of all its connections, waiting for the pod to take them.
    inbox: 1024 * 1024,
    idle: IDLE_TIMEOUT,
};
/// Connections to pods, of all clients together: each is a file descriptor.
pub(super) const CONNECTIONS: usize = 500;
/// Ports of one WebSocket: their channels must be told apart by a byte.
const PORTS: usize = 100;
/// How long a pod may take to accept a connection.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read from a pod at once.
const READ: usize = 16 * 1024;

/// The pod whose ports are forwarded.
#[derive(Clone)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) ip: IpAddr,
    /// Room for connections.
    pub(super) places: Arc<Semaphore>,
}

/// A client's end of one connection.
struct Forward {
    port: u16,
    /// Ends where the client's data does; an error where it gave the connection up.
    from_client: BoxStream<'static, Result<Bytes, Gone>>,
    to_client: Output,
    error: Output,
}

/// Serves a client over SPDY until it leaves.
pub(super) async fn serve_spdy<T>(io: T, pod: Pod, idle: Duration)
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut connection = Connection::start(io, Bounds { idle, ..BOUNDS });
    // Ended with this function.
    let mut forwards = JoinSet::new();
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            request = connection.opened() => {
                let Some(request) = request else { return };
                if let Some(forward) = waiting.add(request) {
                    forwards.spawn(forward.run(pod.clone()));
                }
            }
            _ = forwards.join_next(), if !forwards.is_empty() => {}
            late = waiting.late() => late.give_up().await,
        }
    }
}

/// What the headers of a stream say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    port: u16,
    data: bool,
    id: String,
}

impl Asked {
    /// `None` = it does not belong to a connection, and is refused.
    fn parse(request: &Request) -> Option<Self> {
        let header = |name| request.headers.get(name);
        let port = header("port")?.parse().ok().filter(|port| *port > 0)?;
        let data = match header(STREAM_TYPE)? {
            "data" => true,
            "error" => false,
            _ => return None,
        };
        // Old clients give no id, but open the two streams one after the other, first that of the error.
        let id = match header("requestid") {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ if data => request.id.saturating_sub(2).to_string(),
            _ => request.id.to_string(),
        };
        Some(Self { port, data, id })
    }
}

/// Halves of connections that wait for the other half.
#[derive(Default)]
struct Waiting(HashMap<String, Half>);

struct Half {
    port: u16,
    data: bool,
    reader: StreamReader,
    writer: StreamWriter,
    since: Instant,
}

impl Waiting {
    /// The connection, when both halves are there.
    fn add(&mut self, request: Request) -> Option<Forward> {
        let Asked { port, data, id } = Asked::parse(&request)?;
        let other = self.0.remove(&id);
        if other.as_ref().is_some_and(|other| other.data == data) {
            // The same half twice: the later one is refused.
            self.0.extend(other.map(|other| (id, other)));
            return None;
        }
        let (reader, writer) = request.accept();
        let half = Half {
            port,
            data,
            reader,
            writer,
            since: clock::monotonic(),
        };
        let Some(other) = other else {
            self.0.insert(id, half);
            return None;
        };
        let (data, error) = if data { (half, other) } else { (other, half) };
        Some(Forward {
            port: data.port,
            from_client: from_stream(data.reader),
            to_client: Output::Spdy(data.writer),
            error: Output::Spdy(error.writer),
        })
    }

    /// The next half that waited too long.
    async fn late(&mut self) -> Half {
        let oldest = self.0.iter().min_by_key(|(_, half)| half.since);
        let Some((id, since)) = oldest.map(|(id, half)| (id.clone(), half.since)) else {
            return future::pending().await;
        };
        sleep_until(since + CREATION_TIMEOUT).await;
        match self.0.remove(&id) {
            Some(half) => half,
            None => future::pending().await,
        }
    }
}

impl Half {
    async fn give_up(self) {
        if !self.data {
            let error = Output::Spdy(self.writer);
            // A client that does not read this, either, is not waited for.
            let _ = timeout(Duration::from_secs(1), say(error, "timed out waiting for streams")).await;
        }
    }
}

fn from_stream(reader: StreamReader) -> BoxStream<'static, Result<Bytes, Gone>> {
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.recv().await {
            Ok(Some(data)) => Some((Ok(data), Some(reader))),
            Ok(None) => None,
            Err(_) => Some((Err(Gone), None)),
        }
    })
    .boxed()
}

async fn say(error: Output, text: &str) {
    let _ = error.send(Bytes::copy_from_slice(text.as_bytes())).await;
    error.finish();
}

/// The ports a WebSocket client asks for.
///
/// # Errors
/// What a kubelet answers, with 400.
pub(super) fn ports(query: &str) -> Result<Vec<u16>, String> {
    let given = values(query, "port");
    if given.is_empty() {
        return Err(r#"query parameter "port" is required"#.to_owned());
    }
    let mut ports = Vec::new();
    for text in &given {
        if text.is_empty() {
            return Err(r#"query parameter "port" cannot be empty"#.to_owned());
        }
        for part in text.split(',') {
            match part.parse::<u16>() {
                Ok(0) => return Err(format!("port {text:?} must be > 0")),
                Ok(port) => ports.push(port),
                Err(error) => return Err(format!("unable to parse {text:?} as a port: {error}")),
            }
        }
    }
    if ports.len() > PORTS {
        return Err(format!("at most {PORTS} ports can be forwarded at once"));
    }
    Ok(ports)
}

/// Serves a client over a WebSocket: one connection a port, until all are over or it leaves.
pub(super) async fn serve_websocket<T>(io: T, framing: Framing, ports: Vec<u16>, pod: Pod, idle: Duration)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let numbers: Vec<u8> = (0..ports.len()).filter_map(|at| u8::try_from(2 * at).ok()).collect();
    let (socket, received_on, driver) = Socket::new(io, framing, &numbers, idle).await;
    tokio::spawn(driver);
    let gone = socket.gone();
    let closer = socket.closer(0);
    let mut forwards = JoinSet::new();
    for ((port, number), queue) in ports.into_iter().zip(numbers).zip(received_on) {
        let (data, error) = (socket.channel(number), socket.channel(number.saturating_add(1)));
        // Each channel begins with its port.
        for channel in [&data, &error] {
            if channel.send(&port.to_le_bytes()).await.is_err() {
                return;
            }
        }
        let forward = Forward {
            port,
            from_client: received(queue).map(Ok).boxed(),
            to_client: Output::WebSocket(data),
            error: Output::WebSocket(error),
        };
        forwards.spawn(forward.run(pod.clone()));
    }
    drop(socket);
    let all = async { while forwards.join_next().await.is_some() {} };
    if gone.run_until_cancelled(all).await.is_some() {
        closer.close(None).await;
    }
}

impl Forward {
    /// Carries data both ways until both ends are done, or one gives up.
    async fn run(self, pod: Pod) {
        let Self {
            port,
            from_client,
            to_client,
            error,
        } = self;
        let failed = |why: &dyn fmt::Display| {
            format!(
                "error forwarding port {port} to pod {}, uid {}: {why}",
                pod.name, pod.uid
            )
        };
        let Ok(_place) = pod.places.clone().try_acquire_owned() else {
            return say(error, &failed(&"too many connections are forwarded by this node")).await;
        };
        let stream = match dial(pod.ip, port).await {
            Ok(stream) => stream,
            // The stream of data is dropped, and so reset.
            Err(why) => return say(error, &failed(&why)).await,
        };
        let (mut from_pod, mut to_pod) = stream.into_split();
        let up = async move {
            let mut from_client = from_client;
            while let Some(data) = from_client.next().await {
                // A pod that takes no more may still send; what else comes for it is dropped.
                if to_pod.write_all(&data?).await.is_err() {
                    return Ok::<(), Gone>(());
                }
            }
            let _ = to_pod.shutdown().await;
            Ok(())
        };
        let down = async {
            let mut buffer = BytesMut::new();
            loop {
                buffer.reserve(READ);
                match from_pod.read_buf(&mut buffer).await {
                    Ok(0) => break,
                    Ok(_) => to_client.send(buffer.split().freeze()).await?,
                    Err(why) => {
                        say(error, &failed(&why)).await;
                        return Err(Gone);
                    }
                }
            }
            // kubectl waits for both to end before it lets go of its end.
            to_client.finish();
            error.finish();
            Ok(())
        };
        // A client that gives up one direction gives up both.
        let _ = tokio::try_join!(up, down);
    }
}

async fn dial(ip: IpAddr, port: u16) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((ip, port));
    let stream = timeout(DIAL_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot connect to {ip}:{port}: {error}")))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_a_kubelet_reads_them() {
        assert_eq!(ports("port=80&x=1&port=8080,9090"), Ok(vec![80, 8080, 9090]));
        for wrong in ["", "port=", "port=0", "port=65536", "port=http", "port=80,"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
        let many: Vec<String> = (1..=PORTS + 1).map(|port| format!("port={port}")).collect();
        assert!(ports(&many.join("&")).is_err());
    }
}
