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

    // Texts are shared, so that the cloud is not kept waiting while they are copied.
    let mut shown = Vec::with_capacity(limit);
    let page = context
        .cloud
        .select(&filter, limit, from, |group| shown.push(view::status::rendered(group)));
    let head = serde_json::to_string(&Head {
        request_id: context.request_id,
        total_count: page.total,
        next_token: page.next.map(|t| t.encode()).unwrap_or_default(),
    })
    .map_err(|_| ApiError::internal("The answer cannot be written."))?;
    let size = head.len() + shown.iter().map(|text| text.len() + 1).sum::<usize>() + 16;
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(&head.as_bytes()[..head.len() - 1]);
    body.extend_from_slice(b",\"Data\":[");
    for (nth, text) in shown.iter().enumerate() {
        if nth > 0 {
            body.push(b',');
        }
        body.extend_from_slice(text.as_bytes());
    }
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
