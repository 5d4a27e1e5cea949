//! (pure) Unpacks files of an event log.

use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::StreamingDecoder;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// It is not.
    Plain,
    /// Spark's own choice since 3.0.
    Zstd,
    /// One that is not read here: its name.
    Other(&'static str),
}

impl Codec {
    /// By the end of the file's name, where Spark writes it.
    pub(super) fn of(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, end)| end) {
            Some("zstd") => Self::Zstd,
            Some("lz4") => Self::Other("lz4"),
            Some("lzf") => Self::Other("lzf"),
            Some("snappy") => Self::Other("snappy"),
            _ => Self::Plain,
        }
    }
}

/// The bytes of a zstd file: frame after frame.
pub(super) struct Zstd<R: BufRead> {
    state: State<R>,
}

enum State<R: BufRead> {
    Between(R),
    Within(Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Over,
}

impl<R: BufRead> Zstd<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            state: State::Between(reader),
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Ok(0),
                State::Between(mut reader) => {
                    if reader.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(reader).map_err(io::Error::other)?;
                    self.state = State::Within(Box::new(decoder));
                }
                State::Within(mut decoder) => match decoder.read(buffer)? {
                    0 if !buffer.is_empty() => self.state = State::Between(decoder.into_inner()),
                    read => {
                        self.state = State::Within(decoder);
                        return Ok(read);
                    }
                },
            }
        }
    }
}

/// A reader of what is packed in `reader` by `codec`; one that is not read here is named in the error.
pub(super) fn unpack(reader: impl Read + 'static, codec: Codec) -> Result<Box<dyn BufRead>, &'static str> {
    let reader = BufReader::with_capacity(64 << 10, reader);
    match codec {
        Codec::Plain => Ok(Box::new(reader)),
        Codec::Zstd => Ok(Box::new(BufReader::with_capacity(64 << 10, Zstd::new(reader)))),
        Codec::Other(name) => Err(name),
    }
}
