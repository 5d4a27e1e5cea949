//! Tar archives: how files get into containers and out.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use bytes::Bytes;

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
    fn the_only_file_of_an_archive_is_read_up_to_a_limit() {
        let mut archive = Archive::new();
        archive.folder("a", 0o755).expect("folder");
        archive.file("a/b", 0o644, b"content").expect("file");
        let archive = Bytes::from(archive.finish().expect("archive"));
        assert_eq!(only_file(&archive, 100).expect("file"), b"content");
        assert_eq!(only_file(&archive, 3).expect("file"), b"con");
    }
}
