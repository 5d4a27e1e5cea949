//! Reading an archived log.

use bytes::Bytes;

use super::layout::{ContainerKey, Object};
use super::{Archive, Run};
use crate::kubelet::logs::format::Writer;
use crate::kubelet::logs::overlap::lines;
use crate::object_store::StoreError;

/// An archived log on its way to a client, one part after the other.
pub(in crate::kubelet::logs) struct ArchivedLog {
    archive: Archive,
    container: ContainerKey,
    restart: i32,
    /// Numbers of the parts to come, the next one last.
    parts: Vec<u32>,
    /// Lines of the next part that are not wanted.
    skip: usize,
    /// Whether more was to come when it was last written.
    unfinished: bool,
}

const UNFINISHED_NOTICE: &str = "[virtual-node: what was written after this is not in the log archive]\n";

impl ArchivedLog {
    /// The newest `tail` lines of a run, or all.
    ///
    /// # Errors
    /// The store does not answer.
    pub(in crate::kubelet::logs) async fn open(
        archive: &Archive,
        container: ContainerKey,
        restart: i32,
        run: &Run,
        tail: Option<usize>,
    ) -> Result<Self, StoreError> {
        let mut log = Self {
            archive: archive.clone(),
            container,
            restart,
            parts: run.parts.iter().rev().copied().collect(),
            skip: 0,
            unfinished: !run.ended,
        };
        if let Some(tail) = tail {
            log.go_to_tail(tail).await?;
        }
        Ok(log)
    }

    /// Leaves out what is before the newest `tail` lines.
    async fn go_to_tail(&mut self, tail: usize) -> Result<(), StoreError> {
        let mut counted = 0;
        for kept in 0..self.parts.len() {
            if counted >= tail {
                self.parts.truncate(kept);
                break;
            }
            let text = self.get(self.parts[kept]).await?;
            let count = lines(&text).len();
            self.skip = (counted + count).saturating_sub(tail);
            counted += count;
        }
        if tail == 0 {
            self.parts.clear();
        }
        Ok(())
    }

    /// The next bytes; `None` = that was all.
    pub(in crate::kubelet::logs) async fn next(&mut self, writer: &mut Writer) -> Option<Bytes> {
        loop {
            if writer.is_full() {
                return None;
            }
            let mut out = Vec::new();
            let Some(part) = self.parts.pop() else {
                if !std::mem::take(&mut self.unfinished) {
                    return None;
                }
                writer.raw(UNFINISHED_NOTICE.as_bytes(), &mut out);
                return Some(Bytes::from(out));
            };
            match self.get(part).await {
                Ok(text) => {
                    for line in lines(&text).into_iter().skip(std::mem::take(&mut self.skip)) {
                        writer.line(line, 0, &mut out);
                    }
                }
                Err(error) => {
                    self.parts.clear();
                    self.unfinished = false;
                    let place = self.archive.place();
                    let notice =
                        format!("[virtual-node: the rest cannot be read from the log archive {place}: {error}]\n");
                    writer.raw(notice.as_bytes(), &mut out);
                }
            }
            if !out.is_empty() {
                return Some(Bytes::from(out));
            }
        }
    }

    async fn get(&self, part: u32) -> Result<String, StoreError> {
        let body = self
            .archive
            .get(&self.container, self.restart, Object::Part(part))
            .await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
