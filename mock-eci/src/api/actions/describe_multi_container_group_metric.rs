//! `DescribeMultiContainerGroupMetric`: what up to 20 groups use now.

use serde::Serialize;
use serde_json::Value;

use crate::api::{
    Context, Work,
    error::ApiError,
    response::answer,
    view::metric::{Operation, records},
};

/// Most groups at once.
const MAX_GROUPS: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    request_id: &'a str,
    monitor_datas: Vec<MonitorData>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MonitorData {
    container_group_id: String,
    records: Vec<Value>,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    scope.required("ContainerGroupIds")?;
    let ids = scope.json_texts("ContainerGroupIds", MAX_GROUPS)?.unwrap_or_default();
    // The only type there is; without it ECI leaves the records out.
    let summary = match scope.filled("MetricType") {
        None => false,
        Some("summary") => true,
        Some(_) => return Err(ApiError::invalid("MetricType", "it must be summary")),
    };
    let resource_group = scope.filled("ResourceGroupId");
    // Groups that do not exist are left out, as in all lists. What ECI does is unconfirmed.
    let monitor_datas = ids
        .into_iter()
        .filter_map(|id| {
            let used = context.cloud.newest_used(&id, resource_group)?;
            Some(MonitorData {
                container_group_id: id,
                records: if summary {
                    records(&used, Operation::Multi)
                } else {
                    Vec::new()
                },
            })
        })
        .collect();
    answer(&Response {
        request_id: context.request_id,
        monitor_datas,
    })
    .map(Work::Done)
}
