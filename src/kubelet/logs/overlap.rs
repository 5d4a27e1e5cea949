//! (pure) Where a new reading of a log goes on after what was seen before.
//!
//! ECI has no log stream: each call returns the newest lines again, at most 2,000 or 1 MiB. So what is new has to be found
//! by laying the new reading over the end of what was seen. Readings carry a timestamp in each line, so that two lines are
//! rarely equal; where they are, the longest overlap is taken, which repeats nothing.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

/// Lines of one reading at most: ECI's own limit.
pub(super) const MAX_LINES: usize = 2_000;
/// Bytes of one reading at most: ECI's own limit.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The end of what was seen of a log: hashes of the newest whole lines, and the text of a last line without its end.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    hasher: RandomState,
    lines: VecDeque<u64>,
    open: String,
}

/// Where something new begins in a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    /// At byte `skip` of line `line`, which may be one after the last.
    From {
        /// Index into the reading's lines.
        line: usize,
        /// Bytes of that line that were seen already, when it had no end.
        skip: usize,
    },
    /// Nowhere: the reading is older than what was seen.
    Older,
    /// The reading has nothing in common with what was seen: lines between the two are missing.
    Gap,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            lines: VecDeque::new(),
            open: String::new(),
        }
    }
}

impl Seen {
    /// Whether nothing was seen yet.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.open.is_empty()
    }

    /// Finds what is new in `reading`, the lines of a log with their ends, and remembers them.
    ///
    /// A reading without a common line is not remembered: the caller may read more of the log, or call [`Seen::restart`].
    pub(super) fn advance(&mut self, reading: &[&str]) -> Overlap {
        if self.is_empty() {
            self.append(reading);
            return Overlap::From { line: 0, skip: 0 };
        }
        if reading.is_empty() {
            return Overlap::Older;
        }
        let hashes: Vec<u64> = reading.iter().map(|line| self.hash(line)).collect();
        // At most MAX_LINES squared comparisons of integers, a few milliseconds for logs of equal lines, else next to none.
        for start in 0..=self.lines.len() {
            let known = self.lines.len() - start;
            let evidence = known > 0 || !self.open.is_empty();
            if evidence && reading.len() >= known && self.matches(start, &hashes[..known]) {
                let (line, skip) = match reading.get(known) {
                    None if self.open.is_empty() => (known, 0),
                    // The reading ends before the line that was open.
                    None => continue,
                    Some(line) if line.starts_with(&self.open) => (known, self.open.len()),
                    Some(_) => continue,
                };
                self.append(&reading[line..]);
                return Overlap::From { line, skip };
            }
        }
        if self.is_older(reading, &hashes) {
            Overlap::Older
        } else {
            Overlap::Gap
        }
    }

    /// Forgets what was seen and begins anew with `reading`.
    pub(super) fn restart(&mut self, reading: &[&str]) {
        self.lines.clear();
        self.open.clear();
        self.append(reading);
    }

    fn matches(&self, start: usize, hashes: &[u64]) -> bool {
        self.lines.range(start..start + hashes.len()).eq(hashes)
    }

    /// Whether all of the reading lies within what was seen. Its last line may have been open then.
    fn is_older(&self, reading: &[&str], hashes: &[u64]) -> bool {
        let closed = reading.iter().filter(|line| line.ends_with('\n')).count();
        let within = 1..=self.lines.len();
        within.contains(&closed) && (0..=self.lines.len() - closed).any(|start| self.matches(start, &hashes[..closed]))
    }

    fn append(&mut self, lines: &[&str]) {
        self.open.clear();
        for line in lines {
            if line.ends_with('\n') {
                let hash = self.hash(line);
                if self.lines.len() == MAX_LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(hash);
            } else {
                self.open.push_str(line);
            }
        }
    }

    /// Keyed afresh for each log, so that nobody can write lines that collide.
    fn hash(&self, line: &str) -> u64 {
        self.hasher.hash_one(line)
    }
}

/// The lines of a text with their ends; the last may have none.
pub(super) fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a follower would print: the new parts of each reading.
    fn print(seen: &mut Seen, text: &str) -> Option<String> {
        let reading = lines(text);
        match seen.advance(&reading) {
            Overlap::From { line, skip } => {
                let mut new = String::new();
                for (index, text) in reading.iter().enumerate().skip(line) {
                    new.push_str(if index == line { &text[skip..] } else { text });
                }
                Some(new)
            }
            Overlap::Older => Some(String::new()),
            Overlap::Gap => None,
        }
    }

    fn printed(readings: &[&str]) -> Option<String> {
        let mut seen = Seen::default();
        readings.iter().map(|text| print(&mut seen, text)).collect()
    }

    #[test]
    fn lines_are_printed_once() {
        assert_eq!(
            printed(&["", "1 a\n", "1 a\n2 b\n", "2 b\n", "2 b\n3 c\n"]).as_deref(),
            Some("1 a\n2 b\n3 c\n")
        );
    }

    #[test]
    fn a_line_without_end_is_continued() {
        assert_eq!(
            printed(&["1 a\n2 b", "1 a\n2 bcd", "2 bcd\n3 e"]).as_deref(),
            Some("1 a\n2 bcd\n3 e")
        );
        assert_eq!(printed(&["1 a", "1 a", "1 a\n"]).as_deref(), Some("1 a\n"));
    }

    #[test]
    fn equal_lines_count_as_often_as_they_are_there() {
        assert_eq!(
            printed(&["x\nx\n", "x\nx\nx\n", "x\nx\nx\n"]).as_deref(),
            Some("x\nx\nx\n")
        );
    }

    #[test]
    fn a_reading_from_before_prints_nothing() {
        let mut seen = Seen::default();
        assert_eq!(print(&mut seen, "1 a\n2 b\n3 c\n").as_deref(), Some("1 a\n2 b\n3 c\n"));
        assert_eq!(print(&mut seen, "1 a\n2 b\n").as_deref(), Some(""));
        assert_eq!(print(&mut seen, "").as_deref(), Some(""));
        assert_eq!(print(&mut seen, "3 c\n4 d\n").as_deref(), Some("4 d\n"));
    }

    #[test]
    fn nothing_in_common_is_a_gap_until_begun_anew() {
        let mut seen = Seen::default();
        print(&mut seen, "1 a\n2 b\n");
        assert_eq!(print(&mut seen, "8 h\n9 i\n"), None);
        assert_eq!(
            print(&mut seen, "2 b\n3 c\n").as_deref(),
            Some("3 c\n"),
            "what was seen is kept"
        );
        seen.restart(&lines("8 h\n9 i\n"));
        assert_eq!(print(&mut seen, "9 i\n10 j\n").as_deref(), Some("10 j\n"));
    }

    #[test]
    fn only_so_many_lines_are_kept() {
        let text: String = (0..3 * MAX_LINES).map(|n| format!("{n}\n")).collect();
        let mut seen = Seen::default();
        print(&mut seen, &text);
        assert_eq!(seen.lines.len(), MAX_LINES);
    }

    prop_compose! {
        /// A log whose lines carry strictly growing timestamps and few different texts, as text and as offsets of reads.
        fn a_log()(texts in prop::collection::vec("[ab]{0,3}", 1..200))(
            cuts in prop::collection::vec(0..=texts.iter().map(|t| t.len() + 6).sum::<usize>(), 1..40),
            texts in Just(texts),
        ) -> (String, Vec<usize>) {
            let log = texts.iter().enumerate().map(|(n, text)| format!("{n:04} {text}\n")).collect();
            let mut cuts = cuts;
            cuts.sort_unstable();
            (log, cuts)
        }
    }

    prop_compose! {
        /// A log with few different texts and times, most of them equal to others; where readings end, in bytes.
        fn a_monotonous_log()(lines in prop::collection::vec((0_u64..3, "a{0,2}"), 1..200))(
            cuts in prop::collection::vec(0..=lines.iter().map(|(_, text)| text.len() + 6).sum::<usize>(), 1..40),
            lines in Just(lines),
        ) -> (Vec<u64>, String, Vec<usize>) {
            let times: Vec<u64> = lines.iter().scan(0, |now, (step, _)| { *now += step / 2; Some(*now) }).collect();
            let log = lines.iter().zip(&times).map(|((_, text), time)| format!("{time:04} {text}\n")).collect();
            let mut cuts = cuts;
            cuts.sort_unstable();
            (times, log, cuts)
        }
    }

    proptest! {
        /// Equal lines of equal times are counted right, because a reading that is not cut begins with the first line of its time.
        #[test]
        fn equal_lines_are_neither_lost_nor_doubled((times, log, cuts) in a_monotonous_log(), back in 0_u64..3) {
            let mut seen = Seen::default();
            let mut printed = String::new();
            let mut before = 0;
            for cut in cuts {
                // The last line that was seen, whole or not.
                let last = log[..before].split_inclusive('\n').count().checked_sub(1);
                let since = last.map_or(0, |last| times[last].saturating_sub(back));
                let first = times.iter().take_while(|time| **time < since).count();
                let begin = log.split_inclusive('\n').take(first).map(str::len).sum::<usize>();
                let new = print(&mut seen, &log[begin..cut]);
                prop_assert!(new.is_some(), "no gap");
                printed.push_str(&new.unwrap_or_default());
                before = cut;
                prop_assert_eq!(&printed, &log[..cut]);
            }
        }

        /// Whatever is read when, and wherever the windows begin, each byte is printed once, as long as each reading goes
        /// back to a line that was seen whole.
        #[test]
        fn nothing_is_lost_or_doubled((log, cuts) in a_log(), back in prop::collection::vec(1_usize..60, 40)) {
            let mut seen = Seen::default();
            let mut printed = String::new();
            let mut before = 0;
            for (cut, back) in cuts.iter().zip(back) {
                let whole_lines_seen = log[..before].matches('\n').count();
                // The first reading begins at the beginning: what was before it was never promised.
                let first_line = if before == 0 { 0 } else { whole_lines_seen.saturating_sub(back) };
                let begin = log.split_inclusive('\n').take(first_line).map(str::len).sum::<usize>();
                let new = print(&mut seen, &log[begin.min(*cut)..*cut]);
                prop_assert!(new.is_some(), "no gap");
                printed.push_str(&new.unwrap_or_default());
                before = *cut;
                prop_assert_eq!(&printed, &log[..*cut]);
            }
        }

        /// With windows of a few lines that may skip some: what is printed is the log less what no window showed, and each
        /// jump is told.
        #[test]
        fn a_jump_is_always_told(steps in prop::collection::vec(1_usize..12, 1..30), window in 1_usize..8) {
            let log: Vec<String> = (0..400).map(|n| format!("{n:04} x\n")).collect();
            let mut seen = Seen::default();
            let (mut end, mut last) = (0, None);
            for step in steps {
                end = (end + step).min(log.len());
                let begin = end.saturating_sub(window);
                let reading: Vec<&str> = log[begin..end].iter().map(String::as_str).collect();
                match seen.advance(&reading) {
                    Overlap::From { line, skip } => {
                        prop_assert_eq!(skip, 0);
                        prop_assert!(last.is_none_or(|last| begin + line == last));
                    }
                    Overlap::Older => prop_assert!(false, "windows only move on"),
                    Overlap::Gap => {
                        prop_assert!(last.is_some_and(|last| begin >= last), "only where no seen line is in the window");
                        seen.restart(&reading);
                    }
                }
                last = Some(end);
            }
        }
    }
}
