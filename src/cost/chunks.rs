//! (pure) How records are laid out in ConfigMaps: each has some hundreds of them as gzipped lines of JSON.
//!
//! The newest of a writer is open: it is written again with what has come since, until it is full. Then it is sealed (`immutable`) and
//! never changes. gzip allows its members to follow one another, so what was packed once is not packed again.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::cost::record::{CostRecord, VERSION};

/// Selects the ConfigMaps that hold records.
pub const SELECTOR: &str = "app.kubernetes.io/managed-by=virtual-node,app.kubernetes.io/component=cost-records";
/// Label with the name of the writer.
pub const WRITER: &str = "app.kubernetes.io/instance";
/// Annotation with the time of the oldest record in it.
const FROM: &str = "virtual-node/from";
/// Annotation with the time of the newest.
const TO: &str = "virtual-node/to";
/// Annotation with the number of records.
const COUNT: &str = "virtual-node/records";
/// Where the records are.
const KEY: &str = "records.jsonl.gz";

/// A chunk of so many bytes is full. It is written again with each group of records that comes, so it should be small; and each is
/// an object, so it should not be too small.
const FULL: usize = 64 << 10;
/// Lines are packed together until they have so many bytes: more compress better, and all of them are packed at each write.
const MEMBER: usize = 32 << 10;
/// What an honest chunk unpacks to at the most; what is larger is not read to its end.
const MOST_UNPACKED: u64 = 16 << 20;

/// A chunk that records are added to.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    packed: Vec<u8>,
    tail: Vec<u8>,
    count: usize,
    span: Option<(Timestamp, Timestamp)>,
}

impl Chunk {
    /// Adds `record`, made at `now`.
    ///
    /// # Errors
    /// It cannot be said in JSON, which is a mistake in its type.
    pub fn add(&mut self, record: &CostRecord, now: Timestamp) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut self.tail, record)?;
        self.tail.push(b'\n');
        self.count += 1;
        let (from, to) = self.span.unwrap_or((now, now));
        self.span = Some((from.min(now), to.max(now)));
        if self.tail.len() >= MEMBER {
            self.packed.extend(pack(&self.tail));
            self.tail.clear();
        }
        Ok(())
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Times of its oldest and its newest record.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.span
    }

    /// What is stored of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.packed.clone();
        if !self.tail.is_empty() {
            bytes.extend(pack(&self.tail));
        }
        bytes
    }

    /// Whether nothing more should be added, when it is stored as `bytes`.
    pub fn is_full(bytes: &[u8]) -> bool {
        bytes.len() >= FULL
    }

    /// The object that holds it.
    pub fn to_config_map(&self, name: &str, writer: &str, bytes: Vec<u8>, sealed: bool) -> ConfigMap {
        let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let (from, to) = self.span.unwrap_or_default();
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(
                    [
                        ("app.kubernetes.io/managed-by", "virtual-node"),
                        ("app.kubernetes.io/component", "cost-records"),
                        (WRITER, writer),
                    ]
                    .map(text)
                    .into(),
                ),
                annotations: Some(
                    [
                        (FROM, from.to_string().as_str()),
                        (TO, to.to_string().as_str()),
                        (COUNT, self.count.to_string().as_str()),
                    ]
                    .map(text)
                    .into(),
                ),
                ..ObjectMeta::default()
            },
            binary_data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(bytes))])),
            immutable: sealed.then_some(true),
            ..ConfigMap::default()
        }
    }

    /// The chunk that `stored` holds, to be added to.
    pub fn reopen(stored: &ConfigMap) -> Self {
        Self {
            packed: bytes_of(stored).to_vec(),
            tail: Vec::new(),
            count: annotation(stored, COUNT)
                .and_then(|n| n.parse().ok())
                .unwrap_or_default(),
            span: span_of(stored),
        }
    }
}

/// What a chunk holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its records.
    pub records: Vec<CostRecord>,
    /// How many lines could not be read: of a newer version, or damaged.
    pub unreadable: usize,
}

/// Reads `stored`. What cannot be read is counted, and keeps nothing else from being read.
pub fn contents(stored: &ConfigMap) -> Contents {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let mut text = Vec::new();
    let unpacked = MultiGzDecoder::new(bytes_of(stored))
        .take(MOST_UNPACKED)
        .read_to_end(&mut text);
    let mut contents = Contents::default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let known = serde_json::from_slice::<Versioned>(line).is_ok_and(|line| line.version <= VERSION);
        match serde_json::from_slice(line) {
            Ok(record) if known => contents.records.push(record),
            _ => contents.unreadable += 1,
        }
    }
    // What comes after a damaged place is lost, however many lines that were.
    contents.unreadable += usize::from(unpacked.is_err());
    contents
}

/// Times of the oldest and the newest record in `stored`.
pub fn span_of(stored: &ConfigMap) -> Option<(Timestamp, Timestamp)> {
    let time = |key| annotation(stored, key)?.parse().ok();
    Some((time(FROM)?, time(TO)?))
}

/// The packed records of `stored`.
pub fn bytes_of(stored: &ConfigMap) -> &[u8] {
    let data = stored.binary_data.as_ref().and_then(|data| data.get(KEY));
    data.map_or(&[], |bytes| &bytes.0)
}

fn annotation<'a>(stored: &'a ConfigMap, key: &str) -> Option<&'a str> {
    stored.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn pack(lines: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let _ = packer.write_all(lines);
    packer.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::record::tests::record;

    fn filled(count: usize) -> Chunk {
        let mut chunk = Chunk::default();
        for number in 0..count {
            let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(number as i64);
            chunk.add(&record(&format!("eci-{number}")), now).expect("adds");
        }
        chunk
    }

    fn stored(chunk: &Chunk) -> ConfigMap {
        chunk.to_config_map("name", "writer", chunk.bytes(), false)
    }

    #[test]
    fn what_is_added_is_read_again_in_order_over_several_members() {
        let chunk = filled(300);
        assert!(
            !chunk.packed.is_empty() && !chunk.tail.is_empty(),
            "both parts are used"
        );
        let read = contents(&stored(&chunk));
        assert_eq!((read.records.len(), read.unreadable), (300, 0));
        assert_eq!(read.records[299], record("eci-299"));
    }

    #[test]
    fn a_reopened_chunk_goes_on_where_it_was() {
        let first = filled(3);
        let mut again = Chunk::reopen(&stored(&first));
        assert_eq!((again.len(), again.span()), (3, first.span()));
        again.add(&record("eci-later"), Timestamp::UNIX_EPOCH).expect("adds");
        let read = contents(&stored(&again));
        assert_eq!(
            read.records.iter().map(|r| r.group.as_str()).collect::<Vec<_>>(),
            ["eci-0", "eci-1", "eci-2", "eci-later"]
        );
        assert_eq!(again.span(), first.span());
    }

    #[test]
    fn a_full_chunk_has_hundreds_of_records_and_is_far_from_the_limit_of_an_object() {
        let mut chunk = Chunk::default();
        // Packing is what takes time.
        while !(chunk.len().is_multiple_of(500) && Chunk::is_full(&chunk.bytes())) {
            let next = (chunk.len() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let record = record(&format!("eci-{next:020x}"));
            chunk.add(&record, Timestamp::UNIX_EPOCH).expect("adds");
        }
        assert!(chunk.len() > 300, "{}", chunk.len());
        assert!(chunk.bytes().len() < 128 << 10);
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_the_rest_is_read() {
        let mut chunk = filled(2);
        chunk.tail.extend_from_slice(b"{\"version\":2}\nnonsense\n");
        let read = contents(&stored(&chunk));
        assert_eq!((read.records.len(), read.unreadable), (2, 2));
        let mut damaged = stored(&filled(2));
        damaged.binary_data = Some([(KEY.to_owned(), ByteString(b"no gzip".to_vec()))].into());
        let read = contents(&damaged);
        assert_eq!((read.records.len(), read.unreadable), (0, 1));
    }
}
