//! (pure) The newest part of a followed log, kept until each of its readers has taken it.
//!
//! Readers do not wait for each other: one that falls behind by more than the ring holds is told how many lines it missed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Bytes that are kept for readers that fall behind.
const CAPACITY: usize = 4 << 20;

/// A part of a followed log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Lines with a timestamp before each, from byte `skip` on: what is before it was the beginning of a line that had no end yet.
    Lines {
        /// The lines, whole.
        text: Arc<str>,
        /// Where what is new begins.
        skip: usize,
    },
    /// Lines are missing here, and nobody knows how many.
    Gap,
    /// So many lines are missing here for this reader, which was too slow.
    Missed(u64),
    /// The rest could not be read, for this reason.
    Unread(Arc<str>),
}

impl Piece {
    /// What is said of what is missing, a line; nothing for lines.
    pub(super) fn notice(&self) -> String {
        match self {
            Self::Lines { .. } => String::new(),
            Self::Gap => "[virtual-node: lines are missing here, their number is unknown: more were written between two readings than \
                          the newest 2,000 lines or 1 MiB that ECI returns]\n"
                .to_owned(),
            Self::Missed(count) => {
                format!("[virtual-node: {count} lines are missing here: they came faster than they were taken]\n")
            }
            Self::Unread(why) => format!("[virtual-node: the end of the log could not be read: {why}]\n"),
        }
    }
}

/// The pieces, and how far each reader is.
#[derive(Debug)]
pub(super) struct Ring {
    /// Bytes that are kept at most.
    capacity: usize,
    /// Number of the first piece that is kept, and of the lines before it.
    first: u64,
    lines_before: u64,
    pieces: VecDeque<(Piece, u64)>,
    bytes: usize,
    readers: BTreeMap<u64, Place>,
    next_reader: u64,
}

/// How far a reader is: the next piece, and the lines before it.
#[derive(Clone, Copy, Debug)]
struct Place {
    piece: u64,
    lines: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            first: 0,
            lines_before: 0,
            pieces: VecDeque::new(),
            bytes: 0,
            readers: BTreeMap::new(),
            next_reader: 0,
        }
    }

    /// Adds lines, new from byte `skip` on.
    pub(super) fn push_lines(&mut self, text: &str, skip: usize) {
        let lines = text.matches('\n').count() as u64;
        let text = Arc::from(text);
        self.push(Piece::Lines { text, skip }, lines);
    }

    /// Adds a gap.
    pub(super) fn push_gap(&mut self) {
        self.push(Piece::Gap, 0);
    }

    /// Adds that the rest could not be read.
    pub(super) fn push_unread(&mut self, why: &str) {
        self.push(Piece::Unread(Arc::from(why)), 0);
    }

    fn push(&mut self, piece: Piece, lines: u64) {
        self.bytes += size(&piece);
        self.pieces.push_back((piece, lines));
        self.trim();
    }

    /// Adds a reader of what comes from now on.
    pub(super) fn join(&mut self) -> u64 {
        let id = self.next_reader;
        self.next_reader += 1;
        let place = Place {
            piece: self.first + self.pieces.len() as u64,
            lines: self.lines_before + self.pieces.iter().map(|(_, lines)| lines).sum::<u64>(),
        };
        self.readers.insert(id, place);
        id
    }

    /// Forgets a reader.
    pub(super) fn leave(&mut self, reader: u64) {
        self.readers.remove(&reader);
        self.trim();
    }

    /// The next piece for a reader.
    pub(super) fn take(&mut self, reader: u64) -> Option<Piece> {
        let (first, lines_before) = (self.first, self.lines_before);
        let place = self.readers.get_mut(&reader)?;
        if place.piece < first {
            let missed = lines_before.saturating_sub(place.lines);
            *place = Place {
                piece: first,
                lines: lines_before,
            };
            if missed > 0 {
                return Some(Piece::Missed(missed));
            }
        }
        let index = usize::try_from(place.piece - first).ok()?;
        let (piece, lines) = self.pieces.get(index)?;
        place.piece += 1;
        place.lines += lines;
        let piece = piece.clone();
        self.trim();
        Some(piece)
    }

    /// Drops what every reader has taken, and the oldest of what is too much.
    fn trim(&mut self) {
        let taken = self.readers.values().map(|place| place.piece).min();
        while let Some((piece, lines)) = self.pieces.front() {
            let wanted = taken.is_some_and(|taken| taken <= self.first);
            // The newest piece stays whatever its size: a reader that is up to date must be able to take it.
            if wanted && (self.bytes <= self.capacity || self.pieces.len() == 1) {
                break;
            }
            self.bytes -= size(piece);
            self.lines_before += lines;
            self.first += 1;
            self.pieces.pop_front();
        }
    }
}

fn size(piece: &Piece) -> usize {
    match piece {
        Piece::Lines { text, .. } => text.len(),
        Piece::Gap | Piece::Missed(_) | Piece::Unread(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> Option<Piece> {
        Some(Piece::Lines {
            text: Arc::from(text),
            skip: 0,
        })
    }

    #[test]
    fn each_reader_takes_what_came_since_it_joined() {
        let mut ring = Ring::default();
        let early = ring.join();
        ring.push_lines("a\n", 0);
        let late = ring.join();
        ring.push_gap();
        assert_eq!(ring.take(early), lines("a\n"));
        assert_eq!(ring.take(early), Some(Piece::Gap));
        assert_eq!(ring.take(early), None);
        assert_eq!(ring.pieces.len(), 1, "kept for the other only");
        assert_eq!(ring.take(late), Some(Piece::Gap));
        assert_eq!(ring.take(late), None);
        assert!(ring.pieces.is_empty());
    }

    #[test]
    fn who_is_too_slow_is_told_how_many_lines_it_missed() {
        const CAPACITY: usize = 4096;
        let mut ring = Ring::new(CAPACITY);
        let (slow, quick) = (ring.join(), ring.join());
        let piece = "0123456\n".repeat(CAPACITY / 32);
        for _ in 0..6 {
            ring.push_lines(&piece, 0);
            assert!(ring.take(quick).is_some());
        }
        assert!(ring.bytes <= CAPACITY);
        let missed = 2 * (CAPACITY / 32) as u64;
        assert_eq!(ring.take(slow), Some(Piece::Missed(missed)));
        assert_eq!(ring.take(slow), lines(&piece));
        ring.leave(slow);
        assert_eq!(ring.bytes, 0);
        assert_eq!(ring.take(slow), None);
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let mut ring = Ring::default();
        ring.push_lines("a\n", 0);
        assert!(ring.pieces.is_empty());
        let reader = ring.join();
        ring.push_lines("b\n", 0);
        assert_eq!(ring.take(reader), lines("b\n"));
    }

    proptest! {
        /// Whatever readers do: each gets every line written since it joined, in order, or is told how many it did not.
        #[test]
        fn no_line_goes_unaccounted(steps in prop::collection::vec((0_u8..6, 1_usize..2_000), 1..60)) {
            let mut ring = Ring::new(4_000);
            let mut written = 0_u64;
            let mut readers: Vec<(u64, u64)> = Vec::new();
            for (what, amount) in steps {
                match what {
                    0 => readers.push((ring.join(), written)),
                    1 | 2 => {
                        ring.push_lines(&"x\n".repeat(amount), 0);
                        written += amount as u64;
                    }
                    3 => {
                        if let Some((reader, _)) = readers.pop() {
                            ring.leave(reader);
                        }
                    }
                    _ => {
                        if let Some((reader, counted)) = readers.first_mut() {
                            match ring.take(*reader) {
                                Some(Piece::Lines { text, .. }) => *counted += text.matches('\n').count() as u64,
                                Some(Piece::Missed(missed)) => *counted += missed,
                                Some(Piece::Gap | Piece::Unread(_)) => prop_assert!(false, "there was none"),
                                None => prop_assert_eq!(*counted, written),
                            }
                        }
                    }
                }
            }
            for (reader, mut counted) in readers {
                while let Some(piece) = ring.take(reader) {
                    counted += match piece {
                        Piece::Lines { text, .. } => text.matches('\n').count() as u64,
                        Piece::Missed(missed) => missed,
                        Piece::Gap | Piece::Unread(_) => 0,
                    };
                }
                prop_assert_eq!(counted, written);
            }
            prop_assert!(ring.pieces.is_empty());
        }
    }
}
