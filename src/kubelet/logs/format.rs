//! (pure) What of a reading is written to the client: the newest lines, lines since a time, without timestamps, so many bytes,
//! in this order, which is a kubelet's.

use jiff::Timestamp;

use super::query::LogOptions;

/// The timestamp before a line, and the line without it. `None` where a line has none: ECI's form of it is not documented,
/// and such a line is passed on as it is.
pub(super) fn split_timestamp(line: &str) -> Option<(Timestamp, &str)> {
    let (time, rest) = line.split_once(' ').unwrap_or((line.trim_end_matches('\n'), ""));
    // A number alone parses as no timestamp, so ordinary text is not mistaken for one.
    Some((time.parse().ok()?, rest))
}

/// The newest of `lines` that the client asked for. Which of them are young enough is decided afterwards, line by line, as a
/// kubelet does it.
pub(super) fn newest<'a, 'b>(lines: &'a [&'b str], options: &LogOptions) -> &'a [&'b str] {
    let tail = options
        .tail_lines
        .map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(0));
    &lines[lines.len().saturating_sub(tail)..]
}

/// Turns lines into what is sent, counting the bytes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    timestamps: bool,
    /// Lines older than this are not sent.
    since: Option<Timestamp>,
    /// Bytes that may still be sent.
    left: usize,
}

impl Writer {
    /// For these options, of a request that came at `now`.
    pub(super) fn new(options: &LogOptions, now: Timestamp) -> Self {
        let left = options
            .limit_bytes
            .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self {
            timestamps: options.timestamps,
            since: options.since(now),
            left,
        }
    }

    /// Whether `limitBytes` were sent.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// From when on lines are sent.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Adds a line to `out`, less its first `skip` bytes, which were written before, unless it is too old.
    pub(super) fn line(&mut self, line: &str, skip: usize, out: &mut Vec<u8>) {
        // A line without a timestamp belongs to one before it; it is not thrown away on a guess.
        if let (Some(since), Some((time, _))) = (self.since, split_timestamp(line))
            && time < since
        {
            return;
        }
        let text = if skip > 0 {
            line.get(skip..).unwrap_or_default()
        } else if self.timestamps {
            line
        } else {
            // A line of a timestamp alone keeps its end.
            match split_timestamp(line) {
                Some((_, "")) if line.ends_with('\n') => "\n",
                Some((_, rest)) => rest,
                None => line,
            }
        };
        self.raw(text.as_bytes(), out);
    }

    /// Adds bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let count = bytes.len().min(self.left);
        self.left -= count;
        out.extend_from_slice(&bytes[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 4] = [
        "2026-01-02T03:04:01.5Z one\n",
        "2026-01-02T03:04:02+00:00 two words\n",
        "without a time\n",
        "2026-01-02T03:04:03Z last",
    ];

    fn written(options: &LogOptions) -> String {
        let now = "2026-01-02T03:05:00Z".parse().expect("time");
        let mut writer = Writer::new(options, now);
        let mut out = Vec::new();
        for line in newest(&LINES, options) {
            writer.line(line, 0, &mut out);
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn timestamps_are_there_when_asked_for() {
        assert_eq!(written(&LogOptions::default()), "one\ntwo words\nwithout a time\nlast");
        assert_eq!(
            written(&LogOptions {
                timestamps: true,
                ..LogOptions::default()
            }),
            LINES.concat()
        );
    }

    #[test]
    fn an_empty_line_stays_a_line() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&LogOptions::default(), Timestamp::MAX);
        writer.line("2026-01-02T03:04:03Z \n", 0, &mut out);
        writer.line("2026-01-02T03:04:03Z\n", 0, &mut out);
        assert_eq!(out, b"\n\n");
    }

    #[test]
    fn the_newest_lines_and_the_youngest() {
        assert_eq!(
            written(&LogOptions {
                tail_lines: Some(1),
                ..LogOptions::default()
            }),
            "last"
        );
        assert_eq!(
            written(&LogOptions {
                tail_lines: Some(0),
                ..LogOptions::default()
            }),
            ""
        );
        let since = LogOptions {
            since_time: Some("2026-01-02T03:04:02Z".parse().expect("time")),
            ..LogOptions::default()
        };
        assert_eq!(written(&since), "two words\nwithout a time\nlast");
        let both = LogOptions {
            tail_lines: Some(3),
            since_time: Some("2026-01-02T03:04:03Z".parse().expect("time")),
            ..LogOptions::default()
        };
        assert_eq!(written(&both), "without a time\nlast", "of the newest three, the young");
        assert_eq!(
            written(&LogOptions {
                since_seconds: Some(57),
                ..LogOptions::default()
            }),
            "without a time\nlast"
        );
    }

    #[test]
    fn bytes_are_limited() {
        assert_eq!(
            written(&LogOptions {
                limit_bytes: Some(6),
                ..LogOptions::default()
            }),
            "one\ntw"
        );
    }

    #[test]
    fn the_rest_of_an_open_line_has_no_timestamp() {
        let mut out = Vec::new();
        Writer::new(&LogOptions::default(), Timestamp::MAX).line(
            "2026-01-02T03:04:03Z last\n",
            LINES[3].len(),
            &mut out,
        );
        assert_eq!(out, b"\n");
    }
}
