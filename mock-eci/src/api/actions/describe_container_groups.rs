//! `DescribeContainerGroups`: everything about at most 20 groups.

use serde::Serialize;
use serde_json::Value;

use super::listing;
use crate::{
    api::{Context, Work, error::ApiError, response::answer, view},
    domain::query::Filter,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    request_id: &'a str,
    total_count: usize,
    next_token: String,
    container_groups: Vec<Value>,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let filter = Filter {
        name: scope.filled("ContainerGroupName").map(str::to_owned),
        security_group_id: scope.filled("SecurityGroupId").map(str::to_owned),
        status: listing::status(scope)?,
        compute_category: scope.filled("ComputeCategory").map(str::to_owned),
        ..listing::filter(scope, 20)?
    };
    let (limit, from) = (listing::limit(scope, 20)?, listing::next_token(scope)?);
    let with_events = scope.boolean("WithEvent")?.unwrap_or(false);
    let mut container_groups = Vec::with_capacity(limit);
    let page = context.cloud.select(&filter, limit, from, |group| {
        container_groups.push(view::group::group(group, &context.offer.region, with_events));
    });
    answer(&Response {
        request_id: context.request_id,
        total_count: page.total,
        next_token: page.next.map(|t| t.encode()).unwrap_or_default(),
        container_groups,
    })
    .map(Work::Done)
}
