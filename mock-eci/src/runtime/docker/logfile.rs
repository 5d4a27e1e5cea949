//! podman's own log file (`k8s-file`), the one that kubelets read: each line is a time with nanoseconds, the stream, `F` for
//! a whole line or `P` for a part of one, and the text.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use jiff::Timestamp;

use super::logs::Lines;
use crate::runtime::LogLine;

/// How much of the end is read first; more only where that is not enough.
const FIRST: u64 = 256 << 10;
/// And at most: more than any answer has room for.
const MOST: u64 = 8 << 20;

/// At least the newest `tail` lines that are as new as `since`, where the file has them; blocks.
pub(super) fn read(path: &Path, tail: usize, since: Option<Timestamp>) -> io::Result<Vec<LogLine>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut size = FIRST;
    loop {
        let start = length.saturating_sub(size);
        file.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        // What is written meanwhile is the next call's.
        (&mut file).take(length - start).read_to_end(&mut text)?;
        let lines = parse(&text, start > 0);
        let enough = lines.len() > tail || since.is_some_and(|since| lines.first().is_some_and(|line| line.at < since));
        if start == 0 || enough || size >= MOST {
            return Ok(lines);
        }
        size = MOST;
    }
}

/// `cut` = the text begins somewhere in a line, which is left out.
fn parse(text: &[u8], cut: bool) -> Vec<LogLine> {
    let mut lines = Lines::default();
    let mut rows = text.split_inclusive(|byte| *byte == b'\n');
    if cut {
        rows.next();
    }
    for row in rows {
        // A row that is only half written has no end yet.
        let Some((at, stream, full, words)) = row.strip_suffix(b"\n").and_then(fields) else {
            continue;
        };
        lines.timed_part(stream, at, words);
        if full {
            lines.timed_part(stream, at, b"\n");
        }
    }
    lines.finish()
}

fn fields(row: &[u8]) -> Option<(Timestamp, usize, bool, &[u8])> {
    let mut fields = row.splitn(4, |byte| *byte == b' ');
    let at = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let stream = usize::from(fields.next()? == b"stderr");
    let full = fields.next()? == b"F";
    Some((at, stream, full, fields.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn texts(lines: &[LogLine]) -> Vec<String> {
        lines
            .iter()
            .map(|line| format!("{} {}", line.at, String::from_utf8_lossy(&line.text)))
            .collect()
    }

    #[test]
    fn rows_become_lines_with_nanoseconds() {
        let text = b"2026-11-26T07:32:50.577511844+00:00 stdout P a \n\
            2026-11-26T07:32:50.6+00:00 stderr F \n\
            2026-11-26T07:32:51+00:00 stdout F b\n\
            2026-11-26T07:32:52.579038590+00:00 stdout P long\n\
            2026-11-26T07:32:53.5";
        let expected = [
            "2026-11-26T07:32:50.577511844Z a b\n",
            "2026-11-26T07:32:50.6Z \n",
            "2026-11-26T07:32:52.57903859Z long",
        ];
        assert_eq!(texts(&parse(text, false)), expected);
        assert_eq!(
            texts(&parse(text, true))[1..],
            ["2026-11-26T07:32:51Z b\n", expected[2]]
        );
    }

    #[test]
    fn the_end_of_a_long_file_is_enough() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        for n in 0..20_000 {
            writeln!(
                file,
                "2026-11-26T07:{:02}:{:02}.5+00:00 stdout F line {n}",
                n / 60 % 60,
                n % 60
            )
            .expect("written");
        }
        let lines = read(file.path(), 10, None).expect("read");
        assert!(lines.len() > 10 && lines.len() < 10_000, "{}", lines.len());
        assert_eq!(lines.last().expect("a line").text, "line 19999\n");
        assert_eq!(read(file.path(), 100_000, None).expect("read").len(), 20_000);
        let missing = read(Path::new("/no/such/file"), 1, None).expect_err("missing");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
