//! `RestartContainerGroup`: a Pending or Running group ends its containers and starts anew.

use serde_json::Map;

use crate::{
    api::{Context, Work, error::ApiError},
    domain::state::Unchangeable,
};

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ContainerGroupId")?;
    context.once(|| match context.cloud.restart(id) {
        Ok(()) => Ok(Map::new()),
        Err(why) => Err(unchangeable(id, why)),
    })
}

/// ECI's code for a group that stays as it is.
pub(super) fn unchangeable(id: &str, why: Unchangeable) -> ApiError {
    match why {
        Unchangeable::NoGroup => ApiError::group_not_found(id),
        Unchangeable::Status(status) => ApiError::incorrect_status(id, status.as_str()),
        Unchangeable::Quota => ApiError::quota("vCPU"),
    }
}
