//! Tags of groups after their creation.
//!
//! A tagged group counts as changed, so that whoever asks for changes by tag (`SinceSecond` with `Tag.N`) learns of it, and
//! its bill goes under its new tags, as a bill that is split by tags does.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    group::Group,
    resources::tags::{self, Removed, Tags},
    state::State,
};
use crate::{runtime::Runtime, spec::GroupId};

/// Why groups are not tagged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTagged {
    /// There is no group of this id.
    NotFound(String),
    /// One would have too many.
    TooMany,
}

impl State {
    /// Adds tags to groups: to all of them or, when one cannot have them, to none.
    ///
    /// # Errors
    /// [`NotTagged`].
    pub fn tag_groups(
        &mut self,
        ids: &[String],
        added: &Tags,
        now: Timestamp,
        runtime: &dyn Runtime,
    ) -> Result<(), NotTagged> {
        self.retag(ids, now, runtime, |tags| {
            tags::add(tags, added).map_err(|_| NotTagged::TooMany)
        })
    }

    /// Takes tags away from groups, from all of them or, when one is not there, from none.
    ///
    /// # Errors
    /// [`NotTagged::NotFound`].
    pub fn untag_groups(
        &mut self,
        ids: &[String],
        removed: &Removed,
        now: Timestamp,
        runtime: &dyn Runtime,
    ) -> Result<(), NotTagged> {
        self.retag(ids, now, runtime, |tags| {
            tags::remove(tags, removed);
            Ok(())
        })
    }

    fn retag(
        &mut self,
        ids: &[String],
        now: Timestamp,
        runtime: &dyn Runtime,
        change: impl Fn(&mut Tags) -> Result<(), NotTagged>,
    ) -> Result<(), NotTagged> {
        let mut changed: Vec<(GroupId, Tags)> = Vec::with_capacity(ids.len());
        for id in ids {
            let group = self.group(id).ok_or_else(|| NotTagged::NotFound(id.clone()))?;
            let mut tags = group.spec.tags.clone();
            change(&mut tags)?;
            if tags != group.spec.tags {
                changed.push((group.id.clone(), tags));
            }
        }
        for (id, tags) in changed {
            self.ledger.with(&id, |entry| entry.tags.clone_from(&tags));
            self.edit(&id, now, |group| Arc::make_mut(&mut group.spec).tags = tags);
            if runtime.survives()
                && let Some(record) = self.group(id.as_str()).and_then(Group::record)
            {
                runtime.keep(&id, record);
            }
        }
        Ok(())
    }
}
