//! (pure) Header blocks: names and values, compressed with one zlib stream per direction for the life of a connection.

use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::DICTIONARY;
use super::frame::Malformed;

/// Bytes of a block at most, as they are and compressed. Those of `exec` and `port-forward` have some hundred.
pub(super) const MAX_BLOCK: usize = 16 * 1024;
/// Headers of a block at most.
const MAX_HEADERS: u32 = 100;
/// What is decompressed at once.
const STEP: usize = 2 * 1024;
/// Log2 of the window that is compressed with: enough for the dictionary, and little memory.
const WINDOW_BITS: u8 = 11;

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

fn parse(mut block: &[u8]) -> Result<Headers, Malformed> {
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

/// Writes the blocks of one direction.
pub(super) struct Deflater {
    stream: Compress,
    begun: bool,
}

impl Deflater {
    pub(super) fn new() -> Self {
        Self {
            stream: Compress::new_with_window_bits(Compression::fast(), true, WINDOW_BITS),
            begun: false,
        }
    }

    /// Appends a block to `out`.
    pub(super) fn write(&mut self, headers: &Headers, out: &mut Vec<u8>) -> Result<(), Malformed> {
        const BAD: Malformed = Malformed("a header block that cannot be compressed");
        if !self.begun {
            self.stream.set_dictionary(DICTIONARY).map_err(|_| BAD)?;
            self.begun = true;
        }
        let length = |n: usize| u32::try_from(n).map_err(|_| BAD);
        let mut block = Vec::new();
        block.put_u32(length(headers.0.len())?);
        for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(length(text.len())?);
            block.put_slice(text.as_bytes());
        }
        let mut rest = block.as_slice();
        loop {
            out.reserve(64 + rest.len());
            let taken = self.stream.total_in();
            self.stream
                .compress_vec(rest, out, FlushCompress::Sync)
                .map_err(|_| BAD)?;
            let taken = usize::try_from(self.stream.total_in() - taken).map_err(|_| BAD)?;
            rest = rest.get(taken..).ok_or(BAD)?;
            // With room left, everything was flushed.
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers() -> impl Strategy<Value = Headers> {
        let pairs = proptest::collection::btree_map("[a-z0-9-]{1,40}", ".{0,200}", 0..12);
        pairs.prop_map(Headers::from_iter)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(blocks in proptest::collection::vec(headers(), 1..6)) {
            let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
            for block in blocks {
                let mut compressed = Vec::new();
                deflater.write(&block, &mut compressed).expect("writes");
                prop_assert_eq!(inflater.read(&compressed), Ok(block));
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
        fn a_block_that_was_changed_is_refused_or_understood(block in headers(), at in any::<prop::sample::Index>(), with in 1u8..) {
            let mut compressed = Vec::new();
            Deflater::new().write(&block, &mut compressed).expect("writes");
            let at = at.index(compressed.len());
            compressed[at] ^= with;
            let _ = Inflater::new().read(&compressed);
        }
    }

    #[test]
    fn a_block_that_grows_without_end_is_refused() {
        let bomb = Headers::from_iter([("a", "0".repeat(10 * MAX_BLOCK))]);
        let mut compressed = Vec::new();
        Deflater::new().write(&bomb, &mut compressed).expect("writes");
        assert!(compressed.len() < MAX_BLOCK);
        assert_eq!(
            Inflater::new().read(&compressed),
            Err(Malformed("a header block that is too large"))
        );
    }

    #[test]
    fn names_are_unique_and_in_lower_case() {
        let block = |names: &[&str]| {
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
