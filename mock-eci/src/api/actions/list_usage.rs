//! `ListUsage`: what the account may use and does.

use serde_json::json;

use crate::api::{Context, Work, error::ApiError, response::answer};

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let attributes = {
        let state = context.cloud.state();
        let (account, quotas) = (&state.account, &state.account.quotas);
        json!({
            "UsedCpu": state.used_milli_cpu() as f64 / 1000.0,
            "MaxCpu": state.quota_milli_cpu() as f64 / 1000.0,
            "MaxImageCacheCount": quotas.image_caches, "UsedImageCacheCount": account.image_caches.len(),
            "MaxAutoImageCacheCount": quotas.auto_image_caches, "UsedAutoImageCacheCount": 0,
            "MaxDataCacheCount": quotas.data_caches, "UsedDataCacheCount": account.data_caches.len(),
        })
    };
    answer(&json!({ "RequestId": context.request_id, "Attributes": attributes })).map(Work::Done)
}
