//! Followed logs by a clock that jumps, against a cloud that returns what ECI does.

use std::collections::HashMap;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::{sleep, timeout};

use super::*;
use crate::kubelet::logs::query::LogOptions;
use crate::kubelet::logs::stream::{LogAccess, LogStream};
use crate::kubelet::lookup::{ContainerEntry, PodEntry};

/// Far beyond what anything here takes; passes at once.
const AGES: Duration = Duration::from_secs(3600);

/// Logs by group, and how often each was read.
#[derive(Default)]
struct World {
    logs: Mutex<HashMap<String, Vec<String>>>,
    reads: Mutex<Vec<(Instant, String)>>,
    ended: Mutex<bool>,
    /// Whether what is too long is cut within a line.
    cuts_lines: bool,
}

impl World {
    fn write(&self, group: &str, lines: impl IntoIterator<Item = String>) {
        let mut logs = self.logs.lock().expect("no panics");
        logs.entry(group.to_owned()).or_default().extend(lines);
    }

    /// Writes lines with these numbers.
    fn count(&self, group: &str, numbers: std::ops::Range<u32>) {
        self.write(group, numbers.map(line));
    }

    fn reads(&self, group: &str) -> usize {
        let reads = self.reads.lock().expect("no panics");
        reads.iter().filter(|(_, of)| of == group).count()
    }

    fn access(self: &Arc<Self>) -> LogAccess {
        let metrics = Metrics::new().expect("registers");
        LogAccess::new(self.clone(), self.clone(), LogBudget::new(Some(500)), metrics)
    }
}

impl LogSource for World {
    fn read(&self, read: LogRead) -> BoxFuture<'static, Result<String, LogError>> {
        let mut reads = self.reads.lock().expect("no panics");
        reads.push((clock::monotonic(), read.group_id.clone()));
        let logs = self.logs.lock().expect("no panics");
        let none = Vec::new();
        let log = logs.get(&read.group_id).unwrap_or(&none);
        let since = read
            .since
            .map(|since| Timestamp::from_second(since.as_second()).expect("in range"));
        let young =
            |line: &&String| since.is_none_or(|since| split_timestamp(line).is_none_or(|(time, _)| time >= since));
        let mut left = MAX_BYTES;
        let mut newest: Vec<&str> = Vec::new();
        for line in log.iter().filter(young).rev().take(read.tail as usize) {
            if line.len() > left {
                if self.cuts_lines {
                    newest.push(&line[line.len() - left..]);
                }
                break;
            }
            left -= line.len();
            newest.push(line);
        }
        newest.reverse();
        let text = newest.concat();
        async move { Ok(text) }.boxed()
    }
}

impl PodLookup for World {
    fn group_of(&self, _: &str, pod: &str, _: Option<&str>) -> Option<PodEntry> {
        let ended = *self.ended.lock().expect("no panics");
        let container = ContainerEntry {
            name: "main".to_owned(),
            state: if ended {
                ContainerRun::Terminated
            } else {
                ContainerRun::Running
            },
            restart_count: 0,
            has_previous: false,
        };
        Some(PodEntry {
            uid: pod.to_owned(),
            group_id: Some(pod.to_owned()),
            ip: None,
            containers: vec![container],
        })
    }
}

fn target(group: &str) -> Target {
    Target {
        namespace: "default".to_owned(),
        pod: group.to_owned(),
        uid: group.to_owned(),
        group_id: group.to_owned(),
        container: "main".to_owned(),
        restart_count: 0,
    }
}

/// Ten lines a millisecond, so that many have the same second and some the same time.
fn line(number: u32) -> String {
    let time = Timestamp::from_millisecond(1_800_000_000_000 + i64::from(number / 10)).expect("in range");
    format!("{time:.9} line {number}\n")
}

/// A client that collects what it is sent.
struct Client {
    stream: std::pin::Pin<Box<dyn futures::Stream<Item = Result<bytes::Bytes, std::convert::Infallible>> + Send>>,
    text: String,
}

impl Client {
    async fn follow(access: &LogAccess, group: &str) -> Self {
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let stream = LogStream::open(access.clone(), target(group), options).await;
        let Ok(stream) = stream.map(LogStream::into_stream) else {
            panic!("opens")
        };
        Self {
            stream: Box::pin(stream),
            text: String::new(),
        }
    }

    /// Reads until `count` lines came in all.
    async fn lines(&mut self, count: usize) {
        while self.text.matches('\n').count() < count {
            let chunk = timeout(AGES, self.stream.next()).await.expect("more comes");
            let chunk = chunk.expect("it goes on").expect("no error");
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Reads until what came ends so.
    async fn until(&mut self, end: &str) {
        while !self.text.ends_with(end) {
            self.lines(self.text.matches('\n').count() + 1).await;
        }
    }

    async fn end(&mut self) {
        while let Some(Ok(chunk)) = timeout(AGES, self.stream.next()).await.expect("ends") {
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

fn numbered(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("line {number}\n")).collect()
}

#[tokio::test(start_paused = true)]
async fn twenty_thousand_lines_in_bursts_while_twenty_others_follow() {
    let world = Arc::new(World::default());
    let access = world.access();
    let mut quiet = Vec::new();
    for n in 0..20 {
        quiet.push(Client::follow(&access, &format!("quiet-{n}")).await);
    }
    let mut client = Client::follow(&access, "driver").await;
    let mut written = 0;
    while written < 20_000 {
        let burst = (written + 1_999).min(20_000);
        world.count("driver", written..burst);
        written = burst;
        client.lines(written as usize).await;
    }
    assert!(client.text == numbered(0..20_000), "each line once");

    // Who spoke last long ago is heard all the same.
    sleep(Duration::from_secs(600)).await;
    let asked = clock::monotonic();
    world.count("quiet-7", 0..1);
    quiet[7].lines(1).await;
    assert!(asked.elapsed() < Duration::from_secs(16), "{:?}", asked.elapsed());

    let reads = world.reads.lock().expect("no panics");
    for (index, (begin, _)) in reads.iter().enumerate() {
        let within = reads[index..]
            .iter()
            .take_while(|(at, _)| *at < *begin + Duration::from_secs(60))
            .count();
        // The first reading of each is a request of its own.
        assert!(within <= 400 + 21, "{within} calls in a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_told_and_what_comes_after_it_is_not_lost() {
    let world = Arc::new(World::default());
    world.count("driver", 0..10);
    let mut client = Client::follow(&world.access(), "driver").await;
    world.count("driver", 10..2_500);
    client.lines(2_011).await;
    world.count("driver", 2_500..2_600);
    client.lines(2_111).await;
    let notice = client.text.lines().nth(10).unwrap_or_default().to_owned();
    assert!(
        notice.contains("lines are missing here, their number is unknown"),
        "{notice}"
    );
    assert_eq!(
        client.text,
        format!("{}{notice}\n{}", numbered(0..10), numbered(500..2_600))
    );
}

#[tokio::test(start_paused = true)]
async fn all_who_follow_a_container_share_its_readings() {
    let world = Arc::new(World::default());
    let access = world.access();
    world.count("driver", 0..10);
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::follow(&access, "driver").await);
    }
    let opened = world.reads("driver");
    assert_eq!(opened, 20, "one each, to begin with");
    for burst in 1..10_u32 {
        world.count("driver", burst * 10..burst * 10 + 10);
        for client in &mut clients {
            client.lines((burst * 10 + 10) as usize).await;
        }
    }
    assert!(clients.iter().all(|client| client.text == numbered(0..100)));
    let polls = world.reads("driver") - opened;
    assert!(
        (9..=12).contains(&polls),
        "one for each burst, not for each client: {polls}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_gets_the_lines_from_then_on_once() {
    let world = Arc::new(World::default());
    let access = world.access();
    world.count("driver", 0..10);
    let mut early = Client::follow(&access, "driver").await;
    // Seen by nobody yet when the second comes.
    world.count("driver", 10..20);
    let mut late = Client::follow(&access, "driver").await;
    world.count("driver", 20..30);
    *world.ended.lock().expect("no panics") = true;
    early.end().await;
    late.end().await;
    assert_eq!(early.text, numbered(0..30));
    assert_eq!(late.text, numbered(0..30));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_those_who_left() {
    let world = Arc::new(World::default());
    let access = world.access();
    let (first, second) = (
        Client::follow(&access, "driver").await,
        Client::follow(&access, "driver").await,
    );
    drop(first);
    sleep(Duration::from_secs(5)).await;
    let followed = world.reads("driver");
    assert!(followed > 2, "the other still follows");
    drop(second);
    sleep(AGES).await;
    assert_eq!(world.reads("driver"), followed);
    assert!(access_is_empty(&access));
}

fn access_is_empty(access: &LogAccess) -> bool {
    access.feeds().0.feeds.lock().expect("no panics").is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_wakes_a_log_that_was_quiet() {
    let world = Arc::new(World::default());
    let access = world.access();
    let mut early = Client::follow(&access, "driver").await;
    sleep(AGES).await;
    let mut late = Client::follow(&access, "driver").await;
    world.count("driver", 0..1);
    let asked = clock::monotonic();
    late.lines(1).await;
    assert!(asked.elapsed() <= Duration::from_millis(600), "{:?}", asked.elapsed());
    early.lines(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_longer_than_eci_returns_is_no_reason_to_lose_the_next() {
    for cuts_lines in [false, true] {
        let world = Arc::new(World {
            cuts_lines,
            ..World::default()
        });
        world.count("driver", 0..2);
        let mut client = Client::follow(&world.access(), "driver").await;
        let time = line(20).split_once(' ').expect("a time").0.to_owned();
        world.write("driver", [format!("{time} {}\n", "x".repeat(MAX_BYTES + 5))]);
        sleep(Duration::from_secs(5)).await;
        world.count("driver", 30..32);
        client.until("line 31\n").await;
        // Now the long line and some before it are cut off, and the overlap begins after them.
        world.count("driver", 32..34);
        client.until("line 33\n").await;
        assert!(client.text.contains("lines are missing here"), "{cuts_lines}");
        assert!(client.text.starts_with(&numbered(0..2)), "{cuts_lines}");
        assert!(client.text.ends_with(&numbered(30..34)), "{cuts_lines}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_is_cut_within_a_line_overlaps_with_the_rest() {
    let world = Arc::new(World {
        cuts_lines: true,
        ..World::default()
    });
    let long = |number: u32| line(number).replace("line", &"y".repeat(400_000));
    world.write("driver", (0..3).map(long));
    let mut client = Client::follow(&world.access(), "driver").await;
    world.write("driver", [long(3)]);
    client.lines(5).await;
    let ends: Vec<&str> = client.text.lines().map(|line| &line[line.len() - 2..]).collect();
    assert_eq!(
        ends[1..],
        [" 0", " 1", " 2", " 3"],
        "after the notice that the first is cut"
    );
    assert_eq!(client.text.matches("[virtual-node").count(), 1);
}
