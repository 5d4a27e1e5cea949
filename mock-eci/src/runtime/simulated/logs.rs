//! The log of a simulated instance: lines are computed, not stored.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::{
    runtime::{LogLine, LogQuery},
    timers::after,
};

/// Most lines steering can add to one instance; the oldest go first.
const MAX_PUSHED: usize = 100_000;

/// A log that began at some time and has a line every so often.
#[derive(Debug)]
pub(super) struct SimLog {
    title: String,
    started_at: Timestamp,
    every: Duration,
    ended_at: Option<Timestamp>,
    pushed: VecDeque<LogLine>,
}

impl SimLog {
    pub(super) fn new(container: &str, group: &str, started_at: Timestamp, every: Duration) -> Self {
        Self {
            title: format!("{container} of {group}"),
            started_at,
            every,
            ended_at: None,
            pushed: VecDeque::new(),
        }
    }

    /// Adds lines as of now.
    pub(super) fn push(&mut self, lines: &[String], now: Timestamp) {
        for line in lines {
            if self.pushed.len() >= MAX_PUSHED {
                self.pushed.pop_front();
            }
            self.pushed.push_back(LogLine {
                at: now,
                text: format!("{line}\n").into(),
            });
        }
    }

    /// No line is later than this.
    pub(super) fn end(&mut self, at: Timestamp) {
        self.ended_at = Some(at);
    }

    /// The newest `tail` lines up to now: `started`, then `line N` at each interval, and what was added.
    pub(super) fn lines(&self, query: LogQuery, now: Timestamp) -> Vec<LogLine> {
        let end = self.ended_at.unwrap_or(now);
        let ran = end.duration_since(self.started_at).max(SignedDuration::ZERO);
        let every = self.every.as_nanos();
        let count = if every == 0 {
            0
        } else {
            u64::try_from(ran.as_nanos() / every as i128).unwrap_or(0)
        };
        let since = query.since.unwrap_or(Timestamp::MIN);
        // No more than the newest `tail` computed lines can be among the newest `tail` of all.
        let first = (count + 1).saturating_sub(query.tail as u64);
        let computed = (first..=count).map(|n| {
            let at = after(
                self.started_at,
                self.every.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX)),
            );
            let text = match n {
                0 => format!("{} started\n", self.title),
                n => format!("{}: line {n}\n", self.title),
            };
            LogLine {
                at,
                text: Bytes::from(text),
            }
        });
        let mut lines: Vec<LogLine> = computed
            .chain(self.pushed.iter().cloned())
            .filter(|line| line.at >= since)
            .collect();
        lines.sort_by_key(|line| line.at);
        lines.split_off(lines.len().saturating_sub(query.tail))
    }
}
