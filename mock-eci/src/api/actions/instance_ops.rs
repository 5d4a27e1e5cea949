//! `CreateInstanceOpsTask` and `DescribeInstanceOpsRecords`.

use serde_json::{Value, json};

use crate::{
    api::{Context, Work, decode, error::ApiError, response::answer, view},
    domain::lifecycle::Status,
};

/// The group must be Pending or Running.
pub(in crate::api) fn create(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ContainerGroupId")?;
    let (kind, order) = decode::ops_order(context.scope)?;
    let group = {
        let state = context.cloud.state();
        let group = state.group(id).ok_or_else(|| ApiError::group_not_found(id))?;
        if !matches!(group.status, Status::Pending | Status::Running) {
            let status = group.status.as_str();
            let message = format!("The container group is {status}; it must be Pending or Running.");
            return Err(ApiError::status_forbids(message));
        }
        group.id.clone()
    };
    context
        .cloud
        .account(|account, now| account.order_ops(&group, kind, order, now));
    answer(&json!({ "RequestId": context.request_id, "Result": "success" })).map(Work::Done)
}

/// Records stay when their group goes; a group that never was has none.
pub(in crate::api) fn describe(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let group = context.scope.required("ContainerGroupId")?;
    let kind = decode::ops_type(context.scope)?;
    let state = context.cloud.state();
    let records: Vec<Value> = state
        .account
        .ops
        .iter()
        .filter(|item| state.may_list && item.record.group.as_str() == group && item.record.kind == kind)
        .map(view::resource::ops_task)
        .collect();
    drop(state);
    answer(&json!({ "RequestId": context.request_id, "Records": records })).map(Work::Done)
}
