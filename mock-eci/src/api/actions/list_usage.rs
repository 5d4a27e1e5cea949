//! `ListUsage`: what the account may use and does.

use serde_json::json;

use crate::api::{Context, Work, error::ApiError, response::answer};

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let (used, max) = {
        let state = context.cloud.state();
        (state.used_milli_cpu(), state.max_milli_cpu)
    };
    answer(&json!({
        "RequestId": context.request_id,
        "Attributes": {
            "UsedCpu": used as f64 / 1000.0,
            "MaxCpu": max as f64 / 1000.0,
            "MaxImageCacheCount": 500, "UsedImageCacheCount": 0,
            "MaxAutoImageCacheCount": 25, "UsedAutoImageCacheCount": 0,
            "MaxDataCacheCount": 100, "UsedDataCacheCount": 0,
        },
    }))
    .map(Work::Done)
}
