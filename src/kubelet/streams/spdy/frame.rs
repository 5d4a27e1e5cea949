//! (pure) Frames as bytes: SPDY/3 as far as Kubernetes' clients and kubelets speak it (`moby/spdystream`).
//!
//! ```text
//! control: |1| version 15 | type 16 | flags 8 | length 24 | payload      data: |0| stream 31 | flags 8 | length 24 | payload
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::headers::{Deflater, Headers, Inflater, MAX_BLOCK};

const VERSION: u16 = 3;
/// Payload of a control frame at most; more than any of them needs.
pub(super) const MAX_CONTROL: usize = MAX_BLOCK + 16;
/// Data is handed on in pieces of this many bytes at most, however large its frame is.
pub(super) const MAX_PIECE: usize = 32 * 1024;

const CONTROL: u32 = 1 << 31;
const LENGTH: u32 = 0x00ff_ffff;
const ID: u32 = CONTROL - 1;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

const FIN: u8 = 1;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Its id: odd from clients, and always larger than before.
        id: u32,
        /// The sender sends nothing on it.
        fin: bool,
        /// What it is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// Its id.
        id: u32,
        /// The sender sends nothing on it.
        fin: bool,
        /// More about it.
        headers: Headers,
    },
    /// Ends a stream in both directions.
    RstStream {
        /// Its id.
        id: u32,
        /// Why.
        status: Status,
    },
    /// More headers of a stream.
    Headers {
        /// Its id.
        id: u32,
        /// The sender sends no more.
        fin: bool,
        /// What is added.
        headers: Headers,
    },
    /// To be sent back as it is.
    Ping(u32),
    /// No more streams are taken; `0` = nothing went wrong.
    GoAway {
        /// The last stream that was taken.
        last_id: u32,
        /// Why.
        status: u32,
    },
    /// Bytes of a stream: a whole frame where it is written, a piece of one where it is read.
    Data {
        /// Its id.
        id: u32,
        /// The sender sends no more.
        fin: bool,
        /// The bytes.
        data: Bytes,
    },
    /// `SETTINGS`, `WINDOW_UPDATE`, or a type nobody knows: read and passed over.
    Other,
}

/// Why a stream is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// The other side broke a rule.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// The stream is not wanted.
    pub const REFUSED_STREAM: Self = Self(3);
    /// The stream is no longer wanted.
    pub const CANCEL: Self = Self(5);
}

/// What was read is not SPDY; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Malformed(pub(super) &'static str);

/// Reads frames from bytes as they come.
pub struct Decoder {
    inflater: Inflater,
    /// A data frame that is not read to its end.
    data: Option<Unread>,
}

struct Unread {
    id: u32,
    fin: bool,
    length: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            inflater: Inflater::new(),
            data: None,
        }
    }
}

impl Decoder {
    /// Takes the next frame, or piece of one, from `buffer`; `None` = more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no frame. Nothing that follows can be read.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
        if let Some(unread) = self.data.take() {
            return Ok(self.piece(unread, buffer));
        }
        let Some((mut head, rest)) = buffer.split_at_checked(8) else {
            return Ok(None);
        };
        let (first, second) = (head.get_u32(), head.get_u32());
        let flags = (second >> 24) as u8;
        let length = (second & LENGTH) as usize;
        if first & CONTROL == 0 {
            if first == 0 {
                return Err(Malformed("data of stream 0"));
            }
            buffer.advance(8);
            let fin = flags & FIN != 0;
            return Ok(self.piece(Unread { id: first, fin, length }, buffer));
        }
        let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
        if version != VERSION {
            return Err(Malformed("another version of SPDY"));
        }
        if length > MAX_CONTROL {
            return Err(Malformed("a control frame that is too large"));
        }
        let Some(payload) = rest.get(..length) else {
            buffer.reserve(8 + length - buffer.len());
            return Ok(None);
        };
        let frame = control(kind, flags, payload, &mut self.inflater)?;
        buffer.advance(8 + length);
        Ok(Some(frame))
    }

    fn piece(&mut self, unread: Unread, buffer: &mut BytesMut) -> Option<Frame> {
        let Unread { id, fin, length } = unread;
        let take = length.min(MAX_PIECE).min(buffer.len());
        if take == 0 && length > 0 {
            self.data = Some(unread);
            return None;
        }
        // A copy, so that a few bytes that wait somewhere do not hold a large buffer.
        let data = Bytes::copy_from_slice(buffer.get(..take)?);
        buffer.advance(take);
        let left = length - take;
        if left > 0 {
            self.data = Some(Unread { id, fin, length: left });
        }
        Some(Frame::Data {
            id,
            fin: fin && left == 0,
            data,
        })
    }
}

fn control(kind: u16, flags: u8, mut payload: &[u8], inflater: &mut Inflater) -> Result<Frame, Malformed> {
    const SHORT: Malformed = Malformed("a control frame that is too short");
    let fin = flags & FIN != 0;
    let mut number = || payload.try_get_u32().map_err(|_| SHORT);
    let frame = match kind {
        SYN_STREAM => {
            let id = stream(number()?)?;
            // The stream it belongs to, its priority and its slot: nothing that Kubernetes uses.
            number()?;
            let block = payload.get(2..).ok_or(SHORT)?;
            let headers = inflater.read(block)?;
            Frame::SynStream { id, fin, headers }
        }
        SYN_REPLY => {
            let id = stream(number()?)?;
            let headers = inflater.read(payload)?;
            Frame::SynReply { id, fin, headers }
        }
        HEADERS => {
            let id = stream(number()?)?;
            let headers = inflater.read(payload)?;
            Frame::Headers { id, fin, headers }
        }
        RST_STREAM => Frame::RstStream {
            id: stream(number()?)?,
            status: Status(number()?),
        },
        PING => Frame::Ping(number()?),
        GOAWAY => Frame::GoAway {
            last_id: number()? & ID,
            status: number()?,
        },
        _ => Frame::Other,
    };
    Ok(frame)
}

fn stream(id: u32) -> Result<u32, Malformed> {
    match id & ID {
        0 => Err(Malformed("stream 0")),
        id => Ok(id),
    }
}

/// Writes frames as bytes.
#[derive(Default)]
pub struct Encoder(Deflater);

impl Encoder {
    /// Appends `frame` to `out`.
    ///
    /// # Errors
    /// It is too large for its length to be written.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Malformed> {
        let mut payload = Vec::new();
        match frame {
            Frame::SynStream { id, fin, headers } => {
                payload.put_u32(*id);
                payload.put_u32(0);
                payload.put_u16(0);
                self.0.write(headers, &mut payload)?;
                put_control(SYN_STREAM, *fin, &payload, out)
            }
            Frame::SynReply { id, fin, headers } => {
                payload.put_u32(*id);
                self.0.write(headers, &mut payload)?;
                put_control(SYN_REPLY, *fin, &payload, out)
            }
            Frame::Headers { id, fin, headers } => {
                payload.put_u32(*id);
                self.0.write(headers, &mut payload)?;
                put_control(HEADERS, *fin, &payload, out)
            }
            Frame::RstStream { id, status } => {
                payload.put_u32(*id);
                payload.put_u32(status.0);
                put_control(RST_STREAM, false, &payload, out)
            }
            Frame::Ping(id) => {
                payload.put_u32(*id);
                put_control(PING, false, &payload, out)
            }
            Frame::GoAway { last_id, status } => {
                payload.put_u32(*last_id);
                payload.put_u32(*status);
                put_control(GOAWAY, false, &payload, out)
            }
            Frame::Data { id, fin, data } => {
                out.put_u32(*id & ID);
                put_length(*fin, data.len(), out)?;
                out.put_slice(data);
                Ok(())
            }
            Frame::Other => Ok(()),
        }
    }
}

fn put_control(kind: u16, fin: bool, payload: &[u8], out: &mut BytesMut) -> Result<(), Malformed> {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    put_length(fin, payload.len(), out)?;
    out.put_slice(payload);
    Ok(())
}

fn put_length(fin: bool, length: usize, out: &mut BytesMut) -> Result<(), Malformed> {
    let length = u32::try_from(length)
        .ok()
        .filter(|length| *length <= LENGTH)
        .ok_or(Malformed("a frame that is too large"))?;
    out.put_u32(u32::from(if fin { FIN } else { 0 }) << 24 | length);
    Ok(())
}

#[cfg(test)]
mod tests;
