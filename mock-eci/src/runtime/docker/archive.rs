//! Tar archives: how files get into containers and out.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use bytes::Bytes;

/// Everything in an archive comes in blocks of so many bytes.
const BLOCK: usize = 512;

/// A tar archive in the making; everything in it belongs to root.
pub(super) struct Archive {
    tar: tar::Builder<Vec<u8>>,
    made: BTreeSet<String>,
}

impl Archive {
    pub(super) fn new() -> Self {
        Self {
            tar: tar::Builder::new(Vec::new()),
            made: Default::default(),
        }
    }

    fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size as u64);
        header
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut header = Self::header(tar::EntryType::Regular, mode, content.len());
        self.tar.append_data(&mut header, path, content)
    }

    pub(super) fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        if self.made.insert(path.trim_end_matches('/').to_owned()) {
            let mut header = Self::header(tar::EntryType::Directory, mode, 0);
            self.tar.append_data(&mut header, format!("{path}/"), io::empty())?;
        }
        Ok(())
    }

    /// Makes the folders between `root` and the last part of `path`.
    pub(super) fn parents(&mut self, root: &str, path: &str, mode: u32) -> io::Result<()> {
        for (end, _) in path.match_indices('/') {
            self.folder(&format!("{root}/{}", &path[..end]), mode)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        self.tar.into_inner()
    }
}

/// Takes in an archive piece by piece and keeps the end of its first file; never holds more than that.
pub(super) struct FileEnd {
    limit: usize,
    header: Vec<u8>,
    /// What of the current entry is still to come, and what is to be skipped after it.
    left: u64,
    padding: u64,
    /// Whether the current entry is the file.
    found: bool,
    kept: Vec<u8>,
    done: bool,
}

impl FileEnd {
    /// Keeps at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            header: Vec::new(),
            left: 0,
            padding: 0,
            found: false,
            kept: Vec::new(),
            done: false,
        }
    }

    /// Takes in the next piece; true = the file has ended, no more is needed.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> io::Result<bool> {
        while !piece.is_empty() && !self.done {
            if self.left > 0 {
                let (data, rest) = piece.split_at(piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX)));
                piece = rest;
                self.left -= data.len() as u64;
                if self.found {
                    self.keep(data);
                    self.done = self.left == 0;
                }
            } else if self.padding > 0 {
                let skipped = piece.len().min(usize::try_from(self.padding).unwrap_or(usize::MAX));
                piece = &piece[skipped..];
                self.padding -= skipped as u64;
            } else {
                let (data, rest) = piece.split_at(piece.len().min(BLOCK - self.header.len()));
                piece = rest;
                self.header.extend_from_slice(data);
                if self.header.len() == BLOCK {
                    let header = tar::Header::from_byte_slice(&self.header);
                    self.left = header.entry_size()?;
                    self.found = header.entry_type().is_file();
                    self.padding = self.left.next_multiple_of(BLOCK as u64) - self.left;
                    self.done = self.found && self.left == 0;
                    self.header.clear();
                }
            }
        }
        Ok(self.done)
    }

    fn keep(&mut self, data: &[u8]) {
        self.kept
            .extend_from_slice(&data[data.len().saturating_sub(self.limit)..]);
        let surplus = self.kept.len().saturating_sub(self.limit);
        self.kept.drain(..surplus);
    }

    /// The end of the file, or of what there was of it.
    pub(super) fn finish(self) -> Vec<u8> {
        self.kept
    }
}

/// Content of the only file in an archive, at most `limit` bytes of it.
pub(super) fn only_file(archive: &Bytes, limit: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Archive::new(archive.as_ref());
    for entry in archive.entries()? {
        let entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.take(limit).read_to_end(&mut content)?;
            return Ok(content);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the archive holds no file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_file_is_kept_however_its_archive_is_cut() {
        let mut archive = Archive::new();
        archive.folder("a", 0o755).expect("folder");
        let content: Vec<u8> = (0..2_000_u32)
            .map(|n| b'a' + u8::try_from(n % 26).expect("small"))
            .collect();
        archive.file("a/b", 0o644, &content).expect("file");
        let archive = archive.finish().expect("archive");
        for size in [1, 7, 512, 1_000, archive.len()] {
            for limit in [0, 1, 100, 1_999, 2_000, 4_096] {
                let mut end = FileEnd::new(limit);
                for piece in archive.chunks(size) {
                    if end.push(piece).expect("an archive") {
                        break;
                    }
                }
                assert_eq!(
                    end.finish(),
                    content[2_000_usize.saturating_sub(limit)..],
                    "{size} {limit}"
                );
            }
        }
    }

    #[test]
    fn an_empty_file_has_an_end_too() {
        let mut archive = Archive::new();
        archive.file("b", 0o644, b"").expect("file");
        let mut end = FileEnd::new(10);
        assert!(end.push(&archive.finish().expect("archive")).expect("an archive"));
        assert_eq!(end.finish(), b"");
    }

    #[test]
    fn the_only_file_of_an_archive_is_read_up_to_a_limit() {
        let mut archive = Archive::new();
        archive.folder("a", 0o755).expect("folder");
        archive.file("a/b", 0o644, b"content").expect("file");
        let archive = Bytes::from(archive.finish().expect("archive"));
        assert_eq!(only_file(&archive, 100).expect("file"), b"content");
        assert_eq!(only_file(&archive, 3).expect("file"), b"con");
    }
}
