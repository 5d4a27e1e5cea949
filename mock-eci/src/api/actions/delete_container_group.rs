//! `DeleteContainerGroup`. Deleting a group again is no error while it is Terminating; `Force` then ends the wait.

use serde_json::Map;

use crate::api::{Context, Work, error::ApiError};

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ContainerGroupId")?;
    let force = context.scope.boolean("Force")?.unwrap_or(false);
    let work = context.once(|| match context.cloud.delete(id, force) {
        true => Ok(Map::new()),
        false => Err(ApiError::group_not_found(id)),
    })?;
    // Who was told that a group is being deleted need not ask again, whatever becomes of this process.
    Ok(match (work, context.cloud.kept(id)) {
        (Work::Done(answer), Some(kept)) => Work::Later(Box::pin(async move {
            kept.await;
            Ok(answer)
        })),
        (work, _) => work,
    })
}
