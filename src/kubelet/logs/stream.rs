//! A log on its way to one client: read once, or followed until its container has ended.
//!
//! What following promises is said in [`super::feed`]. When the client goes away, its stream is dropped and asks no more.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;

use super::archive::{Archive, ArchivedLog};
use super::budget::LogBudget;
use super::feed::{Audience, Feeds, Joined, Subscription};
use super::format::{Writer, newest, split_timestamp};
use super::overlap::{MAX_BYTES, MAX_LINES, lines};
use super::query::LogOptions;
use super::ring::Piece;
use super::source::{LogError, LogRead, LogSource};
use crate::clock;
use crate::kubelet::lookup::PodLookup;
use crate::metrics::Metrics;

const CUT_NOTICE: &str =
    "[virtual-node: lines before these are not shown, ECI returns only the newest 2,000 lines or 1 MiB of a log]\n";
/// What all streams share.
#[derive(Clone)]
pub struct LogAccess {
    /// Where logs come from.
    pub source: Arc<dyn LogSource>,
    /// The pods of this node.
    pub pods: Arc<dyn PodLookup>,
    /// Counts streams and gaps.
    pub metrics: Metrics,
    /// Where logs are kept beyond their groups.
    pub archive: Option<Archive>,
    feeds: Feeds,
}

impl LogAccess {
    /// Logs from `source` of `pods`, followed within `budget`.
    pub fn new(source: Arc<dyn LogSource>, pods: Arc<dyn PodLookup>, budget: LogBudget, metrics: Metrics) -> Self {
        Self {
            feeds: Feeds::new(source.clone(), pods.clone(), budget, metrics.clone()),
            source,
            pods,
            metrics,
            archive: None,
        }
    }

    /// The same, with an archive.
    #[must_use]
    pub fn with_archive(self, archive: Archive) -> Self {
        Self {
            archive: Some(archive),
            ..self
        }
    }

    /// What is followed at the time.
    pub(super) fn feeds(&self) -> &Feeds {
        &self.feeds
    }
}

/// The run of a container whose log is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    writer: Writer,
    /// What the first reading brought, until it is sent.
    first: Vec<u8>,
    rest: Rest,
}

/// What comes after the first reading.
enum Rest {
    Nothing,
    Followed(Following),
    Archived(ArchivedLog),
}

struct Following {
    subscription: Subscription,
    metrics: Metrics,
}

impl LogStream {
    /// Reads for the first time, so that an error can still be told as an error.
    ///
    /// # Errors
    /// The reading failed.
    pub async fn open(access: LogAccess, target: Target, options: LogOptions) -> Result<Self, LogError> {
        let now = clock::now();
        let mut writer = Writer::new(&options, now);
        // The log of a run that is over does not grow.
        let (text, rest) = if options.follow && !options.previous {
            // Following needs lines to find its place by, whatever the client wants to see of them.
            let Joined { text, subscription } = access.feeds.join(&target, Audience::Follower).await?;
            (
                text,
                Rest::Followed(Following::new(subscription, access.metrics.clone())),
            )
        } else {
            let tail = options
                .tail_lines
                .map_or(MAX_LINES as u32, |tail| u32::try_from(tail).unwrap_or(u32::MAX));
            let read = LogRead {
                group_id: target.group_id,
                container: target.container,
                tail: tail.clamp(1, MAX_LINES as u32),
                since: writer.since(),
                previous: options.previous,
            };
            (access.source.read(read).await?, Rest::Nothing)
        };
        let reading = lines(&text);
        let mut first = Vec::new();
        if is_cut(&text, &reading, &options, &writer) {
            writer.raw(CUT_NOTICE.as_bytes(), &mut first);
        }
        for line in newest(&reading, &options) {
            writer.line(line, 0, &mut first);
        }
        Ok(Self { writer, first, rest })
    }

    /// A log from the archive, of which it shows the newest lines that were asked for.
    pub(super) fn archived(log: ArchivedLog, options: &LogOptions) -> Self {
        Self {
            writer: Writer::new(options, clock::now()),
            first: Vec::new(),
            rest: Rest::Archived(log),
        }
    }

    /// The bytes, as they come.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        futures::stream::unfold(self, |mut stream| async move {
            let bytes = stream.next().await?;
            Some((Ok(bytes), stream))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut out = std::mem::take(&mut self.first);
        while out.is_empty() {
            if self.writer.is_full() {
                return None;
            }
            let following = match &mut self.rest {
                Rest::Nothing => return None,
                Rest::Archived(log) => return log.next(&mut self.writer).await,
                Rest::Followed(following) => following,
            };
            match following.subscription.next().await? {
                Piece::Lines { text, skip } => {
                    for (index, line) in lines(&text).into_iter().enumerate() {
                        self.writer.line(line, if index == 0 { skip } else { 0 }, &mut out);
                    }
                }
                other => self.writer.raw(other.notice().as_bytes(), &mut out),
            }
        }
        Some(Bytes::from(out))
    }
}

/// Whether ECI had to leave out lines that the client asked for.
fn is_cut(text: &str, reading: &[&str], options: &LogOptions, writer: &Writer) -> bool {
    // Where whole lines are left out, one more would have been too much.
    let longest = reading.iter().map(|line| line.len()).max().unwrap_or_default();
    let full = reading.len() >= MAX_LINES || text.len() + longest > MAX_BYTES;
    let wanted_fewer = options
        .tail_lines
        .is_some_and(|tail| usize::try_from(tail).is_ok_and(|tail| tail <= reading.len()));
    let oldest = reading.iter().find_map(|line| split_timestamp(line));
    let reaches_back = matches!((writer.since(), oldest), (Some(since), Some((oldest, _))) if oldest < since);
    full && !wanted_fewer && !reaches_back
}

impl Following {
    fn new(subscription: Subscription, metrics: Metrics) -> Self {
        metrics.log_streams.inc();
        Self { subscription, metrics }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.metrics.log_streams.dec();
    }
}

#[cfg(test)]
mod tests;
