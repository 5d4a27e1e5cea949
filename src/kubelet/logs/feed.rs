//! The newest part of a container's log, read once for all who follow it.
//!
//! ```text
//! ECI ◄── poll (one for each run of a container) ──► overlap ──► ring ─┬─► follower
//!                        ▲ pause: budget                               └─► follower …
//! ```
//!
//! # Guarantees
//! - Every line that ECI still has when it is asked is passed on once, in order, to each reader that keeps up.
//! - Lines that ECI no longer has are announced where they are missing.
//! - A feed ends when its container has ended and a reading begun afterwards brought nothing new. It does not go on with
//!   the container's next run, as a kubelet's log does not.
//! - When its last reader goes away, nothing is asked any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::budget::{LogBudget, Pace, Share};
use super::format::split_timestamp;
use super::overlap::{MAX_BYTES, MAX_LINES, Overlap, Seen, lines};
use super::ring::{Piece, Ring};
use super::source::{LogError, LogRead, LogSource};
use super::stream::Target;
use crate::clock;
use crate::kubelet::lookup::{ContainerRun, PodLookup};
use crate::metrics::Metrics;

/// Readings begin so long before the last line seen, because ECI takes whole seconds.
const OVERLAP: SignedDuration = SignedDuration::from_secs(1);
/// How long readings may fail after the container has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause while lines come, and while they come in such numbers that the next may be too many.
const BUSY: Pace = Pace::Eager(Duration::from_millis(500));
const FULL: Pace = Pace::Eager(Duration::from_millis(200));
/// A reading with so much news calls for the next one soon: part of what ECI returns.
const FULL_SHARE: f64 = 0.25;
/// A log counts as busy for so long after its last line; then the pause grows with the silence, between these.
const BUSY_FOR: Duration = Duration::from_secs(10);
const QUIET_AT_LEAST: Duration = Duration::from_secs(2);
const QUIET_AT_MOST: Duration = Duration::from_secs(10);
/// Where nobody waits for the lines, but none is to be lost.
const KEEPING_AT_LEAST: Duration = Duration::from_millis(500);
const KEEPING_AT_MOST: Duration = Duration::from_secs(30);
/// After a reading that failed.
const AFTER_FAILURE: Pace = Pace::Patient(Duration::from_secs(2));

/// The feeds of one node, by run of a container.
#[derive(Clone)]
pub(super) struct Feeds(Arc<Inner>);

struct Inner {
    source: Arc<dyn LogSource>,
    pods: Arc<dyn PodLookup>,
    budget: LogBudget,
    metrics: Metrics,
    feeds: Mutex<HashMap<Target, Weak<Feed>>>,
}

/// Who reads a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Somebody who looks at it.
    Follower,
    /// The archive.
    Archive,
}

/// How a feed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All was read.
    Complete,
    /// What was written last may be missing: the group or the run is gone, or could not be read.
    Cut,
}

/// A feed's log as of now, and what comes.
pub(super) struct Joined {
    /// All that ECI returns of the log.
    pub(super) text: String,
    /// What comes after it.
    pub(super) subscription: Subscription,
}

/// A reader's place in a feed; it leaves when dropped.
pub(super) struct Subscription {
    feed: Arc<Feed>,
    audience: Audience,
    reader: u64,
    changed: watch::Receiver<()>,
}

struct Feed {
    all: Feeds,
    target: Target,
    /// Held while reading: readings are put together one after the other.
    reading: tokio::sync::Mutex<Reading>,
    shared: Mutex<Shared>,
    changed: watch::Sender<()>,
    /// A reader came that waits for lines.
    hurry: Arc<Notify>,
    _stop: DropGuard,
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    seen: Seen,
    /// Time of the last line seen.
    last_time: Option<Timestamp>,
    /// What ends the polling; none = it has begun.
    stop: Option<CancellationToken>,
}

/// What readers see.
#[derive(Default)]
struct Shared {
    ring: Ring,
    followers: usize,
    /// The container is about to end.
    ending: bool,
    end: Option<End>,
}

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// The container runs.
    Going,
    /// It has ended; its log is the current one.
    Ended,
    /// A later run has begun; its log is the previous one.
    Replaced,
}

/// What a reading brought.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    lines: usize,
    bytes: usize,
    gap: bool,
}

impl News {
    /// How full of news the reading was.
    fn share(self) -> f64 {
        let lines = self.lines as f64 / MAX_LINES as f64;
        lines.max(self.bytes as f64 / MAX_BYTES as f64)
    }

    fn is_any(self) -> bool {
        self.bytes > 0 || self.gap
    }
}

impl Feeds {
    pub(super) fn new(
        source: Arc<dyn LogSource>,
        pods: Arc<dyn PodLookup>,
        budget: LogBudget,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            source,
            pods,
            budget,
            metrics,
            feeds: Mutex::default(),
        }))
    }

    /// Reads the log of `target` and follows it.
    pub(super) async fn join(&self, target: &Target, audience: Audience) -> Result<Joined, LogError> {
        let feed = self.feed(target);
        let mut reading = feed.reading.lock().await;
        let run = feed.run();
        let text = feed.read(None, run).await?;
        feed.take_in(&mut reading, &text, run).await?;
        let subscription = feed.subscribe(audience);
        if let Some(stop) = reading.stop.take() {
            let share = self.0.budget.join(BUSY);
            let hurry = feed.hurry.clone();
            tokio::spawn(poll(Arc::downgrade(&feed), share, stop, hurry));
        } else {
            feed.hurry.notify_one();
        }
        drop(reading);
        Ok(Joined { text, subscription })
    }

    /// The feed of `target`, or a new one if there is none or it has ended.
    fn feed(&self, target: &Target) -> Arc<Feed> {
        // Outlives the lock: a feed's end takes it, too.
        let known;
        let mut feeds = self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        known = feeds.get(target).and_then(Weak::upgrade);
        if let Some(feed) = &known
            && feed.shared().end.is_none()
        {
            return feed.clone();
        }
        let stop = CancellationToken::new();
        let feed = Arc::new(Feed {
            all: self.clone(),
            target: target.clone(),
            reading: tokio::sync::Mutex::new(Reading {
                stop: Some(stop.clone()),
                ..Reading::default()
            }),
            shared: Mutex::default(),
            changed: watch::Sender::new(()),
            hurry: Arc::default(),
            _stop: stop.drop_guard(),
        });
        feeds.insert(target.clone(), Arc::downgrade(&feed));
        drop(feeds);
        feed
    }
}

/// Reads until the feed has ended or nobody wants it any more.
async fn poll(feed: Weak<Feed>, mut share: Share, stop: CancellationToken, hurry: Arc<Notify>) {
    let mut pause = share.pause(BUSY);
    let mut last_news = clock::monotonic();
    let mut last_reading = last_news;
    let mut failing: Option<Instant> = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = hurry.notified() => {
                last_news = clock::monotonic();
                pause = share.pause(BUSY);
                continue;
            }
            () = tokio::time::sleep(pause) => {}
        }
        let Some(feed) = feed.upgrade() else { return };
        let (run, result) = feed.advance().await;
        let now = clock::monotonic();
        let pace = match result {
            Ok(news) => {
                failing = None;
                if !news.is_any() && run != Run::Going {
                    return feed.end(End::Complete);
                }
                if news.gap && run == Run::Replaced {
                    return feed.end(End::Cut);
                }
                if news.is_any() {
                    last_news = now;
                }
                let since = now.duration_since(last_reading);
                last_reading = now;
                feed.pace(news, now.duration_since(last_news), since, run)
            }
            Err(LogError::NotFound(_)) => return feed.end(End::Cut),
            Err(error) => {
                let since = *failing.get_or_insert(now);
                if run != Run::Going && now.duration_since(since) > PATIENCE {
                    feed.shared().ring.push_unread(&error.to_string());
                    return feed.end(End::Cut);
                }
                AFTER_FAILURE
            }
        };
        pause = share.pause(pace);
    }
}

impl Feed {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(self: &Arc<Self>, audience: Audience) -> Subscription {
        let mut shared = self.shared();
        if audience == Audience::Follower {
            shared.followers += 1;
        }
        Subscription {
            feed: self.clone(),
            audience,
            reader: shared.ring.join(),
            changed: self.changed.subscribe(),
        }
    }

    fn end(&self, end: End) {
        self.shared().end = Some(end);
        self.changed.send_replace(());
    }

    /// How soon to read again.
    fn pace(&self, news: News, silence: Duration, since: Duration, run: Run) -> Pace {
        let (followed, ending) = {
            let shared = self.shared();
            (shared.followers > 0, shared.ending)
        };
        if news.share() >= FULL_SHARE {
            return FULL;
        }
        if run != Run::Going || ending || (followed && silence < BUSY_FOR) {
            return BUSY;
        }
        if followed {
            return Pace::Patient((silence / 30).clamp(QUIET_AT_LEAST, QUIET_AT_MOST));
        }
        // So that the next reading brings a quarter of what ECI returns, if the lines go on coming as they do; and never
        // suddenly long after a time when many came.
        let growth = (FULL_SHARE / news.share().max(1e-6)).min(2.0);
        let pause = since
            .max(KEEPING_AT_LEAST)
            .mul_f64(growth)
            .clamp(KEEPING_AT_LEAST, KEEPING_AT_MOST);
        Pace::Patient(pause)
    }

    /// Reads what is new.
    async fn advance(&self) -> (Run, Result<News, LogError>) {
        let mut reading = self.reading.lock().await;
        // Asked before reading: what is read after the end is all there is.
        let run = self.run();
        let since = reading.last_time.and_then(|time| time.checked_sub(OVERLAP).ok());
        let result = match self.read(since, run).await {
            Ok(text) => self.take_in(&mut reading, &text, run).await,
            Err(error) => Err(error),
        };
        (run, result)
    }

    /// Finds what is new in a reading and passes it on.
    async fn take_in(&self, reading: &mut Reading, text: &str, run: Run) -> Result<News, LogError> {
        if let Some(news) = self.pass_on(reading, text) {
            return Ok(news);
        }
        // The reading began at the last line's time. It may be ECI's idea of that time that differs, so everything there is
        // is asked for before lines are called missing.
        let text = self.read(None, run).await?;
        if let Some(news) = self.pass_on(reading, &text) {
            return Ok(news);
        }
        self.all.0.metrics.log_gaps.inc();
        self.shared().ring.push_gap();
        let mut news = News {
            gap: true,
            ..News::default()
        };
        // What is there of a later run is not what was followed.
        if run != Run::Replaced {
            let whole = lines(&text);
            reading.seen.restart(&whole);
            reading.note_time(&whole);
            news.lines = whole.len();
            news.bytes = text.len();
            self.shared().ring.push_lines(&text, 0);
        }
        self.changed.send_replace(());
        Ok(news)
    }

    /// Passes on what is new, if the reading could be laid over what was seen.
    fn pass_on(&self, reading: &mut Reading, text: &str) -> Option<News> {
        let all = lines(text);
        let mut from = reading.seen.advance(&all);
        let mut whole = all.as_slice();
        if from == Overlap::Gap && text.len() + FRAGMENT_MARGIN >= MAX_BYTES && all.len() > 1 {
            // What is too long may be cut within its first line.
            whole = &all[1..];
            from = reading.seen.advance(whole);
        }
        let (line, skip) = match from {
            Overlap::From { line, skip } => (line, skip),
            Overlap::Older => return Some(News::default()),
            Overlap::Gap => return None,
        };
        reading.note_time(whole);
        let new = &whole[line.min(whole.len())..];
        let bytes = new.iter().map(|line| line.len()).sum::<usize>();
        let news = News {
            lines: new.len(),
            bytes: bytes.saturating_sub(skip),
            gap: false,
        };
        if news.bytes > 0 {
            self.shared().ring.push_lines(&text[text.len() - bytes..], skip);
            self.changed.send_replace(());
        }
        Some(news)
    }

    fn run(&self) -> Run {
        let target = &self.target;
        let pods = &self.all.0.pods;
        let Some(pod) = pods.group_of(&target.namespace, &target.pod, Some(&target.uid)) else {
            return Run::Ended;
        };
        if pod.group_id.as_ref() != Some(&target.group_id) {
            return Run::Ended;
        }
        match pod.container(&target.container) {
            Some(container) if container.restart_count != target.restart_count => Run::Replaced,
            Some(container) if container.state == ContainerRun::Running => Run::Going,
            _ => Run::Ended,
        }
    }

    async fn read(&self, since: Option<Timestamp>, run: Run) -> Result<String, LogError> {
        let read = LogRead {
            group_id: self.target.group_id.clone(),
            container: self.target.container.clone(),
            tail: MAX_LINES as u32,
            since,
            previous: run == Run::Replaced,
        };
        self.all.0.source.read(read).await
    }
}

/// ECI's limit is of bytes, and a text that was cut within a line may be some bytes short of it.
const FRAGMENT_MARGIN: usize = 4;

impl Reading {
    fn note_time(&mut self, reading: &[&str]) {
        let last = reading.iter().rev().find_map(|line| split_timestamp(line));
        self.last_time = last.map(|(time, _)| time).or(self.last_time);
    }
}

impl Subscription {
    /// The next piece; `None` = the feed has ended.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        loop {
            self.changed.borrow_and_update();
            {
                let mut shared = self.feed.shared();
                if let Some(piece) = shared.ring.take(self.reader) {
                    return Some(piece);
                }
                if shared.end.is_some() {
                    return None;
                }
            }
            self.changed.changed().await.ok()?;
        }
    }

    /// How the feed ended, once it has.
    pub(super) fn end(&self) -> Option<End> {
        self.feed.shared().end
    }

    /// The container is about to end: what it writes last is wanted, too.
    pub(super) fn expect_end(&self) {
        let before = std::mem::replace(&mut self.feed.shared().ending, true);
        if !before {
            self.feed.hurry.notify_one();
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut shared = self.feed.shared();
        shared.ring.leave(self.reader);
        if self.audience == Audience::Follower {
            shared.followers = shared.followers.saturating_sub(1);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut feeds = self.all.0.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        // A new one may have taken its place.
        if feeds.get(&self.target).is_some_and(|feed| feed.strong_count() == 0) {
            feeds.remove(&self.target);
        }
    }
}

#[cfg(test)]
mod tests;
