//! Frames and header blocks that somebody made up.

use bytes::BytesMut;
use flate2::{Compress, Compression, FlushCompress};

use super::dictionary::DICTIONARY;
use super::frame::{Decoder, Encoder, Frame, MAX_CONTROL, Malformed};
use super::headers::{Inflater, MAX_BLOCK, parse};
use crate::kubelet::streams::fuzz::Script;

/// Bytes as frames: however they come in pieces, the same is read; what was read can be written, and is then read again.
pub fn spdy_frames(data: &[u8]) {
    let Some((&step, bytes)) = data.split_first() else {
        return;
    };
    let (frames, error) = decode(bytes, bytes.len());
    assert_eq!(decode(bytes, usize::from(step)), (frames.clone(), error));

    let (mut encoder, mut written) = (Encoder::default(), BytesMut::new());
    for frame in &frames {
        encoder.encode(frame, &mut written).expect("it came in a frame");
    }
    let known = |frame: &Frame| *frame != Frame::Other;
    let frames: Vec<Frame> = join(frames.into_iter().filter(known));
    assert_eq!(decode(&written, written.len()), (frames, None));
}

fn decode(bytes: &[u8], step: usize) -> (Vec<Frame>, Option<Malformed>) {
    let step = step.max(1);
    let (mut decoder, mut buffer, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (join(frames), Some(error)),
            }
        }
        assert!(buffer.len() < 8 + MAX_CONTROL, "only an unfinished control frame waits");
    }
    (join(frames), None)
}

/// With neighbouring pieces of a stream's data put together.
fn join(frames: impl IntoIterator<Item = Frame>) -> Vec<Frame> {
    let mut joined: Vec<Frame> = Vec::new();
    for frame in frames {
        if let Frame::Data { id, fin, data } = &frame
            && let Some(Frame::Data {
                id: before,
                fin: before_fin @ false,
                data: so_far,
            }) = joined.last_mut()
            && before == id
        {
            *before_fin = *fin;
            *so_far = [&so_far[..], data].concat().into();
        } else {
            joined.push(frame);
        }
    }
    joined
}

/// Header blocks: as they come, or compressed first, as clients do; then they must be read as what they were.
pub fn spdy_headers(data: &[u8]) {
    let mut script = Script(data);
    let compress = script.byte() & 1 == 1;
    let (mut stream, mut inflater) = (Compress::new(Compression::fast(), true), Inflater::new());
    if compress {
        stream.set_dictionary(DICTIONARY).expect("nothing was compressed yet");
    }
    while !script.is_over() {
        let block = script.bytes();
        let read = if compress {
            let mut compressed = Vec::with_capacity(1024 + 2 * block.len());
            let done = stream.compress_vec(block, &mut compressed, FlushCompress::Sync);
            done.expect("it compresses");
            let read = inflater.read(&compressed);
            if block.len() <= MAX_BLOCK {
                assert_eq!(read, parse(block));
            }
            read
        } else {
            inflater.read(block)
        };
        if read.is_err() {
            // The connection ends with the first.
            return;
        }
    }
}
