//! A log on its way to one client: read once, or followed until its container has ended.
//!
//! # Guarantees of following
//! - Every line that ECI still has when it is asked is sent once, in order.
//! - Lines that ECI no longer has are announced where they are missing.
//! - The stream ends when the container has ended and a reading begun afterwards brought nothing new. It does not go on with
//!   the container's next run, as a kubelet's does not.
//! - When the client goes away, the stream is dropped and asks no more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::budget::{LogBudget, Share};
use super::format::{Writer, select, split_timestamp};
use super::overlap::{MAX_LINES, Overlap, Seen, lines};
use super::query::LogOptions;
use super::source::{LogError, LogRead, LogSource};
use crate::clock;
use crate::kubelet::lookup::{ContainerRun, PodLookup};
use crate::metrics::Metrics;

/// Bytes of one reading at most: ECI's own limit.
const MAX_BYTES: usize = 1 << 20;
/// A stream counts as active for so long after its last line.
const ACTIVE_FOR: Duration = Duration::from_secs(10);
/// How long readings may fail after the container has ended.
const PATIENCE: Duration = Duration::from_secs(60);
/// Readings begin so long before the last line seen, because ECI takes whole seconds.
const OVERLAP: SignedDuration = SignedDuration::from_secs(1);

const CUT_NOTICE: &str =
    "[virtual-node: earlier lines are not shown, ECI returns only the newest 2,000 lines or 1 MiB of a log]\n";
const GAP_NOTICE: &str = "[virtual-node: lines are missing here, their number is unknown: more were written between two \
                          readings than the newest 2,000 lines or 1 MiB that ECI returns]\n";

/// What all streams share.
#[derive(Clone)]
pub struct LogAccess {
    /// Where logs come from.
    pub source: Arc<dyn LogSource>,
    /// The pods of this node.
    pub pods: Arc<dyn PodLookup>,
    /// How often followed logs are read.
    pub budget: LogBudget,
    /// Counts streams and gaps.
    pub metrics: Metrics,
}

/// The run of a container whose log is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Namespace.
    pub namespace: String,
    /// Pod.
    pub pod: String,
    /// The pod's UID.
    pub uid: String,
    /// The pod's container group.
    pub group_id: String,
    /// Container.
    pub container: String,
    /// Its restart count: which run it is.
    pub restart_count: i32,
}

/// A log on its way to one client.
pub struct LogStream {
    access: LogAccess,
    target: Target,
    options: LogOptions,
    /// From when on lines are wanted, fixed when the request came.
    since: Option<Timestamp>,
    writer: Writer,
    seen: Seen,
    /// Time of the last line seen.
    last_time: Option<Timestamp>,
    /// What the first reading brought, until it is sent.
    first: Option<Vec<u8>>,
    following: Option<Following>,
}

struct Following {
    share: Share,
    pause: Duration,
    /// When a reading last brought something new.
    last_news: Instant,
    /// Since when readings fail.
    failing: Option<Instant>,
    metrics: Metrics,
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

impl LogStream {
    /// Reads for the first time, so that an error can still be told as an error.
    ///
    /// # Errors
    /// The reading failed.
    pub async fn open(access: LogAccess, target: Target, options: LogOptions) -> Result<Self, LogError> {
        let now = clock::now();
        let mut stream = Self {
            since: options.since(now),
            writer: Writer::new(&options),
            seen: Seen::default(),
            last_time: None,
            first: None,
            following: None,
            access,
            target,
            options,
        };
        let tail = match stream.options.tail_lines {
            // Following needs lines to find its place by, whatever the client wants to see of them.
            Some(tail) if !stream.options.follow => u32::try_from(tail).unwrap_or(u32::MAX).clamp(1, MAX_LINES as u32),
            _ => MAX_LINES as u32,
        };
        let text = stream.read(tail, stream.since, stream.options.previous).await?;
        let reading = lines(&text);
        let mut out = Vec::new();
        if stream.is_cut(&text, &reading) {
            stream.writer.raw(CUT_NOTICE.as_bytes(), &mut out);
        }
        for line in select(&reading, &stream.options, now) {
            stream.writer.line(line, 0, &mut out);
        }
        stream.first = Some(out);
        // The log of a run that is over does not grow.
        if stream.options.follow && !stream.options.previous {
            stream.seen.advance(&reading);
            stream.note_time(&reading);
            stream.following = Some(Following::new(&stream.access));
        }
        Ok(stream)
    }

    /// The bytes, as they come.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        futures::stream::unfold(self, |mut stream| async move {
            let bytes = stream.next().await?;
            Some((Ok(bytes), stream))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take()
            && !first.is_empty()
        {
            return Some(Bytes::from(first));
        }
        loop {
            let following = self.following.as_mut().filter(|_| !self.writer.is_full())?;
            tokio::time::sleep(following.pause).await;
            // Asked before reading: what is read after the end is all there is.
            let run = self.run();
            let text = self
                .read(MAX_LINES as u32, self.resume_from(), run == Run::Replaced)
                .await;
            let out = match text {
                Ok(text) => self.take_in(&text, run).await,
                Err(LogError::NotFound(_)) => return None,
                Err(error) => Err(error),
            };
            let following = self.following.as_mut()?;
            match out {
                Ok(out) => {
                    following.failing = None;
                    following.settle(!out.is_empty());
                    if !out.is_empty() {
                        return Some(Bytes::from(out));
                    }
                    if run != Run::Going {
                        return None;
                    }
                }
                Err(error) => {
                    let now = clock::monotonic();
                    let since = *following.failing.get_or_insert(now);
                    following.settle(false);
                    if run != Run::Going && now.duration_since(since) > PATIENCE {
                        let mut out = Vec::new();
                        let notice = format!("[virtual-node: the end of the log could not be read: {error}]\n");
                        self.writer.raw(notice.as_bytes(), &mut out);
                        self.following = None;
                        return Some(Bytes::from(out));
                    }
                }
            }
        }
    }

    /// Finds what is new in a reading and formats it.
    async fn take_in(&mut self, text: &str, run: Run) -> Result<Vec<u8>, LogError> {
        let mut out = Vec::new();
        let reading = lines(text);
        if self.write_new(&reading, &mut out) {
            return Ok(out);
        }
        // The reading began at the last line's time. It may be ECI's idea of that time that differs, so everything there is
        // is asked for before lines are called missing.
        let text = self.read(MAX_LINES as u32, None, run == Run::Replaced).await?;
        let reading = lines(&text);
        if !self.write_new(&reading, &mut out) {
            self.access.metrics.log_gaps.inc();
            self.writer.raw(GAP_NOTICE.as_bytes(), &mut out);
            // What is there of a later run is not what was followed.
            if run != Run::Replaced {
                self.seen.restart(&reading);
                self.note_time(&reading);
                reading.iter().for_each(|line| self.writer.line(line, 0, &mut out));
            } else {
                self.following = None;
            }
        }
        Ok(out)
    }

    /// Whether the reading could be laid over what was seen.
    fn write_new(&mut self, reading: &[&str], out: &mut Vec<u8>) -> bool {
        let begins = self.seen.is_empty();
        let (line, skip) = match self.seen.advance(reading) {
            Overlap::From { line, skip } => (line, skip),
            Overlap::Older => return true,
            Overlap::Gap => return false,
        };
        self.note_time(reading);
        for (index, text) in reading.iter().enumerate().skip(line) {
            // The first lines there are may lie in the second that was asked for, and before the time that was.
            let early = begins
                && self
                    .since
                    .is_some_and(|since| split_timestamp(text).is_some_and(|(time, _)| time < since));
            if !early {
                self.writer.line(text, if index == line { skip } else { 0 }, out);
            }
        }
        true
    }

    fn note_time(&mut self, reading: &[&str]) {
        let last = reading.iter().rev().find_map(|line| split_timestamp(line));
        self.last_time = last.map(|(time, _)| time).or(self.last_time);
    }

    /// From when on to read next.
    fn resume_from(&self) -> Option<Timestamp> {
        let last = self.last_time.and_then(|time| time.checked_sub(OVERLAP).ok());
        last.or(self.since)
    }

    /// Whether ECI had to leave out lines that the client asked for.
    fn is_cut(&self, text: &str, reading: &[&str]) -> bool {
        let full = reading.len() >= MAX_LINES || text.len() >= MAX_BYTES;
        let wanted_fewer = self
            .options
            .tail_lines
            .is_some_and(|tail| usize::try_from(tail).is_ok_and(|tail| tail <= reading.len()));
        let oldest = reading
            .iter()
            .find_map(|line| split_timestamp(line))
            .map(|(time, _)| time);
        let reaches_back = matches!((self.since, oldest), (Some(since), Some(oldest)) if oldest < since);
        full && !wanted_fewer && !reaches_back
    }

    fn run(&self) -> Run {
        let target = &self.target;
        let Some(pod) = self
            .access
            .pods
            .group_of(&target.namespace, &target.pod, Some(&target.uid))
        else {
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

    async fn read(&self, tail: u32, since: Option<Timestamp>, previous: bool) -> Result<String, LogError> {
        let read = LogRead {
            group_id: self.target.group_id.clone(),
            container: self.target.container.clone(),
            tail,
            since,
            previous,
        };
        self.access.source.read(read).await
    }
}

impl Following {
    fn new(access: &LogAccess) -> Self {
        access.metrics.log_streams.inc();
        let mut share = access.budget.join();
        let pause = share.pause(true);
        Self {
            share,
            pause,
            last_news: clock::monotonic(),
            failing: None,
            metrics: access.metrics.clone(),
        }
    }

    fn settle(&mut self, news: bool) {
        let now = clock::monotonic();
        if news {
            self.last_news = now;
        }
        self.pause = self.share.pause(now.duration_since(self.last_news) < ACTIVE_FOR);
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.metrics.log_streams.dec();
    }
}

#[cfg(test)]
mod tests;
