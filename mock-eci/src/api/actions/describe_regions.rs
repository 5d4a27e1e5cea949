//! `DescribeRegions`: the one region there is, at the address the caller used.

use serde_json::json;

use crate::api::{Context, Work, error::ApiError, response::answer};

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region_if_any()?;
    answer(&json!({
        "RequestId": context.request_id,
        "Regions": [{
            "RegionId": context.offer.region,
            "RegionEndpoint": context.host,
            "Zones": context.offer.zones,
            "RecommendZones": context.offer.zones.first().into_iter().collect::<Vec<_>>(),
        }],
    }))
    .map(Work::Done)
}
