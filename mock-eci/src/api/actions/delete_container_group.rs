//! `DeleteContainerGroup`. Deleting a group again is no error while it is Terminating; `Force` then ends the wait.

use serde::Serialize;

use crate::api::{Context, Work, error::ApiError, response::answer};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    request_id: &'a str,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ContainerGroupId")?;
    let force = context.scope.boolean("Force")?.unwrap_or(false);
    context.scope.text("ClientToken");
    if !context.cloud.delete(id, force) {
        return Err(ApiError::group_not_found(id));
    }
    answer(&Response {
        request_id: context.request_id,
    })
    .map(Work::Done)
}
