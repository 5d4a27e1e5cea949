//! (pure) Lines of a stream, of which none may take more than so much memory.

use std::io::{self, BufRead};

/// Longer lines are skipped: those that are known to be long (plans of queries) do not matter here.
pub(super) const LONGEST: usize = 16 << 20;

/// Shows each whole line to `take`, and says whether the stream ended with one. A line longer than `longest` is shown as `None`.
pub(super) fn each(
    mut reader: impl BufRead,
    longest: usize,
    mut take: impl FnMut(Option<&[u8]>),
) -> (bool, io::Result<()>) {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let piece = match reader.fill_buf() {
            Ok([]) => return (line.is_empty() && !too_long, Ok(())),
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return (false, Err(error)),
        };
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (part, used) = end.map_or((piece, piece.len()), |end| (&piece[..end], end + 1));
        too_long |= line.len() + part.len() > longest;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        reader.consume(used);
        if end.is_some() {
            take((!too_long).then_some(line.as_slice()));
            line.clear();
            too_long = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_stream_is_cut() {
        for capacity in 1..8 {
            let reader = io::BufReader::with_capacity(capacity, "one\n\ntoo long\ntwo\nhal".as_bytes());
            let mut seen = Vec::new();
            let (whole, result) = each(reader, 4, |line| seen.push(line.map(<[u8]>::to_vec)));
            result.expect("reads");
            assert!(!whole, "the last line has no end");
            let text = |text: &str| Some(text.as_bytes().to_vec());
            assert_eq!(seen, [text("one"), text(""), None, text("two")]);
        }
    }
}
