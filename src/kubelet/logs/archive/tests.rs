//! The archive by a clock that jumps, against a cloud that forgets and a store that fails.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::*;
use crate::kubelet::logs::budget::LogBudget;
use crate::kubelet::logs::open::open;
use crate::kubelet::logs::query::LogOptions;
use crate::kubelet::logs::source::{LogError, LogRead, LogSource};
use crate::kubelet::logs::stream::LogAccess;
use crate::kubelet::lookup::{ContainerEntry, ContainerRun, PodEntry, PodLookup, Stage};

const AGES: Duration = Duration::from_secs(24 * 3600);
const PLACE: &str = "s3://bucket/logs";

/// A store in memory.
#[derive(Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Bytes>>,
    away: AtomicBool,
}

impl Memory {
    fn answer<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, Result<T, StoreError>> {
        let away = self.away.load(Ordering::Relaxed);
        let answer = if away {
            Err(StoreError::Failed("503 Service Unavailable".to_owned()))
        } else {
            Ok(answer)
        };
        async move {
            tokio::task::yield_now().await;
            answer
        }
        .boxed()
    }

    /// All parts of a run, as text.
    fn text(&self, container: &str, restart: i32) -> String {
        let folder = format!("c/default/driver/u/{container}/{restart}/");
        let objects = self.objects.lock().expect("no panics");
        let parts = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&folder) && key.ends_with(".log"));
        parts
            .map(|(_, body)| String::from_utf8_lossy(body).into_owned())
            .collect()
    }

    fn end(&self, restart: i32) -> Option<String> {
        let objects = self.objects.lock().expect("no panics");
        let end = objects.get(&format!("c/default/driver/u/main/{restart}/end.json"))?;
        Some(String::from_utf8_lossy(end).into_owned())
    }
}

impl ObjectStore for Memory {
    fn put(&self, key: String, body: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        if !self.away.load(Ordering::Relaxed) {
            let before = self
                .objects
                .lock()
                .expect("no panics")
                .insert(key.clone(), body.clone());
            assert!(
                before.is_none_or(|before| before == body),
                "{key} was written with other content"
            );
        }
        self.answer(())
    }

    fn get(&self, key: String) -> BoxFuture<'_, Result<Bytes, StoreError>> {
        let found = self.objects.lock().expect("no panics").get(&key).cloned();
        let answer = self.answer(());
        async move { answer.await.and(found.ok_or(StoreError::Absent)) }.boxed()
    }

    fn list(&self, prefix: String) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let objects = self.objects.lock().expect("no panics");
        let keys = objects.keys().filter(|key| key.starts_with(&prefix)).cloned();
        self.answer(keys.collect())
    }
}

/// A pod of one container whose runs write logs.
struct World {
    /// By restart count.
    logs: Mutex<HashMap<i32, Vec<String>>>,
    restarts: Mutex<i32>,
    stage: Mutex<Stage>,
    forgotten: AtomicBool,
    /// Not seen since the agent's start.
    reads: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            logs: Mutex::default(),
            restarts: Mutex::new(0),
            stage: Mutex::new(Stage::Going),
            forgotten: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
        })
    }

    fn write(&self, lines: impl IntoIterator<Item = String>) {
        let run = *self.restarts.lock().expect("no panics");
        self.logs
            .lock()
            .expect("no panics")
            .entry(run)
            .or_default()
            .extend(lines);
    }

    fn all(&self, run: i32) -> String {
        self.logs
            .lock()
            .expect("no panics")
            .get(&run)
            .map(|lines| lines.concat())
            .unwrap_or_default()
    }

    fn end(&self) {
        *self.stage.lock().expect("no panics") = Stage::Over;
    }

    fn forget(&self) {
        self.end();
        self.forgotten.store(true, Ordering::Relaxed);
    }

    fn logs(self: &Arc<Self>) -> LogAccess {
        let metrics = Metrics::new().expect("registers");
        LogAccess::new(self.clone(), self.clone(), LogBudget::new(Some(500)), metrics)
    }
}

impl LogSource for World {
    fn read(&self, read: LogRead) -> BoxFuture<'static, Result<String, LogError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.forgotten.load(Ordering::Relaxed) {
            return async { Err(LogError::NotFound("no such group".to_owned())) }.boxed();
        }
        let run = *self.restarts.lock().expect("no panics") - i32::from(read.previous);
        let logs = self.logs.lock().expect("no panics");
        let none = Vec::new();
        let log = logs.get(&run).unwrap_or(&none);
        let newest = &log[log.len().saturating_sub(read.tail as usize)..];
        let text = newest.concat();
        async move { Ok(text) }.boxed()
    }
}

impl PodLookup for World {
    fn group_of(&self, _: &str, pod: &str, _: Option<&str>) -> Option<PodEntry> {
        let restart_count = *self.restarts.lock().expect("no panics");
        let over = self.stage("u") == Stage::Over;
        Some(PodEntry {
            uid: "u".to_owned(),
            group_id: (pod == "driver" && !self.forgotten.load(Ordering::Relaxed)).then(|| "eci-1".to_owned()),
            ip: None,
            containers: vec![ContainerEntry {
                name: "main".to_owned(),
                state: if over {
                    ContainerRun::Terminated
                } else {
                    ContainerRun::Running
                },
                restart_count,
                has_previous: restart_count > 0,
            }],
        })
    }

    fn stage(&self, _: &str) -> Stage {
        *self.stage.lock().expect("no panics")
    }
}

/// World, store, and what keeps the one's logs in the other.
struct Scene {
    world: Arc<World>,
    store: Arc<Memory>,
    archive: Archive,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn new() -> Self {
        let store = Arc::new(Memory::default());
        let metrics = Metrics::new().expect("registers");
        Self {
            world: World::new(),
            archive: Archive::new(store.clone(), "c", PLACE, metrics),
            store,
            failures: Arc::default(),
        }
    }

    /// Begins to keep, as an agent does that has just started.
    fn keep(&self) -> tokio::task::JoinHandle<()> {
        let keeper = Keeper::new(self.archive.clone(), self.world.logs(), BTreeMap::new());
        let pod = KeptPod {
            namespace: "default".to_owned(),
            name: "driver".to_owned(),
            uid: "u".to_owned(),
        };
        let failures = self.failures.clone();
        tokio::spawn(keeper.keep(pod, Box::new(move |why| failures.lock().expect("no panics").push(why))))
    }

    /// `kubectl logs`.
    async fn logs(&self, options: LogOptions) -> Result<String, (u16, String)> {
        let access = self.world.logs().with_archive(self.archive.clone());
        let stream = open(&access, "default", "driver", "main", options).await?;
        let chunks: Vec<_> = stream.into_stream().collect().await;
        let bytes: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap_or_default()).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn all(&self) -> Result<String, (u16, String)> {
        self.logs(LogOptions {
            timestamps: true,
            ..LogOptions::default()
        })
        .await
    }
}

fn line(number: u32) -> String {
    let time = Timestamp::from_millisecond(1_800_000_000_000 + i64::from(number)).expect("in range");
    format!("{time:.9} line {number}\n")
}

async fn done(keeping: tokio::task::JoinHandle<()>) {
    timeout(AGES, keeping).await.expect("it ends").expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_there_when_eci_has_forgotten_it() {
    let scene = Scene::new();
    let keeping = scene.keep();
    for burst in 0..10 {
        scene.world.write((burst * 900..burst * 900 + 900).map(line));
        sleep(Duration::from_secs(40)).await;
    }
    scene
        .world
        .write([line(9_000), "2027-02-01T00:00:00Z without end".to_owned()]);
    scene.world.end();
    done(keeping).await;
    let whole = scene.world.all(0);
    assert!(scene.store.text("main", 0) == whole, "each line once");
    let end = scene.store.end(0).expect("it is over");
    assert!(end.contains(r#""complete":true"#), "{end}");

    // All of it, although ECI has but the newest 2,000 lines; and when it has none.
    let reads = scene.world.reads.load(Ordering::Relaxed);
    assert!(scene.all().await.expect("kept") == whole);
    scene.world.forget();
    assert!(scene.all().await.expect("kept") == whole);
    assert_eq!(scene.world.reads.load(Ordering::Relaxed), reads, "nobody asked ECI");
    let tail = |count| LogOptions {
        tail_lines: Some(count),
        ..LogOptions::default()
    };
    assert_eq!(scene.logs(tail(2)).await.as_deref(), Ok("line 9000\nwithout end"));
    assert_eq!(scene.logs(tail(0)).await.as_deref(), Ok(""));
    let lines = scene.logs(tail(2_600)).await.expect("kept");
    assert!(lines.starts_with("line 6402\n") && lines.lines().count() == 2_600);
    assert_eq!(scene.logs(tail(100_000)).await.expect("kept").lines().count(), 9_002);
    let since = LogOptions {
        since_time: Some("2027-01-15T08:00:08.999Z".parse().expect("a time")),
        limit_bytes: Some(20),
        ..LogOptions::default()
    };
    assert_eq!(scene.logs(since).await.as_deref(), Ok("line 8999\nline 9000\n"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_at_any_moment_loses_and_doubles_nothing() {
    for seed in 0..40_u64 {
        let scene = Scene::new();
        let mut keeping = scene.keep();
        let mut written = 0;
        for step in 0..12_u64 {
            let random = (seed * 7_919 + step * 104_729) % 1_009;
            let more = 1 + u32::try_from(random % 300).expect("small");
            scene.world.write((written..written + more).map(line));
            written += more;
            // Far from and close to the moments at which it reads and writes.
            sleep(Duration::from_millis(200 + random * 37 % 1_800)).await;
            if random % 3 == 0 {
                keeping.abort();
                keeping = scene.keep();
                // The next one has read before too much more comes.
                sleep(Duration::from_millis(700)).await;
            }
        }
        scene.world.end();
        done(keeping).await;
        let (kept, written) = (scene.store.text("main", 0), scene.world.all(0));
        let differs = kept
            .lines()
            .zip(written.lines())
            .find(|(kept, written)| kept != written);
        assert!(kept == written, "seed {seed}: {differs:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_told_once_and_gets_all_when_it_is_back() {
    let scene = Scene::new();
    let keeping = scene.keep();
    sleep(Duration::from_secs(5)).await;
    scene.store.away.store(true, Ordering::Relaxed);
    for burst in 0..5 {
        scene.world.write((burst * 1_000..burst * 1_000 + 1_000).map(line));
        sleep(Duration::from_secs(60)).await;
    }
    scene.world.end();
    sleep(Duration::from_secs(600)).await;
    assert!(!keeping.is_finished());
    {
        let failures = scene.failures.lock().expect("no panics");
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(
            failures[0].contains(PLACE) && failures[0].contains("503"),
            "{failures:?}"
        );
    }
    // Meanwhile what ECI has is shown.
    assert!(scene.all().await.expect("ECI still has it").ends_with(&line(4_999)));
    scene.store.away.store(false, Ordering::Relaxed);
    done(keeping).await;
    assert!(scene.store.text("main", 0) == scene.world.all(0), "all is there");
}

#[tokio::test(start_paused = true)]
async fn each_run_is_kept_by_itself() {
    let scene = Scene::new();
    let keeping = scene.keep();
    scene.world.write((0..10).map(line));
    sleep(Duration::from_secs(30)).await;
    scene.world.write((10..20).map(line));
    *scene.world.restarts.lock().expect("no panics") = 1;
    scene.world.write((20..30).map(line));
    sleep(Duration::from_secs(30)).await;
    scene.world.end();
    done(keeping).await;
    scene.world.forget();
    assert_eq!(scene.all().await, Ok((20..30).map(line).collect()));
    let previous = LogOptions {
        previous: true,
        timestamps: true,
        ..LogOptions::default()
    };
    assert_eq!(scene.logs(previous).await, Ok((0..20).map(line).collect()));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_nobody_has_is_told_with_where_it_would_be() {
    let scene = Scene::new();
    scene.world.write([line(0)]);
    scene.world.forget();
    let (code, text) = scene.all().await.expect_err("nobody kept it");
    assert_eq!(code, 400);
    assert!(
        text.starts_with("unable to retrieve container logs for container \"main\" in pod \"driver\""),
        "{text}"
    );
    assert!(text.contains(PLACE), "{text}");
    scene.store.away.store(true, Ordering::Relaxed);
    let (_, text) = scene.all().await.expect_err("nobody can tell");
    assert!(text.contains("cannot be read: 503"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_not_read_to_its_end_says_so() {
    let scene = Scene::new();
    let keeping = scene.keep();
    scene.world.write((0..600).map(line));
    sleep(Duration::from_secs(90)).await;
    keeping.abort();
    scene.world.forget();
    let text = scene.all().await.expect("something is there");
    let rest = text
        .strip_prefix(&(0..600).map(line).collect::<String>())
        .expect("what there was");
    assert!(rest.contains("not in the log archive"), "{rest}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_pod_costs_few_calls() {
    let scene = Scene::new();
    let keeping = scene.keep();
    sleep(Duration::from_secs(3_600)).await;
    let reads = scene.world.reads.load(Ordering::Relaxed);
    assert!(reads <= 140, "one in half a minute: {reads}");
    keeping.abort();
}
