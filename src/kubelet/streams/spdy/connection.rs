//! A connection with its streams.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Headers;
use super::frame::{Decoder, Encoder, Frame, MAX_PIECE, Malformed, Status};
use crate::clock;
use crate::kubelet::streams::queue::{self, Budget};

/// Bytes of all streams together that wait to be written.
pub(in crate::kubelet::streams) const OUTBOX: usize = 128 * 1024;
/// What is read from the connection at once.
const READ: usize = 16 * 1024;
/// What is written to it at once, about.
const WRITE: usize = 64 * 1024;
/// A client that vanished is noticed when something is sent to it, the second time at the latest: nothing else tells while what
/// it sent waits unread. So often something is sent; kubectl does the same.
const PING: Duration = Duration::from_secs(5);
/// How long the other side may take to read the rest and to close, once all is said.
const LINGER: Duration = Duration::from_secs(5);

/// The bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::kubelet::streams) struct Bounds {
    /// Streams at the same time.
    pub(in crate::kubelet::streams) streams: usize,
    /// Bytes of all streams together that were read and wait to be taken.
    pub(in crate::kubelet::streams) inbox: usize,
    /// Without data either way the connection ends after this time.
    pub(in crate::kubelet::streams) idle: Duration,
}

/// A connection. Dropping it closes it, when what was sent is on its way.
pub(in crate::kubelet::streams) struct Connection {
    shared: Arc<Shared>,
    opened: mpsc::UnboundedReceiver<Request>,
}

struct Shared {
    streams: Mutex<HashMap<u32, Slot>>,
    out: queue::Sender<Frame>,
    inbox: Budget,
    /// When data came or went.
    used: Mutex<Instant>,
    /// Cancelled when the connection is over.
    over: CancellationToken,
}

/// What the connection knows of a stream.
struct Slot {
    /// Where its data goes; `None` = the client has sent its last.
    data: Option<queue::Sender<Event>>,
    /// Whether we may still send.
    writable: bool,
    /// Cancelled by a reset.
    reset: CancellationToken,
}

enum Event {
    Data(Bytes),
    Fin,
}

/// A stream, or the connection with it, was given up by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kubelet::streams) struct Reset;

impl Connection {
    /// The server's side of `io`, and what drives it: it must be polled for anything to happen, and ends with the connection.
    pub(in crate::kubelet::streams) fn new<T>(io: T, bounds: Bounds) -> (Self, impl Future<Output = ()> + Send)
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (out, frames) = queue::channel(&Budget::new(OUTBOX));
        let (opened_sender, opened) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            streams: Mutex::default(),
            out,
            inbox: Budget::new(bounds.inbox),
            used: Mutex::new(clock::monotonic()),
            over: CancellationToken::new(),
        });
        let driver = drive(io, bounds, shared.clone(), frames, opened_sender);
        (Self { shared, opened }, driver)
    }

    /// The same, driven by a task of its own, which ends with it.
    pub(in crate::kubelet::streams) fn start<T>(io: T, bounds: Bounds) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (connection, driver) = Self::new(io, bounds);
        tokio::spawn(driver);
        connection
    }

    /// The next stream the client opens; `None` = the connection is over.
    pub(in crate::kubelet::streams) async fn opened(&mut self) -> Option<Request> {
        self.opened.recv().await
    }

    /// Cancelled when the connection is over.
    pub(in crate::kubelet::streams) fn over(&self) -> CancellationToken {
        self.shared.over.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.say_goodbye();
    }
}

/// A stream that the client wants to open. Dropping it refuses it.
pub(in crate::kubelet::streams) struct Request {
    /// Its id.
    pub(in crate::kubelet::streams) id: u32,
    /// What it is for.
    pub(in crate::kubelet::streams) headers: Headers,
    data: queue::Receiver<Event>,
    writer: StreamWriter,
}

impl Request {
    /// Takes it.
    pub(in crate::kubelet::streams) fn accept(self) -> (StreamReader, StreamWriter) {
        let Self { id, data, writer, .. } = self;
        let reply = Frame::SynReply {
            id,
            fin: false,
            headers: Headers::default(),
        };
        // Few: the stream's place is not free again before its last frame is written.
        let _ = writer.shared.out.send_now(reply, None);
        let reset = writer.reset.clone();
        (StreamReader { data, reset }, writer)
    }
}

/// What a client sends on a stream. Dropping it discards what is still to come.
pub(in crate::kubelet::streams) struct StreamReader {
    data: queue::Receiver<Event>,
    reset: CancellationToken,
}

impl StreamReader {
    /// The next bytes, never empty; `None` = the client has sent its last.
    pub(in crate::kubelet::streams) async fn recv(&mut self) -> Result<Option<Bytes>, Reset> {
        tokio::select! {
            biased;
            () = self.reset.cancelled() => Err(Reset),
            event = self.data.recv() => match event {
                Some(Event::Data(data)) => Ok(Some(data)),
                Some(Event::Fin) => Ok(None),
                None => Err(Reset),
            },
        }
    }
}

/// What a client is sent on a stream. Dropping it before [`StreamWriter::finish`] resets the stream.
pub(in crate::kubelet::streams) struct StreamWriter {
    id: u32,
    shared: Arc<Shared>,
    reset: CancellationToken,
    /// Its place among the streams, until its last frame is written; `None` = that is queued.
    place: Option<OwnedSemaphorePermit>,
}

impl StreamWriter {
    /// Sends bytes, as soon as there is room for them.
    pub(in crate::kubelet::streams) async fn send(&self, mut data: Bytes) -> Result<(), Reset> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(MAX_PIECE));
            let bytes = piece.len();
            let frame = Frame::Data {
                id: self.id,
                fin: false,
                data: piece,
            };
            tokio::select! {
                biased;
                () = self.reset.cancelled() => return Err(Reset),
                sent = self.shared.out.send(frame, bytes) => sent.map_err(|_| Reset)?,
            }
            self.shared.touch();
        }
        Ok(())
    }

    /// Says that nothing more is sent.
    pub(in crate::kubelet::streams) fn finish(mut self) {
        let place = self.place.take();
        if self.shared.finish_writing(self.id) {
            let last = Frame::Data {
                id: self.id,
                fin: true,
                data: Bytes::new(),
            };
            let _ = self.shared.out.send_now(last, place);
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if self.place.is_some() && self.shared.forget(self.id) {
            let last = Frame::RstStream {
                id: self.id,
                status: Status::CANCEL,
            };
            let _ = self.shared.out.send_now(last, self.place.take());
        }
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, HashMap<u32, Slot>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = clock::monotonic();
    }

    fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say_goodbye(&self) {
        let _ = self.out.send_now(Frame::GoAway { last_id: 0, status: 0 }, None);
    }

    /// Whether the stream was still known.
    fn forget(&self, id: u32) -> bool {
        let slot = self.streams().remove(&id);
        slot.inspect(|slot| slot.reset.cancel()).is_some()
    }

    /// Whether we could still send on it.
    fn finish_writing(&self, id: u32) -> bool {
        let mut streams = self.streams();
        let Some(slot) = streams.get_mut(&id) else {
            return false;
        };
        let writable = std::mem::take(&mut slot.writable);
        if slot.data.is_none() {
            streams.remove(&id);
        }
        writable
    }

    /// The client has sent its last on this stream.
    fn finish_reading(&self, id: u32) {
        let mut streams = self.streams();
        let Some(slot) = streams.get_mut(&id) else { return };
        if let Some(data) = slot.data.take() {
            let _ = data.send_now(Event::Fin, None);
        }
        if !slot.writable {
            streams.remove(&id);
        }
    }

    fn end(&self) {
        for (_, slot) in self.streams().drain() {
            slot.reset.cancel();
        }
        self.over.cancel();
    }
}

/// Ends the connection however its driver ends, also when that is dropped.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn drive<T: AsyncRead + AsyncWrite + Send>(
    io: T,
    bounds: Bounds,
    shared: Arc<Shared>,
    mut frames: queue::Receiver<Frame>,
    opened: mpsc::UnboundedSender<Request>,
) {
    let end = End(shared.clone());
    let (mut from, mut to) = tokio::io::split(io);
    let mut reading = Reading {
        shared: shared.clone(),
        decoder: Decoder::default(),
        opened,
        last_id: 0,
        places: Arc::new(Semaphore::new(bounds.streams)),
        most: bounds.streams,
    };
    let said_goodbye = tokio::select! {
        read = reading.run(&mut from) => {
            if let Err(malformed) = read {
                tracing::debug!(error = %malformed, "SPDY connection given up");
                let _ = timeout(LINGER, write_goodbye(&mut to)).await;
            }
            false
        }
        written = write(&mut to, &mut frames) => written.is_ok(),
        () = keep(&shared, bounds.idle) => false,
    };
    // Whoever still uses a stream is told now; what follows is of no use to them.
    drop(end);
    drop(frames);
    let ending = async {
        let _ = to.shutdown().await;
        if said_goodbye {
            // Closing with bytes unread would make the network drop what is still on its way to the client.
            let mut rest = [0; 4096];
            while from.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        }
    };
    let _ = timeout(LINGER, ending).await;
}

/// Pings, until there was no data for too long.
async fn keep(shared: &Shared, idle: Duration) {
    let mut id = 2u32;
    loop {
        let until_idle = shared.used() + idle;
        let now = clock::monotonic();
        if until_idle <= now {
            return;
        }
        tokio::time::sleep_until(until_idle.min(now + PING)).await;
        // Even ids are the server's.
        let _ = shared.out.send_now(Frame::Ping(id), None);
        id = id.checked_add(2).unwrap_or(2);
    }
}

/// Writes what is queued, until the goodbye is written.
async fn write<T: AsyncWrite>(to: &mut WriteHalf<T>, frames: &mut queue::Receiver<Frame>) -> io::Result<()> {
    let mut encoder = Encoder::default();
    let mut buffer = BytesMut::new();
    while let Some(frame) = frames.recv().await {
        let mut next = Some(frame);
        let mut last = false;
        while let Some(frame) = next.take() {
            last = matches!(frame, Frame::GoAway { .. });
            encoder.encode(&frame, &mut buffer).map_err(io::Error::other)?;
            if !last && buffer.len() < WRITE {
                next = frames.try_recv();
            }
        }
        to.write_all_buf(&mut buffer).await?;
        to.flush().await?;
        if last {
            return Ok(());
        }
    }
    Ok(())
}

async fn write_goodbye<T: AsyncWrite>(to: &mut WriteHalf<T>) -> io::Result<()> {
    const PROTOCOL_ERROR: u32 = 1;
    let mut buffer = BytesMut::new();
    let goodbye = Frame::GoAway {
        last_id: 0,
        status: PROTOCOL_ERROR,
    };
    Encoder::default()
        .encode(&goodbye, &mut buffer)
        .map_err(io::Error::other)?;
    to.write_all_buf(&mut buffer).await?;
    to.flush().await
}

struct Reading {
    shared: Arc<Shared>,
    decoder: Decoder,
    opened: mpsc::UnboundedSender<Request>,
    last_id: u32,
    places: Arc<Semaphore>,
    most: usize,
}

impl Reading {
    /// Reads until the client goes away.
    async fn run<T: AsyncRead>(&mut self, from: &mut ReadHalf<T>) -> Result<(), Malformed> {
        let mut buffer = BytesMut::new();
        loop {
            while let Some(frame) = self.decoder.decode(&mut buffer)? {
                if let Frame::GoAway { .. } = frame {
                    return Ok(());
                }
                self.take(frame).await;
            }
            buffer.reserve(READ);
            match from.read_buf(&mut buffer).await {
                Ok(n) if n > 0 => {}
                _ => return Ok(()),
            }
        }
    }

    async fn take(&mut self, frame: Frame) {
        let shared = &self.shared;
        match frame {
            Frame::SynStream { id, fin, headers } => self.open(id, fin, headers).await,
            Frame::Data { id, fin, data } => {
                shared.touch();
                let bytes = data.len();
                if bytes > 0 {
                    let queue = shared.streams().get(&id).and_then(|slot| slot.data.clone());
                    if let Some(queue) = queue {
                        // Who does not read a stream any more misses nothing.
                        let _ = queue.send(Event::Data(data), bytes).await;
                    }
                }
                if fin {
                    shared.finish_reading(id);
                }
            }
            Frame::Headers { id, fin: true, .. } => shared.finish_reading(id),
            Frame::RstStream { id, .. } => drop(shared.forget(id)),
            // Even ones are answers to ours.
            Frame::Ping(id) if id % 2 == 1 => drop(shared.out.send(Frame::Ping(id), 0).await),
            _ => {}
        }
    }

    async fn open(&mut self, id: u32, fin: bool, headers: Headers) {
        let shared = &self.shared;
        let refusal = if id.is_multiple_of(2) || id <= self.last_id {
            Some(Status::PROTOCOL_ERROR)
        } else if shared.streams().len() >= self.most {
            Some(Status::REFUSED_STREAM)
        } else {
            None
        };
        self.last_id = self.last_id.max(id);
        let place = self.places.clone().try_acquire_owned();
        let (None, Ok(place)) = (refusal, place) else {
            let status = refusal.unwrap_or(Status::REFUSED_STREAM);
            let _ = shared.out.send(Frame::RstStream { id, status }, 0).await;
            return;
        };
        let reset = CancellationToken::new();
        let (sender, data) = queue::channel(&shared.inbox);
        let slot = Slot {
            data: Some(sender),
            writable: true,
            reset: reset.clone(),
        };
        shared.streams().insert(id, slot);
        if fin {
            shared.finish_reading(id);
        }
        let writer = StreamWriter {
            id,
            shared: shared.clone(),
            reset,
            place: Some(place),
        };
        // Refused by being dropped, if nobody takes streams any more.
        let _ = self.opened.send(Request {
            id,
            headers,
            data,
            writer,
        });
    }
}

#[cfg(any(test, fuzzing))]
pub(in crate::kubelet::streams) mod fuzz;
#[cfg(test)]
mod tests;
