//! `DescribeContainerGroupEvents`: the newest 50 events of each group.

use serde::Serialize;
use serde_json::Value;

use super::listing;
use crate::{
    api::{Context, Work, error::ApiError, response::answer, view},
    domain::{events::Source, query::Filter},
};

const LIMIT: usize = 200;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    request_id: &'a str,
    total_count: usize,
    // Not in the SDKs' models, though the request has it: given only where there is a next page.
    #[serde(skip_serializing_if = "String::is_empty")]
    next_token: String,
    data: Vec<Value>,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let source = match scope.filled("EventSource") {
        None => None,
        Some("EciService") => Some(Source::Service),
        Some("K8sAgent") => Some(Source::Agent),
        Some(_) => {
            return Err(ApiError::invalid(
                "EventSource",
                "it must be EciService, K8sAgent or empty",
            ));
        }
    };
    let now = context.cloud.clock().now();
    let since = listing::changed_since(scope, now)?;
    let filter = Filter {
        changed_since: since,
        ..listing::filter(scope, 10)?
    };
    let (limit, from) = (listing::limit(scope, LIMIT)?, listing::next_token(scope)?);
    let mut data = Vec::new();
    let page = context.cloud.select(&filter, limit, from, |group| {
        data.push(view::event::of_group(group, source, since));
    });
    answer(&Response {
        request_id: context.request_id,
        total_count: page.total,
        next_token: page.next.map(|t| t.encode()).unwrap_or_default(),
        data,
    })
    .map(Work::Done)
}
