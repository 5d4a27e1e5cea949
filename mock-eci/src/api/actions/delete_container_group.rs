//! `DeleteContainerGroup`. Deleting a group again is no error while it is Terminating; `Force` then ends the wait.

use serde_json::Map;

use crate::api::{Context, Work, error::ApiError};

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ContainerGroupId")?;
    let force = context.scope.boolean("Force")?.unwrap_or(false);
    context.once(|| match context.cloud.delete(id, force) {
        true => Ok(Map::new()),
        false => Err(ApiError::group_not_found(id)),
    })
}
