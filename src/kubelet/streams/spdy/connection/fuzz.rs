//! A client that does whatever an input says, on a connection of each use that is made of one.

use std::collections::{HashMap, HashSet};

use futures::FutureExt as _;
use tokio::io::DuplexStream;

use super::*;
use crate::kubelet::streams::IDLE_TIMEOUT;
use crate::kubelet::streams::fuzz::{Script, arrived, echo, must_end, paused, pod, send, settle};
use crate::kubelet::streams::options::{RemoteCommand, StreamOptions};
use crate::kubelet::streams::port_forward::serve_spdy;
use crate::kubelet::streams::remote::spdy_session;

const BOUNDS: Bounds = Bounds {
    streams: 3,
    inbox: 1024,
    idle: Duration::from_secs(3600),
};
/// Less than a client may want to send: it then waits.
const NETWORK: usize = 4096;

/// What streams are opened with.
const HEADERS: [&[(&str, &str)]; 11] = [
    &[],
    &[("streamtype", "error")],
    &[("streamtype", "stdin")],
    &[("streamtype", "stdout")],
    &[("streamtype", "stderr")],
    &[("streamtype", "resize")],
    &[("streamtype", "error"), ("port", "80"), ("requestid", "0")],
    &[("streamtype", "data"), ("port", "80"), ("requestid", "0")],
    &[("streamtype", "error"), ("port", "81")],
    &[("streamtype", "data"), ("port", "81")],
    &[("streamtype", "data"), ("port", "0"), ("requestid", "1")],
];

/// A client's whole connection: the server's streams, `exec`, or `port-forward`, chosen by the first byte. What the server sends
/// must be frames in an order that SPDY allows, and everything must end when the client is gone.
pub fn spdy_connection(data: &[u8]) {
    let mut script = Script(data);
    paused(async move {
        let (ours, theirs) = tokio::io::duplex(NETWORK);
        let mut client = Client::new(ours);
        let kind = script.byte();
        match kind % 3 {
            0 => {
                let (connection, driver) = Connection::new(theirs, BOUNDS);
                let shared = connection.shared.clone();
                let serving = tokio::spawn(driver);
                let mut server = Server::new(connection);
                while !script.is_over() {
                    if script.byte() % 3 == 0 {
                        server.act(&mut script).await;
                    } else {
                        client.act(&mut script).await;
                    }
                    assert!(shared.streams().len() <= BOUNDS.streams);
                }
                client.leave();
                must_end(serving).await;
                assert!(shared.streams().is_empty() && shared.over.is_cancelled());
                assert!(server.connection.opened().now_or_never().is_some(), "nobody waits");
            }
            1 => {
                let options = StreamOptions {
                    stdin: kind & 8 != 0,
                    stdout: kind & 16 != 0,
                    stderr: kind & 32 != 0,
                    tty: kind & 64 != 0,
                };
                let version = RemoteCommand::NAMES[usize::from(kind >> 6)].1;
                let serving =
                    tokio::spawn(async move { echo(spdy_session(theirs, version, options, IDLE_TIMEOUT).await).await });
                while !script.is_over() {
                    client.act(&mut script).await;
                }
                client.leave();
                must_end(serving).await;
            }
            _ => {
                let serving = tokio::spawn(serve_spdy(theirs, pod(), IDLE_TIMEOUT));
                while !script.is_over() {
                    client.act(&mut script).await;
                }
                client.leave();
                must_end(serving).await;
            }
        }
    });
}

/// The other side, which checks what it is sent.
struct Client {
    io: DuplexStream,
    encoder: Encoder,
    decoder: Decoder,
    unread: BytesMut,
    next_id: u32,
    accepted: HashSet<u32>,
    ended: HashSet<u32>,
}

impl Client {
    fn new(io: DuplexStream) -> Self {
        Self {
            io,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            unread: BytesMut::new(),
            next_id: 1,
            accepted: HashSet::new(),
            ended: HashSet::new(),
        }
    }

    async fn act(&mut self, script: &mut Script<'_>) {
        let (what, id) = (script.byte(), script.byte());
        let (fin, id) = (id & 128 != 0, u32::from(id & 127).max(1));
        let frame = match what % 8 {
            0 => {
                let (id, headers) = (self.next_id, script.byte());
                self.next_id += 2;
                self.open(id, fin, headers)
            }
            1 => self.open(id, fin, what >> 4),
            2 => {
                let data = Bytes::copy_from_slice(script.bytes());
                Frame::Data { id, fin, data }
            }
            3 => Frame::RstStream {
                id,
                status: Status::CANCEL,
            },
            4 if what & 8 == 0 => Frame::Ping(id),
            4 => Frame::Headers {
                id,
                fin,
                headers: Headers::default(),
            },
            5 if what & 128 != 0 => Frame::GoAway { last_id: id, status: 0 },
            5 | 6 => {
                let bytes = script.bytes();
                return send(&mut self.io, bytes).await;
            }
            _ => {
                // A little time, as for streams that are late.
                tokio::time::sleep(Duration::from_secs(u64::from(id % 40))).await;
                return self.read();
            }
        };
        let mut bytes = BytesMut::new();
        self.encoder.encode(&frame, &mut bytes).expect("it is small");
        send(&mut self.io, &bytes).await;
        self.read();
    }

    fn open(&self, id: u32, fin: bool, headers: u8) -> Frame {
        let headers = HEADERS[usize::from(headers) % HEADERS.len()];
        let headers = Headers::from_iter(headers.iter().copied());
        Frame::SynStream { id, fin, headers }
    }

    /// Each stream is accepted once, has data only then, and none after its end.
    fn read(&mut self) {
        self.unread.extend_from_slice(&arrived(&mut self.io));
        while let Some(frame) = self.decoder.decode(&mut self.unread).expect("frames") {
            match frame {
                Frame::SynReply { id, fin: false, .. } => {
                    assert!(self.accepted.insert(id) && !self.ended.contains(&id), "{id}");
                }
                Frame::Data { id, fin, .. } => {
                    assert!(self.accepted.contains(&id) && !self.ended.contains(&id), "{id}");
                    if fin {
                        self.ended.insert(id);
                    }
                }
                // Other resets are answers to an id that was used twice.
                Frame::RstStream {
                    id,
                    status: Status::CANCEL,
                } => assert!(self.ended.insert(id), "{id}"),
                Frame::RstStream { .. } | Frame::Ping(_) | Frame::GoAway { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn leave(mut self) {
        self.read();
    }
}

/// What uses the connection.
struct Server {
    connection: Connection,
    requests: Vec<Request>,
    readers: HashMap<u32, StreamReader>,
    writers: HashMap<u32, StreamWriter>,
}

impl Server {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            requests: Vec::new(),
            readers: HashMap::new(),
            writers: HashMap::new(),
        }
    }

    async fn act(&mut self, script: &mut Script<'_>) {
        let (what, id) = (script.byte(), u32::from(script.byte()));
        match what % 8 {
            0 => self.requests.extend(self.connection.opened().now_or_never().flatten()),
            1 => {
                if let Some(request) = self.requests.pop() {
                    let id = request.id;
                    let (reader, writer) = request.accept();
                    self.readers.insert(id, reader);
                    self.writers.insert(id, writer);
                }
            }
            2 => drop(self.requests.pop()),
            3 => {
                if let Some(reader) = self.readers.get_mut(&id)
                    && let Some(Ok(Some(data))) = reader.recv().now_or_never()
                {
                    assert!(!data.is_empty());
                }
            }
            4 => {
                if let Some(writer) = self.writers.get(&id) {
                    let data = Bytes::copy_from_slice(script.bytes());
                    let _ = writer.send(data).now_or_never();
                }
            }
            5 => {
                if let Some(writer) = self.writers.remove(&id) {
                    writer.finish();
                }
            }
            6 => drop(self.readers.remove(&id)),
            _ => drop(self.writers.remove(&id)),
        }
        settle().await;
    }
}
