//! `ResizeContainerGroupVolume`, and `ResizeContainerGroupEphemeralStorage`, which only old SDKs have.

use serde_json::Map;

use crate::{
    api::{Context, Work, error::ApiError},
    domain::group_storage::NotResized,
};

/// Of disks; basic ones end at 2,000 GiB, but a group does not say what its disk is.
const VOLUME_GIB: std::ops::RangeInclusive<i64> = 5..=32_768;
/// As at creation.
const EPHEMERAL_GIB: std::ops::RangeInclusive<i64> = 0..=5_000;

pub(in crate::api) fn volume(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let (id, name) = (scope.required("ContainerGroupId")?, scope.required("VolumeName")?);
    let size = new_size(context, VOLUME_GIB)?;
    context.once(|| {
        let (now, runtime) = (context.cloud.clock().now(), &**context.cloud.runtime());
        let resized = context.cloud.state().resize_volume(id, name, size, now, runtime);
        resized.map(|()| Map::new()).map_err(|why| not_resized(id, why))
    })
}

pub(in crate::api) fn ephemeral_storage(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ContainerGroupId")?;
    let size = new_size(context, EPHEMERAL_GIB)?;
    context.once(|| {
        let (now, runtime) = (context.cloud.clock().now(), &**context.cloud.runtime());
        let resized = context.cloud.state().resize_ephemeral_storage(id, size, now, runtime);
        resized.map(|()| Map::new()).map_err(|why| not_resized(id, why))
    })
}

fn new_size(context: Context<'_>, bounds: std::ops::RangeInclusive<i64>) -> Result<u64, ApiError> {
    context.scope.required("NewSize")?;
    let size = context.scope.integer("NewSize", bounds)?;
    Ok(size.unwrap_or_default().unsigned_abs())
}

fn not_resized(id: &str, why: NotResized) -> ApiError {
    match why {
        NotResized::NoGroup => ApiError::group_not_found(id),
        NotResized::Status(status) => ApiError::incorrect_status(id, status.as_str()),
        NotResized::NoVolume => ApiError::invalid("VolumeName", "the container group has no volume of this name"),
        NotResized::NoDisk => ApiError::no_disk(),
        NotResized::Shrinks(gib) => {
            ApiError::invalid("NewSize", format_args!("storage can only grow, and it has {gib} GiB"))
        }
    }
}
