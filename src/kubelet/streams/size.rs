//! (pure) Sizes of a terminal, as clients send them: JSON objects one after the other, `{"Width":80,"Height":24}`.

use serde::Deserialize;

/// Size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TerminalSize {
    /// Columns.
    #[serde(default, alias = "width")]
    pub(super) width: u16,
    /// Lines.
    #[serde(default, alias = "height")]
    pub(super) height: u16,
}

/// Bytes of an object at most.
const MOST: usize = 1024;

/// Reads sizes from bytes as they come. After something that is none it reads no more, as a kubelet does not.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    unread: Vec<u8>,
    broken: bool,
}

impl Sizes {
    /// The newest size that is complete with these bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<TerminalSize> {
        if self.broken {
            return None;
        }
        self.unread.extend_from_slice(bytes);
        let mut objects = serde_json::Deserializer::from_slice(&self.unread).into_iter::<TerminalSize>();
        let mut newest = None;
        let mut used = 0;
        loop {
            match objects.next() {
                Some(Ok(size)) => newest = Some(size),
                Some(Err(error)) if !error.is_eof() => self.broken = true,
                _ => break,
            }
            if self.broken {
                break;
            }
            used = objects.byte_offset();
        }
        self.unread.drain(..used);
        self.broken |= self.unread.len() > MOST;
        if self.broken {
            self.unread = Vec::new();
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: TerminalSize = TerminalSize { width: 200, height: 50 };

    #[test]
    fn objects_come_in_pieces_and_together() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.feed(b"{\"Width\":8"), None);
        assert_eq!(
            sizes.feed(b"0,\"Height\":24}\n"),
            Some(TerminalSize { width: 80, height: 24 })
        );
        assert_eq!(
            sizes.feed(b"{\"Width\":1,\"Height\":1}{\"Width\":200,\"Height\":50}\n{"),
            Some(WIDE)
        );
        assert_eq!(sizes.feed(b"\"width\":200,\"height\":50}"), Some(WIDE));
    }

    #[test]
    fn nonsense_ends_it() {
        for nonsense in [&b"x"[..], b"{\"Width\":-1}", b"[]", &[b' '; 2 * MOST]] {
            let mut sizes = Sizes::default();
            sizes.feed(nonsense);
            assert_eq!(sizes.feed(&[b'{'; 2 * MOST]), None);
            assert_eq!(sizes.feed(b"{\"Width\":200,\"Height\":50}"), None, "{nonsense:?}");
            assert!(sizes.unread.is_empty());
        }
    }
}
