//! (pure) How a log is cut into parts: what is not written yet of a run.

use crate::kubelet::logs::overlap::{MAX_BYTES, MAX_LINES, Overlap, Seen, lines};
use crate::kubelet::logs::ring::Piece;

/// A part is full when it has so much of what ECI returns at once.
const FULL: usize = 4;

/// What is said where the log began before the archive.
const LATE_NOTICE: &str = "[virtual-node: lines before these may be missing here: ECI returns only the newest 2,000 lines or 1 MiB of a log]\n";

/// What is said where the group vanished before all was read.
const END_NOTICE: &str = "[virtual-node: the end of this log may be missing: the container group was gone]\n";

/// Lines of a run that are not in the store yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    text: String,
    lines: usize,
}

impl Pending {
    /// Takes from a whole reading what comes after `last`, the last part in the store, if there is one.
    pub(super) fn begin(&mut self, last: Option<&str>, reading: &str) {
        let all = lines(reading);
        let Some(last) = last else {
            if all.len() >= MAX_LINES || reading.len() >= MAX_BYTES {
                self.notice(LATE_NOTICE);
            }
            return self.append(reading);
        };
        let mut seen = Seen::default();
        let known = lines(last);
        seen.advance(&known);
        // The reading may begin before the last part, or within it; there its first line may have been cut.
        let begins = (0..all.len())
            .rev()
            .filter(|at| known.first().is_some_and(|first| all[*at].starts_with(first)));
        for begin in begins.chain([0, 1]).filter(|begin| *begin <= all.len()) {
            match seen.advance(&all[begin..]) {
                Overlap::From { line, skip } => {
                    let new = all[begin..].iter().skip(line).map(|line| line.len()).sum::<usize>();
                    return self.append(&reading[reading.len() - new + skip..]);
                }
                Overlap::Older if begin < all.len() => return,
                Overlap::Older | Overlap::Gap => {}
            }
        }
        if !all.is_empty() {
            self.add(&Piece::Gap);
            self.append(reading);
        }
    }

    /// Takes what comes.
    pub(super) fn add(&mut self, piece: &Piece) {
        match piece {
            Piece::Lines { text, skip } => self.append(text.get(*skip..).unwrap_or_default()),
            other => self.notice(&other.notice()),
        }
    }

    /// The last lines may never have been read.
    pub(super) fn end_is_missing(&mut self) {
        self.notice(END_NOTICE);
    }

    fn append(&mut self, text: &str) {
        self.lines += text.matches('\n').count();
        self.text.push_str(text);
    }

    /// Says something on a line of its own.
    fn notice(&mut self, text: &str) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.append("\n");
        }
        self.append(text);
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A part to be written, if there is enough for one.
    pub(super) fn take_full(&mut self) -> Option<String> {
        let full = self.lines >= MAX_LINES / FULL || self.text.len() >= MAX_BYTES / FULL;
        if full { self.take_lines() } else { None }
    }

    /// All whole lines.
    pub(super) fn take_lines(&mut self) -> Option<String> {
        let end = self.text.rfind('\n')? + 1;
        let rest = self.text.split_off(end);
        self.lines = 0;
        Some(std::mem::replace(&mut self.text, rest))
    }

    /// Everything, because no more will come.
    pub(super) fn take_all(&mut self) -> Option<String> {
        self.lines = 0;
        Some(std::mem::take(&mut self.text)).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn begun(last: Option<&str>, reading: &str) -> String {
        let mut pending = Pending::default();
        pending.begin(last, reading);
        pending.text
    }

    #[test]
    fn a_log_goes_on_after_its_last_part() {
        assert_eq!(begun(None, "1 a\n2 b\n"), "1 a\n2 b\n");
        assert_eq!(begun(Some("1 a\n2 b\n"), "1 a\n2 b\n3 c\n"), "3 c\n");
        assert_eq!(begun(Some("2 b\n"), "1 a\n2 b\n3 c"), "3 c", "a part may be short");
        assert_eq!(begun(Some("1 a\n2 b\n"), "2 b\n"), "");
        assert_eq!(begun(Some("1 a\n2 b\n"), "cut\n2 b\n3 c\n"), "3 c\n");
        assert_eq!(begun(Some("1 a\n2 "), "1 a\n2 b\n"), "b\n");
        assert_eq!(begun(Some("1 a\n"), ""), "", "nothing to be had is no gap");
        assert_eq!(
            begun(Some("4 d\n5 e\n"), "1 a\n2 b\n3 c\n4 d\n5 e\n6 f\n"),
            "6 f\n",
            "or older"
        );
        assert_eq!(
            begun(Some("4 d\n5 e\n"), "1 a\n2 b\n3 c\n4 d\n"),
            "",
            "an answer of before"
        );
        let gap = begun(Some("1 a\n"), "8 h\n9 i\n");
        assert!(
            gap.starts_with("[virtual-node: lines are missing here") && gap.ends_with("\n8 h\n9 i\n"),
            "{gap}"
        );
    }

    #[test]
    fn a_log_that_began_before_says_so() {
        let long: String = (0..MAX_LINES).map(|n| format!("{n}\n")).collect();
        assert!(begun(None, &long).starts_with(LATE_NOTICE));
    }

    #[test]
    fn a_notice_has_a_line_of_its_own() {
        let mut pending = Pending::default();
        let lines = |text: &str, skip| Piece::Lines {
            text: Arc::from(text),
            skip,
        };
        pending.add(&lines("1 a\n2 b", 0));
        pending.add(&lines("2 bc\n3 d", 3));
        pending.add(&Piece::Missed(7));
        let whole = pending.take_all().unwrap_or_default();
        assert!(whole.starts_with("1 a\n2 bc\n3 d\n[virtual-node: 7 lines"), "{whole}");
        assert!(pending.is_empty() && pending.take_all().is_none());
    }

    proptest! {
        /// However lines come, the parts together are the log, and each but the last ends with a line's end.
        #[test]
        fn parts_are_the_log(pieces in prop::collection::vec((1_usize..900, 0_usize..600, any::<bool>()), 1..20)) {
            let (mut pending, mut log, mut parts) = (Pending::default(), String::new(), Vec::new());
            let mut open = 0;
            for (lines, length, ends) in pieces {
                let from = log.len() - open;
                for n in 0..lines {
                    log.push_str(&format!("{n} {}\n", "x".repeat(length)));
                }
                if !ends {
                    log.pop();
                }
                pending.add(&Piece::Lines { text: Arc::from(&log[from..]), skip: open });
                open = log.len() - log.rfind('\n').map_or(0, |at| at + 1);
                parts.extend(pending.take_full());
                prop_assert!(pending.lines < MAX_LINES / FULL);
            }
            prop_assert!(parts.iter().all(|part: &String| part.ends_with('\n')));
            parts.extend(pending.take_all());
            prop_assert_eq!(parts.concat(), log);
        }
    }
}
