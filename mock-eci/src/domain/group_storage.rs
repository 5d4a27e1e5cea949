//! Storage of groups that grows after their creation: disks, and the ephemeral storage above what is free.
//!
//! No runtime here has disks of its own: what is asked for is checked, kept and shown.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{group::Group, lifecycle::Status, state::State};
use crate::{
    runtime::Runtime,
    spec::{ExternalVolume, GroupSpec, Secret, VolumeSource},
};

/// The driver of disks among flex volumes.
const DISK_DRIVER: &str = "alicloud/disk";

/// Why storage stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotResized {
    /// There is no such group.
    NoGroup,
    /// It is neither Pending nor Running, but this.
    Status(Status),
    /// It has no volume of this name.
    NoVolume,
    /// The volume is no disk.
    NoDisk,
    /// It is larger already: so many GiB.
    Shrinks(u64),
}

impl State {
    /// Grows a volume, which must be a disk, to so many GiB. The same size is no error: then only its file system grows.
    ///
    /// # Errors
    /// [`NotResized`].
    pub fn resize_volume(
        &mut self,
        id: &str,
        volume: &str,
        gib: u64,
        now: Timestamp,
        runtime: &dyn Runtime,
    ) -> Result<(), NotResized> {
        self.resize(id, now, runtime, |spec| {
            let volume = spec.volumes.iter_mut().find(|v| v.name == volume);
            match &mut volume.ok_or(NotResized::NoVolume)?.source {
                VolumeSource::External(ExternalVolume::Disk { size_gib, .. }) => grow(size_gib, gib),
                VolumeSource::External(ExternalVolume::Flex { driver, options, .. }) if driver == DISK_DRIVER => {
                    grow_flex(options, gib)
                }
                _ => Err(NotResized::NoDisk),
            }
        })
    }

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

/// The size is one of the options, text or number; a disk that was there before (`volumeId`) may have none.
fn grow_flex(options: &mut Secret, gib: u64) -> Result<(), NotResized> {
    let mut map: Map<String, Value> = serde_json::from_str(&options.0).unwrap_or_default();
    let mut size = match map.get("volumeSize") {
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
        Some(value) => value.as_u64().unwrap_or(0),
        None => 0,
    };
    grow(&mut size, gib)?;
    map.insert("volumeSize".to_owned(), size.to_string().into());
    *options = Secret(Value::Object(map).to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_among_options_grows() {
        for (before, after) in [
            (r#"{"volumeSize":"20","a":"b"}"#, Ok(r#"{"a":"b","volumeSize":"30"}"#)),
            (r#"{"volumeSize":20}"#, Ok(r#"{"volumeSize":"30"}"#)),
            (r#"{"volumeId":"d-1"}"#, Ok(r#"{"volumeId":"d-1","volumeSize":"30"}"#)),
            (r#"{"volumeSize":"30"}"#, Ok(r#"{"volumeSize":"30"}"#)),
            (r#"{"volumeSize":"31"}"#, Err(NotResized::Shrinks(31))),
        ] {
            let mut options = Secret(before.to_owned());
            let result = grow_flex(&mut options, 30).map(|()| options.0);
            assert_eq!(result, after.map(str::to_owned), "{before}");
        }
    }
}
