//! `DeleteContainerGroups`, which only old SDKs have: several groups, all of them or, where one is not there, none.

use serde_json::Map;

use crate::api::{Context, Work, error::ApiError};

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    context.scope.required("ContainerGroupIds")?;
    let ids = context.scope.json_texts("ContainerGroupIds", 20)?.unwrap_or_default();
    context.once(|| {
        let missing = {
            let state = context.cloud.state();
            ids.iter().find(|id| state.group(id).is_none())
        };
        if let Some(id) = missing {
            return Err(ApiError::group_not_found(id));
        }
        for id in &ids {
            context.cloud.delete(id, false);
        }
        Ok(Map::new())
    })
}
