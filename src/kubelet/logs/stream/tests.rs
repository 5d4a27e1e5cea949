use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::time::timeout;

use super::*;
use crate::kubelet::lookup::{ContainerEntry, ContainerRun, PodEntry};

/// A log that grows with each reading, as far as `window` lines back.
#[derive(Default)]
struct Script {
    log: Mutex<String>,
    previous: Mutex<String>,
    /// What is appended before each reading; `Err` = the reading fails.
    steps: Mutex<Vec<Result<String, LogError>>>,
    window: usize,
    reads: Mutex<Vec<LogRead>>,
    run: Mutex<Option<(ContainerRun, i32)>>,
}

impl Script {
    fn new(start: &str, steps: &[&str]) -> Arc<Self> {
        let steps = steps.iter().rev().map(|step| Ok((*step).to_owned())).collect();
        Arc::new(Self {
            log: Mutex::new(start.to_owned()),
            steps: Mutex::new(steps),
            window: MAX_LINES,
            run: Mutex::new(Some((ContainerRun::Running, 0))),
            ..Self::default()
        })
    }

    fn access(self: &Arc<Self>) -> LogAccess {
        let metrics = Metrics::new().expect("registers");
        LogAccess::new(self.clone(), self.clone(), LogBudget::hasty(), metrics)
    }
}

impl LogSource for Script {
    fn read(&self, read: LogRead) -> BoxFuture<'static, Result<String, LogError>> {
        let mut reads = self.reads.lock().expect("no panics");
        let first = reads.is_empty();
        reads.push(read.clone());
        let mut log = self.log.lock().expect("no panics");
        if !first && !read.previous {
            match self.steps.lock().expect("no panics").pop() {
                Some(Ok(more)) => log.push_str(&more),
                Some(Err(error)) => return async { Err(error) }.boxed(),
                // Nothing more will be written: the container ends.
                None => *self.run.lock().expect("no panics") = Some((ContainerRun::Terminated, 0)),
            }
        }
        let text = if read.previous {
            self.previous.lock().expect("no panics").clone()
        } else {
            log.clone()
        };
        let all: Vec<&str> = lines(&text);
        let since = read
            .since
            .map(|since| Timestamp::from_second(since.as_second()).expect("in range"));
        let young = |line: &&str| since.is_none_or(|since| split_timestamp(line).is_none_or(|(time, _)| time >= since));
        let kept: Vec<&str> = all.into_iter().filter(young).collect();
        let window = self.window.min(usize::try_from(read.tail).expect("small"));
        let answer = kept[kept.len().saturating_sub(window)..].concat();
        async move { Ok(answer) }.boxed()
    }
}

impl PodLookup for Script {
    fn group_of(&self, _: &str, _: &str, _: Option<&str>) -> Option<PodEntry> {
        let (state, restart_count) = self.run.lock().expect("no panics").clone()?;
        let container = ContainerEntry {
            name: "main".to_owned(),
            state,
            restart_count,
            has_previous: restart_count > 0,
        };
        Some(PodEntry {
            uid: "u".to_owned(),
            group_id: Some("eci-1".to_owned()),
            ip: None,
            containers: vec![container],
        })
    }
}

fn target() -> Target {
    Target {
        namespace: "default".to_owned(),
        pod: "p".to_owned(),
        uid: "u".to_owned(),
        group_id: "eci-1".to_owned(),
        container: "main".to_owned(),
        restart_count: 0,
    }
}

fn line(second: u32, text: &str) -> String {
    format!(
        "2026-01-02T03:{:02}:{:02}.000000001Z {text}\n",
        second / 60,
        second % 60
    )
}

async fn collect(script: &Arc<Script>, options: LogOptions) -> String {
    let stream = LogStream::open(script.access(), target(), options)
        .await
        .expect("opens")
        .into_stream();
    let all = stream.fold(Vec::new(), |mut all, chunk| async move {
        all.extend_from_slice(&chunk.unwrap_or_default());
        all
    });
    let all = timeout(Duration::from_secs(20), all).await.expect("the stream ends");
    String::from_utf8(all).expect("text")
}

fn follow() -> LogOptions {
    LogOptions {
        follow: true,
        ..LogOptions::default()
    }
}

#[tokio::test]
async fn a_followed_log_is_sent_once_and_ends_with_its_container() {
    let (one, two, three) = (line(1, "one"), line(2, "two"), line(3, "three"));
    let script = Script::new(&one, &["", &two, "", &format!("{two}{three}")]);
    assert_eq!(collect(&script, follow()).await, "one\ntwo\ntwo\nthree\n");
    let reads = script.reads.lock().expect("no panics");
    assert_eq!(
        reads[1].since,
        Some("2026-01-02T03:00:00.000000001Z".parse().expect("time")),
        "only the end is read again"
    );
}

#[tokio::test]
async fn lines_written_as_the_container_ends_are_not_lost() {
    let script = Script::new("", &[]);
    *script.run.lock().expect("no panics") = Some((ContainerRun::Terminated, 0));
    script.steps.lock().expect("no panics").push(Ok(line(5, "last words")));
    assert_eq!(collect(&script, follow()).await, "last words\n");
}

#[tokio::test]
async fn a_tail_is_taken_once_and_then_everything_follows() {
    let start: String = (1..=5).map(|n| line(n, &n.to_string())).collect();
    let more: String = (6..=9).map(|n| line(n, &n.to_string())).collect();
    let options = LogOptions {
        tail_lines: Some(2),
        timestamps: false,
        ..follow()
    };
    assert_eq!(
        collect(&Script::new(&start, &[&more]), options).await,
        "4\n5\n6\n7\n8\n9\n"
    );
}

#[tokio::test]
async fn a_gap_is_announced_where_it_is() {
    let more: String = (2..=9).map(|n| line(n, &n.to_string())).collect();
    let mut script = Script::new(&line(1, "1"), &["", &more]);
    Arc::get_mut(&mut script).expect("not shared").window = 3;
    assert_eq!(
        collect(&script, follow()).await,
        format!("1\n{}7\n8\n9\n", Piece::Gap.notice())
    );
}

#[tokio::test]
async fn failing_readings_are_retried() {
    let script = Script::new(&line(1, "one"), &[]);
    {
        let mut steps = script.steps.lock().expect("no panics");
        steps.push(Ok(line(2, "two")));
        steps.push(Err(LogError::Passing("away".to_owned())));
        steps.push(Err(LogError::Passing("away".to_owned())));
    }
    assert_eq!(collect(&script, follow()).await, "one\ntwo\n");
}

#[tokio::test]
async fn a_group_that_is_gone_ends_the_stream() {
    let script = Script::new(&line(1, "one"), &[]);
    script
        .steps
        .lock()
        .expect("no panics")
        .push(Err(LogError::NotFound("gone".to_owned())));
    assert_eq!(collect(&script, follow()).await, "one\n");
}

#[tokio::test]
async fn a_restart_ends_the_stream_with_the_rest_of_the_run_that_was_followed() {
    let script = Script::new(&line(1, "one"), &[]);
    let stream = LogStream::open(script.access(), target(), follow())
        .await
        .expect("opens");
    *script.log.lock().expect("no panics") = line(9, "of the next run");
    *script.previous.lock().expect("no panics") = line(1, "one") + &line(2, "two");
    *script.run.lock().expect("no panics") = Some((ContainerRun::Running, 1));
    let chunks: Vec<_> = timeout(Duration::from_secs(20), stream.into_stream().collect())
        .await
        .expect("ends");
    let text: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap_or_default()).collect();
    assert_eq!(String::from_utf8_lossy(&text), "one\ntwo\n");
}

#[tokio::test]
async fn the_log_of_a_previous_run_is_read_once() {
    let script = Script::new(&line(9, "now"), &[]);
    *script.previous.lock().expect("no panics") = line(1, "before");
    let options = LogOptions {
        previous: true,
        ..follow()
    };
    assert_eq!(collect(&script, options).await, "before\n");
}

#[tokio::test]
async fn what_eci_leaves_out_is_told_unless_nobody_asked_for_it() {
    let long: String = (0..2_500).map(|n| line(n, &n.to_string())).collect();
    let all = collect(&Script::new(&long, &[]), LogOptions::default()).await;
    assert!(
        all.starts_with(CUT_NOTICE) && all.ends_with("\n2499\n"),
        "{}",
        &all[..200]
    );
    assert_eq!(all.lines().count(), MAX_LINES + 1);
    let tail = LogOptions {
        tail_lines: Some(3),
        ..LogOptions::default()
    };
    assert_eq!(collect(&Script::new(&long, &[]), tail).await, "2497\n2498\n2499\n");
    let limit = LogOptions {
        tail_lines: Some(3),
        limit_bytes: Some(7),
        ..LogOptions::default()
    };
    assert_eq!(collect(&Script::new(&long, &[]), limit).await, "2497\n24");
}

#[tokio::test]
async fn bytes_are_limited_while_following_too() {
    let script = Script::new(&line(1, "one"), &[&line(2, "two"), &line(3, "three")]);
    assert_eq!(
        collect(
            &script,
            LogOptions {
                limit_bytes: Some(6),
                ..follow()
            }
        )
        .await,
        "one\ntw"
    );
}

#[tokio::test]
async fn a_dropped_stream_reads_no_more_and_is_no_longer_counted() {
    let script = Script::new(&line(1, "one"), &[]);
    let access = script.access();
    let metrics = access.metrics.clone();
    let mut stream = Box::pin(
        LogStream::open(access, target(), follow())
            .await
            .expect("opens")
            .into_stream(),
    );
    assert_eq!(metrics.log_streams.get(), 1);
    assert!(stream.next().await.is_some());
    drop(stream);
    assert_eq!(metrics.log_streams.get(), 0);
    assert_eq!(script.reads.lock().expect("no panics").len(), 1);
}

#[tokio::test]
async fn an_error_of_the_first_reading_is_an_error() {
    struct Broken;
    impl LogSource for Broken {
        fn read(&self, _: LogRead) -> BoxFuture<'static, Result<String, LogError>> {
            async { Err(LogError::Refused("no right to read logs".to_owned())) }.boxed()
        }
    }
    let metrics = Metrics::new().expect("registers");
    let access = LogAccess::new(Arc::new(Broken), Script::new("", &[]), LogBudget::hasty(), metrics);
    let error = LogStream::open(access, target(), LogOptions::default()).await.err();
    assert_eq!(error, Some(LogError::Refused("no right to read logs".to_owned())));
}
