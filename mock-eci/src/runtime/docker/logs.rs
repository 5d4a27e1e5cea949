//! Logs of containers, as the engine kept them.

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use jiff::Timestamp;

use super::{engine::EngineError, group::Shared, logfile};
use crate::runtime::LogLine;

/// Up to this many bytes of a log are read from its begin where reading from its end is not to be trusted.
const WHOLE: usize = 8 << 20;
/// Newest bytes that are kept while a log is read: more than any call shows.
const MAX_BYTES: usize = 4 << 20;
/// Of one line so much is kept: what a call shows at most.
const MAX_LINE: usize = 1 << 20;

/// The newest `tail` lines of a container (by its engine name), oldest first, written at or after `since`.
///
/// podman's API tells times of lines by the second only. Where its own log file can be read that is done instead: it has
/// nanoseconds. Elsewhere its lines count as written at the start of their second.
pub(super) async fn read(
    shared: &Shared,
    name: &str,
    tail: usize,
    since: Option<Timestamp>,
) -> Result<Vec<LogLine>, EngineError> {
    let since = since.map(|since| shared.by_engines_clock(since));
    let mut lines = None;
    if shared.engine.podman {
        lines = from_file(shared, name, tail, since).await?;
    }
    let exact = lines.is_some();
    if shared.engine.podman && !exact {
        // podman 4 asked for a tail glues an unfinished last line to the line before, or drops it if it is the only one.
        lines = fetch(shared, name, tail, since, Some(WHOLE)).await?;
    }
    let mut lines = match lines {
        Some(lines) => lines,
        None => fetch(shared, name, tail, since, None).await?.unwrap_or_default(),
    };
    if let Some(since) = since {
        let second = Timestamp::from_second(since.as_second()).unwrap_or(since);
        let least = |at: Timestamp| {
            if !exact && at.subsec_nanosecond() == 0 {
                second
            } else {
                since
            }
        };
        lines.retain(|line| line.at >= least(line.at));
    }
    let surplus = lines.len().saturating_sub(tail);
    lines.drain(..surplus);
    for line in &mut lines {
        line.at = shared.by_our_clock(line.at);
    }
    Ok(lines)
}

/// What podman's own log file says; none = there is none here.
async fn from_file(
    shared: &Shared,
    name: &str,
    tail: usize,
    since: Option<Timestamp>,
) -> Result<Option<Vec<LogLine>>, EngineError> {
    let found = shared.engine.inspect(name).await?;
    let Some(path) = found.log_path.filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let read = tokio::task::spawn_blocking(move || logfile::read(path.as_ref(), tail, since)).await;
    Ok(read.ok().and_then(Result::ok))
}

/// One call to the engine: for the tail, or for the whole log unless it is longer than `whole` bytes (then none).
async fn fetch(
    shared: &Shared,
    name: &str,
    tail: usize,
    since: Option<Timestamp>,
    whole: Option<usize>,
) -> Result<Option<Vec<LogLine>>, EngineError> {
    let tail = if whole.is_some() {
        "all".to_owned()
    } else {
        tail.to_string()
    };
    let mut options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .tail(&tail);
    if let Some(since) = since {
        options = options.since(i32::try_from(since.as_second()).unwrap_or(i32::MAX));
    }
    let options = options.build();
    let engine = &shared.engine;
    engine
        .call("read the log of", name, async {
            let mut stream = Box::pin(engine.docker().logs(name, Some(options)));
            let mut lines = Lines::default();
            let mut bytes = 0;
            while let Some(chunk) = stream.next().await {
                let chunk = chunk?;
                bytes += chunk.as_ref().len();
                if whole.is_some_and(|whole| bytes > whole) {
                    return Ok(None);
                }
                lines.push(chunk);
            }
            Ok(Some(lines.finish()))
        })
        .await
}

/// Puts the engine's chunks together to lines. A chunk is a line or, for long and unfinished ones, a part of one; each
/// begins with a time.
#[derive(Default)]
pub(super) struct Lines {
    lines: Vec<LogLine>,
    /// Bytes of them all.
    bytes: usize,
    /// Output of a terminal comes in chunks of any size.
    console: BytesMut,
    /// Which lines of [stdout, stderr, terminal] are not finished yet.
    open: [Option<usize>; 3],
}

impl Lines {
    fn push(&mut self, chunk: LogOutput) {
        match chunk {
            LogOutput::StdOut { message } | LogOutput::StdIn { message } => self.part(0, message),
            LogOutput::StdErr { message } => self.part(1, message),
            LogOutput::Console { message } => {
                self.console.extend_from_slice(&message);
                while let Some(end) = self.console.iter().position(|byte| *byte == b'\n') {
                    let line = self.console.split_to(end + 1).freeze();
                    self.part(2, line);
                }
            }
        }
    }

    /// Takes in a part of a line of one stream: 0 = standard output, 1 = standard error.
    pub(super) fn timed_part(&mut self, stream: usize, at: Timestamp, text: &[u8]) {
        let unfinished = !text.ends_with(b"\n");
        let open = self.open[stream].and_then(|index| self.lines.get_mut(index).map(|line| (index, line)));
        let index = match open {
            Some((index, line)) => {
                // Of a longer line nobody is ever shown more.
                let room = MAX_LINE.saturating_sub(line.text.len()).min(text.len());
                line.text = [line.text.as_ref(), &text[..room]].concat().into();
                self.bytes += room;
                index
            }
            None => {
                let text = Bytes::copy_from_slice(text);
                self.bytes += text.len();
                self.lines.push(LogLine { at, text });
                self.lines.len() - 1
            }
        };
        self.open[stream] = unfinished.then_some(index);
        if self.bytes > 2 * MAX_BYTES {
            self.drop_oldest();
        }
    }

    /// Drops what no answer has room for.
    fn drop_oldest(&mut self) {
        let mut dropped = 0;
        while self.bytes > MAX_BYTES && dropped + 1 < self.lines.len() {
            self.bytes -= self.lines[dropped].text.len();
            dropped += 1;
        }
        self.lines.drain(..dropped);
        for open in &mut self.open {
            *open = open.and_then(|index| index.checked_sub(dropped));
        }
    }

    fn part(&mut self, stream: usize, mut text: Bytes) {
        let mut at = Timestamp::UNIX_EPOCH;
        if let Some((time, length)) = stamp(&text) {
            at = time;
            text.advance(length);
        }
        self.timed_part(stream, at, &text);
    }

    pub(super) fn finish(mut self) -> Vec<LogLine> {
        if !self.console.is_empty() {
            let rest = self.console.split().freeze();
            self.part(2, rest);
        }
        self.lines
    }
}

/// The time a line begins with, and how many bytes that and the space after it take.
fn stamp(line: &[u8]) -> Option<(Timestamp, usize)> {
    let end = line.iter().take(64).position(|byte| *byte == b' ')?;
    let time = std::str::from_utf8(&line[..end]).ok()?.parse().ok()?;
    Some((time, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[LogLine]) -> Vec<(String, String)> {
        lines
            .iter()
            .map(|line| (line.at.to_string(), String::from_utf8_lossy(&line.text).into_owned()))
            .collect()
    }

    fn owned(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(at, text)| ((*at).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn each_line_is_split_from_its_time() {
        let mut lines = Lines::default();
        lines.push(LogOutput::StdOut {
            message: Bytes::from_static(b"2026-01-01T00:00:00.5Z one two\n"),
        });
        lines.push(LogOutput::StdErr {
            message: Bytes::from_static(b"2026-01-01T00:00:01Z \n"),
        });
        assert_eq!(
            text(&lines.finish()),
            owned(&[("2026-01-01T00:00:00.5Z", "one two\n"), ("2026-01-01T00:00:01Z", "\n")])
        );
    }

    #[test]
    fn a_terminals_chunks_become_lines_again() {
        let mut lines = Lines::default();
        for part in ["2026-01-01T00:00:00Z o", "ne\r\n2026-01-01T", "00:00:01Z two"] {
            lines.push(LogOutput::Console {
                message: Bytes::from_static(part.as_bytes()),
            });
        }
        assert_eq!(
            text(&lines.finish()),
            owned(&[("2026-01-01T00:00:00Z", "one\r\n"), ("2026-01-01T00:00:01Z", "two")])
        );
    }

    #[test]
    fn what_nobody_is_shown_is_not_kept() {
        let mut lines = Lines::default();
        let text = [b'x'; 1 << 16];
        for second in 0..400 {
            let at = Timestamp::from_second(second).expect("a time");
            lines.timed_part(0, at, &text);
            if second % 2 == 1 {
                lines.timed_part(0, at, b"\n");
            }
        }
        assert!(lines.bytes <= 2 * MAX_BYTES, "{}", lines.bytes);
        let kept = lines.finish();
        assert_eq!(kept.last().map(|line| line.at.as_second()), Some(398));
        assert_eq!(kept.last().map(|line| line.text.len()), Some(2 * text.len() + 1));

        let mut lines = Lines::default();
        (0..100).for_each(|_| lines.timed_part(1, Timestamp::UNIX_EPOCH, &text));
        assert_eq!(lines.finish()[0].text.len(), MAX_LINE);
    }

    #[test]
    fn parts_of_a_line_are_joined_per_stream() {
        let mut lines = Lines::default();
        lines.push(LogOutput::StdOut {
            message: Bytes::from_static(b"2026-01-01T00:00:00Z long "),
        });
        lines.push(LogOutput::StdErr {
            message: Bytes::from_static(b"2026-01-01T00:00:01Z error\n"),
        });
        lines.push(LogOutput::StdOut {
            message: Bytes::from_static(b"2026-01-01T00:00:02Z line\n"),
        });
        lines.push(LogOutput::StdOut {
            message: Bytes::from_static(b"2026-01-01T00:00:03Z last"),
        });
        let expected = [
            ("2026-01-01T00:00:00Z", "long line\n"),
            ("2026-01-01T00:00:01Z", "error\n"),
            ("2026-01-01T00:00:03Z", "last"),
        ];
        assert_eq!(text(&lines.finish()), owned(&expected));
    }
}
