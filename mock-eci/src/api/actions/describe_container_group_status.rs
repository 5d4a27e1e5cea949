//! `DescribeContainerGroupStatus`: the cheap, incremental, pod-shaped listing.
//!
//! Each group is rendered once per change and kept as text, so a page costs what it returns.

use serde::Serialize;

use super::listing;
use crate::{
    api::{Answer, Context, Work, error::ApiError, view},
    domain::query::Filter,
};

/// Default and most per page. The default is documented; the maximum is not, so no more is given.
const LIMIT: usize = 200;

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let now = context.cloud.clock().now();
    let filter = Filter {
        changed_since: listing::changed_since(scope, now)?,
        ..listing::filter(scope, 10)?
    };
    let (limit, from) = (listing::limit(scope, LIMIT)?, listing::next_token(scope)?);

    let mut data = Vec::with_capacity(4096);
    let page = context.cloud.select(&filter, limit, from, |group| {
        if !data.is_empty() {
            data.push(b',');
        }
        data.extend_from_slice(view::status::rendered(group).as_bytes());
    });
    let head = serde_json::to_string(&Head {
        request_id: context.request_id,
        total_count: page.total,
        next_token: page.next.map(|t| t.encode()).unwrap_or_default(),
    })
    .map_err(|_| ApiError::internal("The answer cannot be written."))?;
    let mut body = Vec::with_capacity(head.len() + data.len() + 16);
    body.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    body.extend_from_slice(b",\"Data\":[");
    body.append(&mut data);
    body.extend_from_slice(b"]}");
    Ok(Work::Done(Answer {
        body: body.into(),
        processing: None,
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Head<'a> {
    request_id: &'a str,
    total_count: usize,
    next_token: String,
}
