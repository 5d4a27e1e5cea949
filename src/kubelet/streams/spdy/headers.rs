//! (pure) Header blocks: names and values, compressed with one zlib stream per direction for the life of a connection.

use bytes::{Buf, BufMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::dictionary::DICTIONARY;
use super::frame::Malformed;

/// Bytes of a block at most, as they are and compressed. Those of `exec` and `port-forward` have some hundred.
pub(super) const MAX_BLOCK: usize = 16 * 1024;
/// Headers of a block at most.
const MAX_HEADERS: u32 = 100;
/// What is decompressed at once.
const STEP: usize = 2 * 1024;

/// The headers of a stream, in lower case. Several values of one name are separated by NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of `name`, which is in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let pair = |(name, value): (N, V)| (name.into().to_ascii_lowercase(), value.into());
        Self(headers.into_iter().map(pair).collect())
    }
}

/// Reads the blocks of one direction, in the order in which they were written.
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn read(&mut self, compressed: &[u8]) -> Result<Headers, Malformed> {
        parse(&self.inflate(compressed)?)
    }

    fn inflate(&mut self, compressed: &[u8]) -> Result<Vec<u8>, Malformed> {
        const BAD: Malformed = Malformed("a header block that cannot be decompressed");
        let mut rest = compressed;
        let mut block = Vec::new();
        let mut step = [0; STEP];
        loop {
            let (taken, given) = (self.0.total_in(), self.0.total_out());
            let result = self.0.decompress(rest, &mut step, FlushDecompress::Sync);
            let taken = usize::try_from(self.0.total_in() - taken).map_err(|_| BAD)?;
            let given = usize::try_from(self.0.total_out() - given).map_err(|_| BAD)?;
            rest = rest.get(taken..).ok_or(BAD)?;
            block.extend_from_slice(step.get(..given).ok_or(BAD)?);
            if block.len() > MAX_BLOCK {
                return Err(Malformed("a header block that is too large"));
            }
            match result {
                // The stream goes on in the next block; it never ends.
                Ok(Status::Ok | Status::BufError) if rest.is_empty() && given < STEP => return Ok(block),
                Ok(Status::Ok | Status::BufError) if taken > 0 || given > 0 => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(DICTIONARY).map_err(|_| BAD)?;
                }
                _ => return Err(BAD),
            }
        }
    }
}

pub(super) fn parse(mut block: &[u8]) -> Result<Headers, Malformed> {
    let count = block.try_get_u32().map_err(|_| SHORT)?;
    if count > MAX_HEADERS {
        return Err(Malformed("too many headers"));
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for _ in 0..count {
        let name = text(&mut block)?;
        let value = text(&mut block)?;
        if name.is_empty() || name.bytes().any(|b| b.is_ascii_uppercase()) || headers.iter().any(|(n, _)| *n == name) {
            return Err(Malformed("a header name that is empty, in upper case, or there twice"));
        }
        headers.push((name, value));
    }
    if block.is_empty() {
        Ok(Headers(headers))
    } else {
        Err(Malformed("more in a header block than headers"))
    }
}

const SHORT: Malformed = Malformed("a header block that is too short");

fn text(block: &mut &[u8]) -> Result<String, Malformed> {
    let length = block.try_get_u32().map_err(|_| SHORT)?;
    let (text, rest) = usize::try_from(length)
        .ok()
        .and_then(|length| block.split_at_checked(length))
        .ok_or(SHORT)?;
    *block = rest;
    String::from_utf8(text.to_vec()).map_err(|_| Malformed("a header that is not UTF-8"))
}

/// Writes the blocks of one direction, as zlib's stored blocks: a server writes hardly anything but empty ones, and a real
/// compressor would cost each connection 200 KiB.
#[derive(Default)]
pub(super) struct Deflater {
    begun: bool,
}

impl Deflater {
    /// Appends a block to `out`.
    pub(super) fn write(&mut self, headers: &Headers, out: &mut Vec<u8>) -> Result<(), Malformed> {
        const LARGE: Malformed = Malformed("a header block that is too large");
        let block = block(headers).ok_or(LARGE)?;
        let length = u16::try_from(block.len()).map_err(|_| LARGE)?;
        if !self.begun {
            out.put_slice(&BEGIN);
            self.begun = true;
        }
        out.put_u8(STORED);
        out.put_u16_le(length);
        out.put_u16_le(!length);
        out.put_slice(&block);
        out.put_slice(&FLUSH);
        Ok(())
    }
}

/// How a zlib stream without a dictionary begins.
const BEGIN: [u8; 2] = [0x78, 0x01];
/// A block that is stored as it is, and is not the last one.
const STORED: u8 = 0;
/// An empty stored block. Go's reader hands out what was stored before only when it sees one.
const FLUSH: [u8; 5] = [STORED, 0, 0, 0xff, 0xff];

fn block(headers: &Headers) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    block.put_u32(u32::try_from(headers.0.len()).ok()?);
    for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
        block.put_u32(u32::try_from(text.len()).ok()?);
        block.put_slice(text.as_bytes());
    }
    Some(block)
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    /// As clients write: compressed, from the dictionary on.
    fn compress(stream: &mut Compress, block: &[u8]) -> Vec<u8> {
        if stream.total_in() == 0 {
            stream.set_dictionary(DICTIONARY).expect("taken");
        }
        let mut out = Vec::with_capacity(1024 + 2 * block.len());
        stream
            .compress_vec(block, &mut out, FlushCompress::Sync)
            .expect("compresses");
        out
    }

    fn headers() -> impl Strategy<Value = Headers> {
        let pairs = proptest::collection::btree_map("[a-z0-9-]{1,40}", ".{0,200}", 0..12);
        pairs.prop_map(Headers::from_iter)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(blocks in proptest::collection::vec(headers(), 1..6)) {
            let (mut deflater, mut inflater) = (Deflater::default(), Inflater::new());
            for block in blocks {
                let mut written = Vec::new();
                deflater.write(&block, &mut written).expect("writes");
                prop_assert_eq!(inflater.read(&written), Ok(block));
            }
        }

        #[test]
        fn what_was_compressed_is_read(blocks in proptest::collection::vec(headers(), 1..6)) {
            let (mut stream, mut inflater) = (Compress::new(Compression::best(), true), Inflater::new());
            for headers in blocks {
                let compressed = compress(&mut stream, &block(&headers).expect("small"));
                prop_assert_eq!(inflater.read(&compressed), Ok(headers));
            }
        }

        #[test]
        fn nonsense_is_refused_or_understood(blocks in proptest::collection::vec(any::<Vec<u8>>(), 1..4)) {
            let mut inflater = Inflater::new();
            for block in blocks {
                let _ = inflater.read(&block);
                let _ = parse(&block);
            }
        }

        #[test]
        fn a_block_that_was_changed_is_refused_or_understood(headers in headers(), at in any::<prop::sample::Index>(), with in 1u8..) {
            let mut stream = Compress::new(Compression::best(), true);
            let mut compressed = compress(&mut stream, &block(&headers).expect("small"));
            let at = at.index(compressed.len());
            compressed[at] ^= with;
            let _ = Inflater::new().read(&compressed);
        }
    }

    #[test]
    fn what_is_written_is_handed_out_at_once() {
        let mut written = Vec::new();
        let mut deflater = Deflater::default();
        deflater.write(&Headers::default(), &mut written).expect("writes");
        assert_eq!(written, b"\x78\x01\0\x04\0\xfb\xff\0\0\0\0\0\0\0\xff\xff");
    }

    #[test]
    fn a_block_that_grows_without_end_is_refused() {
        let bomb = Headers::from_iter([("a", "0".repeat(10 * MAX_BLOCK))]);
        let mut stream = Compress::new(Compression::best(), true);
        let compressed = compress(&mut stream, &block(&bomb).expect("small"));
        assert!(compressed.len() < MAX_BLOCK);
        assert_eq!(
            Inflater::new().read(&compressed),
            Err(Malformed("a header block that is too large"))
        );
    }

    #[test]
    fn names_are_unique_and_in_lower_case() {
        let block = |names: &[&str]| -> Vec<u8> {
            let mut block = Vec::new();
            block.put_u32(names.len() as u32);
            for text in names.iter().flat_map(|name| [*name, "v"]) {
                block.put_u32(text.len() as u32);
                block.put_slice(text.as_bytes());
            }
            block
        };
        assert!(parse(&block(&["a", "b"])).is_ok());
        for names in [&["A"][..], &["a", "a"], &[""]] {
            assert!(parse(&block(names)).is_err(), "{names:?}");
        }
        assert!(parse(&[block(&["a"]), vec![0]].concat()).is_err());
        assert!(parse(&block(&["a"])[..9]).is_err());
        assert!(parse(&[0xff; 8]).is_err());
    }
}
