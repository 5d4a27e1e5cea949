//! Writes records: many with one write, at most one write a second, and the next after a pause where it failed.
//!
//! # Flow
//! Records come in as groups end. The first is written at once; what comes within a second after that is written together. A write
//! makes the open chunk anew ([`chunks`]), bound to the version that was read or written last. After anything but a
//! success the chunk is read again, so that a write whose answer was lost counts, and is not repeated.
//!
//! # When the store is away
//! Records wait in memory, up to [`MOST_WAITING`]; nobody waits for them. An agent that ends before the store is back tells them
//! again, from the pods and groups that are still there.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::chain::chain;
use crate::clock;
use crate::cost::chunks::{self, Chunk, WRITER};
use crate::cost::reader;
use crate::cost::record::CostRecord;
use crate::cost::recorder::{RecorderSettings, Told};
use crate::metrics::Metrics;

/// Between two writes.
const PERIOD: Duration = Duration::from_secs(1);
/// After a write that failed, doubling up to a minute.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Records that wait in memory while the store is away; the oldest go first.
const MOST_WAITING: usize = 20_000;
/// So long after its start an agent meets pods that an earlier one has told of.
const REMEMBERS: Duration = Duration::from_secs(1_800);
/// A chunk is sealed so long after its first record at the latest: by age it goes as a whole.
const LONGEST_OPEN: SignedDuration = SignedDuration::from_hours(24);
/// How often what is too old or too much is looked for.
const TRIM_PERIOD: Duration = Duration::from_secs(3_600);

/// A record, and who waits for it to be kept.
pub(super) struct Item {
    pub(super) record: CostRecord,
    pub(super) told: Told,
}

/// The chunk that is written to.
struct Open {
    name: String,
    /// Version that was read or written last; none = it is not there yet.
    version: Option<String>,
    chunk: Chunk,
    /// What is in it, by [`key`].
    keys: HashSet<u64>,
}

impl Open {
    fn new(now: Timestamp) -> Self {
        Self {
            name: format!(
                "virtual-node-cost-{}-{:08x}",
                now.strftime("%Y%m%d-%H%M%S"),
                rand::random::<u32>()
            ),
            version: None,
            chunk: Chunk::default(),
            keys: HashSet::new(),
        }
    }
}

/// A ConfigMap that is not written to any more.
struct Written {
    name: String,
    to: Timestamp,
    bytes: u64,
}

/// Why records could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("the API server refused, or could not be asked")]
    Api(#[from] Box<kube::Error>),
    #[error("the API server did not answer in time")]
    Timeout,
    #[error("a record cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// The one that writes.
pub(super) struct Writer {
    kube: kube::Client,
    api: Api<ConfigMap>,
    settings: RecorderSettings,
    /// Set while the last write failed.
    away: Arc<AtomicBool>,
    metrics: Metrics,
    waiting: VecDeque<Item>,
    /// None = it is to be read first.
    open: Option<Open>,
    written: Vec<Written>,
    /// What earlier agents told, by [`key`].
    remembered: HashSet<u64>,
    began: Instant,
    trimmed: Option<Instant>,
}

impl Writer {
    pub(super) fn new(kube: kube::Client, settings: RecorderSettings, away: Arc<AtomicBool>, metrics: Metrics) -> Self {
        Self {
            api: Api::namespaced(kube.clone(), &settings.namespace),
            kube,
            settings,
            away,
            metrics,
            waiting: VecDeque::new(),
            open: None,
            written: Vec::new(),
            remembered: HashSet::new(),
            began: clock::monotonic(),
            trimmed: None,
        }
    }

    /// Writes what comes until all handles are gone, and what they gave was written or could not be.
    pub(super) async fn run(mut self, mut items: mpsc::UnboundedReceiver<Item>) {
        let mut next = clock::monotonic();
        let mut pause = AGAIN;
        loop {
            if self.waiting.is_empty() {
                let Some(item) = items.recv().await else { return };
                self.waiting.push_back(item);
            }
            // Until then others come; and when the agent ends there is no time to wait.
            let ends = loop {
                tokio::select! {
                    biased;
                    item = items.recv() => match item {
                        Some(item) => self.waiting.push_back(item),
                        None => break true,
                    },
                    () = sleep_until(next) => break false,
                }
            };
            self.bound();
            next = clock::monotonic() + PERIOD;
            let result = match timeout(WRITE_TIMEOUT, self.write()).await {
                Ok(result) => result,
                Err(_) => Err(WriteError::Timeout),
            };
            match result {
                Ok(()) => {
                    pause = AGAIN;
                    self.away.store(false, Ordering::Relaxed);
                }
                Err(error) => {
                    // What became of the write is seen when it is read again.
                    self.open = None;
                    self.away.store(true, Ordering::Relaxed);
                    for item in &mut self.waiting {
                        std::mem::replace(&mut item.told, Box::new(drop))(false);
                    }
                    self.metrics.cost_writes.with_label_values(&["failed"]).inc();
                    tracing::warn!(
                        error = chain(&error),
                        records = self.waiting.len(),
                        "keeping records of cost failed; will retry"
                    );
                    if ends {
                        return;
                    }
                    next = clock::monotonic() + pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Drops what there is no room for.
    fn bound(&mut self) {
        let excess = self.waiting.len().saturating_sub(MOST_WAITING);
        for item in self.waiting.drain(..excess) {
            (item.told)(false);
            self.metrics.cost_records.with_label_values(&["dropped"]).inc();
        }
    }

    /// Writes what waits, as much of it as one chunk takes.
    async fn write(&mut self) -> Result<(), WriteError> {
        let now = clock::now();
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.read(now).await?,
        };
        let mut taken = Vec::new();
        let mut news = false;
        for item in &self.waiting {
            let key = key(&item.record);
            taken.push(key);
            if open.keys.contains(&key) || self.remembered.contains(&key) {
                continue;
            }
            open.chunk.add(&item.record, now)?;
            open.keys.insert(key);
            news = true;
            // Looked at now and then: packing is what takes time.
            if taken.len().is_multiple_of(64) && Chunk::is_full(&open.chunk.bytes()) {
                break;
            }
        }
        if news {
            let bytes = open.chunk.bytes();
            let aged = open
                .chunk
                .span()
                .is_some_and(|(from, to)| to.duration_since(from) >= LONGEST_OPEN);
            let sealed = aged || Chunk::is_full(&bytes);
            let length = bytes.len() as u64;
            let mut object = open
                .chunk
                .to_config_map(&open.name, &self.settings.writer, bytes, sealed);
            object.metadata.resource_version.clone_from(&open.version);
            let stored = match &open.version {
                None => self.api.create(&PostParams::default(), &object).await?,
                Some(_) => self.api.replace(&open.name, &PostParams::default(), &object).await?,
            };
            self.metrics.cost_writes.with_label_values(&["ok"]).inc();
            if sealed {
                self.written.push(Written {
                    name: open.name,
                    to: now,
                    bytes: length,
                });
                // What was just written is known to be written, whatever else happens.
                self.open = Some(Open::new(now));
                self.trimmed = None;
            } else {
                open.version = stored.metadata.resource_version;
                self.open = Some(open);
            }
        } else {
            self.open = Some(open);
        }
        for item in self.waiting.drain(..taken.len()) {
            (item.told)(true);
            self.metrics.cost_records.with_label_values(&["kept"]).inc();
        }
        if self.began.elapsed() >= REMEMBERS {
            self.remembered = HashSet::new();
        }
        if self.trimmed.is_none_or(|at| at.elapsed() >= TRIM_PERIOD) {
            self.trim(now).await;
        }
        Ok(())
    }

    /// Reads what is there: which groups are told of, and the chunk to go on with.
    async fn read(&mut self, now: Timestamp) -> Result<Open, WriteError> {
        let (mut written, mut remembered) = (Vec::new(), HashSet::new());
        let mut newest: Option<Open> = None;
        let remembers = self.began.elapsed() < REMEMBERS;
        let writer = self.settings.writer.as_str();
        reader::visit(&self.kube, &self.settings.namespace, |stored| {
            let name = stored.metadata.name.clone().unwrap_or_default();
            let own = stored
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(WRITER))
                .is_some_and(|w| w == writer);
            let is_open = own && stored.immutable != Some(true) && !Chunk::is_full(chunks::bytes_of(stored));
            let keys = || {
                let records = chunks::contents(stored).records;
                records.into_iter().map(|record| key(&record))
            };
            if is_open && newest.as_ref().is_none_or(|known| known.name < name) {
                if let Some(older) = newest.take() {
                    remembered.extend(older.keys);
                }
                newest = Some(Open {
                    name,
                    version: stored.metadata.resource_version.clone(),
                    chunk: Chunk::reopen(stored),
                    keys: keys().collect(),
                });
                return;
            }
            if remembers {
                remembered.extend(keys());
            }
            written.push(Written {
                name,
                to: chunks::span_of(stored).map_or(now, |(_, to)| to),
                bytes: chunks::bytes_of(stored).len() as u64,
            });
        })
        .await?;
        (self.written, self.remembered) = (written, remembered);
        Ok(newest.unwrap_or_else(|| Open::new(now)))
    }

    /// Removes what is too old, and the oldest of what is too much.
    async fn trim(&mut self, now: Timestamp) {
        self.trimmed = Some(clock::monotonic());
        self.written.sort_by_key(|written| written.to);
        let oldest = now.saturating_sub(self.settings.max_age).unwrap_or(Timestamp::MIN);
        let mut bytes: u64 = self.written.iter().map(|written| written.bytes).sum();
        let mut gone = 0;
        for written in &self.written {
            if written.to >= oldest && bytes <= self.settings.max_bytes {
                break;
            }
            match self.api.delete(&written.name, &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(answer)) if answer.code == 404 => {}
                Err(error) => {
                    tracing::warn!(error = chain(&error), "removing old records of cost failed; will retry");
                    break;
                }
            }
            bytes -= written.bytes;
            gone += 1;
        }
        self.written.drain(..gone);
    }
}

/// What is written once: a group, and apart from that each end that was foreseen of it.
fn key(record: &CostRecord) -> u64 {
    let foreseen = record.is_foreseen().then(|| record.billed.end.latest().as_second());
    let mut hasher = DefaultHasher::new();
    (&record.group, foreseen).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::Method;
    use serde_json::{Value, json};

    use std::sync::Mutex;

    use super::*;
    use crate::cost::prices::Prices;
    use crate::cost::record::Doubt;
    use crate::cost::record::tests::record;
    use crate::cost::recorder::Recorder;
    use crate::scripted_api::{Answer, scripted};
    use provider::pricing::PriceList;

    /// ConfigMaps of one namespace, and what is wrong with the API server.
    #[derive(Default)]
    struct Api {
        objects: BTreeMap<String, Value>,
        version: u64,
        writes: usize,
        /// It refuses everything.
        away: bool,
        /// It does the next write, and says that it failed.
        loses_an_answer: bool,
    }

    impl Api {
        fn answer(&mut self, method: &Method, path: &str, body: &Value) -> Answer {
            if self.away {
                return Answer::error(503, "ServiceUnavailable", "away");
            }
            let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
            match *method {
                Method::GET => {
                    let items: Vec<&Value> = self.objects.values().collect();
                    return Answer::ok(
                        json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {}, "items": items }),
                    );
                }
                Method::DELETE => {
                    self.objects.remove(&name(path));
                    return Answer::ok(json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }));
                }
                _ => {}
            }
            let name = body["metadata"]["name"].as_str().expect("a name").to_owned();
            let known = self
                .objects
                .get(&name)
                .map(|known| known["metadata"]["resourceVersion"].clone());
            if known.is_some_and(|known| known != body["metadata"]["resourceVersion"]) {
                return Answer::error(409, "Conflict", "modified");
            }
            self.version += 1;
            self.writes += 1;
            let mut stored = body.clone();
            stored["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.objects.insert(name, stored.clone());
            if std::mem::take(&mut self.loses_an_answer) {
                return Answer::error(500, "InternalError", "the answer is lost");
            }
            Answer::ok(stored)
        }
    }

    struct Bed {
        api: Arc<Mutex<Api>>,
        kube: kube::Client,
    }

    impl Bed {
        fn new() -> Self {
            let api = Arc::new(Mutex::new(Api::default()));
            let server = api.clone();
            let kube = scripted(move |method, path, body| server.lock().expect("whole").answer(method, path, body));
            clock::simulate("2026-01-01T00:00:00Z".parse().expect("a time"));
            Self { api, kube }
        }

        fn recorder(&self, max_bytes: u64) -> Recorder {
            let settings = RecorderSettings {
                namespace: "ns".to_owned(),
                writer: "w".to_owned(),
                max_age: Duration::from_secs(3_600),
                max_bytes,
            };
            let metrics = Metrics::new().expect("registers");
            let (recorder, task) = Recorder::new(
                self.kube.clone(),
                settings,
                Prices::listed(PriceList::CNY),
                ("c", "r"),
                metrics,
            );
            tokio::spawn(task);
            recorder
        }

        async fn kept(&self) -> Vec<String> {
            let read = reader::read(&self.kube, "ns", None).await.expect("reads");
            assert_eq!(read.unreadable, 0);
            read.records.into_iter().map(|record| record.group).collect()
        }

        fn writes(&self) -> usize {
            self.api.lock().expect("whole").writes
        }
    }

    /// Keeps `group` and says what was told.
    async fn keep(recorder: &Recorder, group: &str) -> bool {
        keep_record(recorder, record(group)).await
    }

    async fn keep_record(recorder: &Recorder, record: CostRecord) -> bool {
        let (told, tells) = tokio::sync::oneshot::channel();
        recorder.keep(record, Box::new(move |kept| told.send(kept).unwrap_or_default()));
        tells.await.expect("told")
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_write_a_second_and_a_restart_goes_on_with_the_same_chunk() {
        let bed = Bed::new();
        let recorder = bed.recorder(1 << 30);
        assert!(keep(&recorder, "eci-0").await);
        let names: Vec<String> = (1..200).map(|n| format!("eci-{n}")).collect();
        let all = futures::future::join_all(names.iter().map(|name| keep(&recorder, name))).await;
        assert!(all.into_iter().all(|kept| kept));
        assert_eq!((bed.writes(), bed.kept().await.len()), (2, 200));
        drop(recorder);
        let recorder = bed.recorder(1 << 30);
        assert!(keep(&recorder, "eci-7").await, "an earlier agent told of it");
        assert_eq!((bed.writes(), bed.kept().await.len()), (2, 200));
        assert!(keep(&recorder, "eci-new").await);
        assert_eq!(bed.api.lock().expect("whole").objects.len(), 1);
        assert_eq!(bed.kept().await.len(), 201);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_foreseen_does_not_stand_in_the_way_of_what_was_seen() {
        let bed = Bed::new();
        let recorder = bed.recorder(1 << 30);
        let mut foreseen = record("eci-1");
        foreseen.doubts = vec![Doubt::EndForeseen];
        for _ in 0..2 {
            assert!(keep_record(&recorder, foreseen.clone()).await);
        }
        assert_eq!(bed.writes(), 1, "the same is written once");
        drop(recorder);
        assert!(keep(&bed.recorder(1 << 30), "eci-1").await, "by the next agent");
        assert_eq!(bed.writes(), 2);
        let read = reader::read(&bed.kube, "ns", None).await.expect("reads");
        assert_eq!(read.records, [record("eci-1")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_whose_answer_is_lost_counts_once() {
        let bed = Bed::new();
        let recorder = bed.recorder(1 << 30);
        assert!(keep(&recorder, "eci-1").await);
        bed.api.lock().expect("whole").loses_an_answer = true;
        assert!(!keep(&recorder, "eci-2").await, "not known");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(bed.kept().await, ["eci-1", "eci-2"]);
        assert_eq!(bed.writes(), 2, "what was written is not written again");
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_store_is_away_nobody_waits_and_nothing_is_lost() {
        let bed = Bed::new();
        bed.api.lock().expect("whole").away = true;
        let recorder = bed.recorder(1 << 30);
        assert!(!keep(&recorder, "eci-1").await);
        let asked = clock::monotonic();
        assert!(!keep(&recorder, "eci-2").await);
        assert_eq!(asked.elapsed(), Duration::ZERO, "told at once");
        bed.api.lock().expect("whole").away = false;
        tokio::time::sleep(LONGEST_PAUSE * 2).await;
        assert_eq!(bed.kept().await, ["eci-1", "eci-2"]);
        assert!(keep(&recorder, "eci-3").await);
    }

    #[tokio::test(start_paused = true)]
    async fn another_writer_of_the_chunk_is_not_overwritten() {
        let bed = Bed::new();
        let (first, second) = (bed.recorder(1 << 30), bed.recorder(1 << 30));
        assert!(keep(&first, "eci-1").await);
        assert!(keep(&second, "eci-2").await);
        assert!(!keep(&first, "eci-3").await, "a conflict");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(bed.kept().await, ["eci-1", "eci-2", "eci-3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_goes_and_the_oldest_of_what_is_too_much() {
        let bed = Bed::new();
        let minutes_ago = |minutes: i64| clock::now() - SignedDuration::from_mins(minutes);
        for (name, minutes, bytes) in [
            ("too-old", 61, 10),
            ("oldest", 50, 600),
            ("older", 40, 600),
            ("new", 30, 500),
        ] {
            let mut chunk = Chunk::default();
            chunk.add(&record("eci-1"), minutes_ago(minutes)).expect("adds");
            let stored = chunk.to_config_map(name, "another", vec![0; bytes], true);
            let stored = serde_json::to_value(stored).expect("JSON");
            bed.api.lock().expect("whole").objects.insert(name.to_owned(), stored);
        }
        assert!(keep(&bed.recorder(1_200), "eci-late").await);
        let api = bed.api.lock().expect("whole");
        let mut names: Vec<&str> = api.objects.keys().map(String::as_str).collect();
        names.retain(|name| !name.starts_with("virtual-node-cost-"));
        assert_eq!((names, api.objects.len()), (vec!["new", "older"], 3));
    }
}
