//! Storage of groups that grows after their creation: the ephemeral storage above what is free.

use std::sync::Arc;

use jiff::Timestamp;

use super::{group::Group, lifecycle::Status, state::State};
use crate::{runtime::Runtime, spec::GroupSpec};

/// Why storage stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotResized {
    /// There is no such group.
    NoGroup,
    /// It is neither Pending nor Running, but this.
    Status(Status),
    /// It is larger already: so many GiB.
    Shrinks(u64),
}

impl State {
    /// Grows the ephemeral storage above what is free to so many GiB.
    ///
    /// # Errors
    /// [`NotResized`].
    pub fn resize_ephemeral_storage(
        &mut self,
        id: &str,
        gib: u64,
        now: Timestamp,
        runtime: &dyn Runtime,
    ) -> Result<(), NotResized> {
        self.resize(id, now, runtime, |spec| {
            grow(&mut spec.extra_ephemeral_storage_gib, gib)
        })
    }

    fn resize(
        &mut self,
        id: &str,
        now: Timestamp,
        runtime: &dyn Runtime,
        change: impl FnOnce(&mut GroupSpec) -> Result<(), NotResized>,
    ) -> Result<(), NotResized> {
        let group = self.group(id).ok_or(NotResized::NoGroup)?;
        if !matches!(group.status, Status::Pending | Status::Running) {
            return Err(NotResized::Status(group.status));
        }
        let (id, mut spec) = (group.id.clone(), (*group.spec).clone());
        change(&mut spec)?;
        self.edit(&id, now, |group| group.spec = Arc::new(spec));
        if runtime.survives()
            && let Some(record) = self.group(id.as_str()).and_then(Group::record)
        {
            runtime.keep(&id, record);
        }
        Ok(())
    }
}

fn grow(gib: &mut u64, to: u64) -> Result<(), NotResized> {
    if to < *gib {
        return Err(NotResized::Shrinks(*gib));
    }
    *gib = to;
    Ok(())
}
