//! Parameters all listing actions share.

use crate::{
    api::{error::ApiError, params::Scope},
    domain::{
        lifecycle::Status,
        query::{Filter, PageToken},
    },
    spec::GroupId,
};

/// The conditions every listing knows.
pub(super) fn filter(scope: Scope<'_>, tags: usize) -> Result<Filter, ApiError> {
    let ids = scope.json_texts("ContainerGroupIds", 20)?;
    let filled = |name: &str| scope.filled(name).map(str::to_owned);
    Ok(Filter {
        // An empty array asks for nothing in particular.
        ids: ids
            .filter(|ids| !ids.is_empty())
            .map(|ids| ids.into_iter().map(GroupId::from).collect()),
        tags: scope.text_pairs("Tag", ("Key", "Value"), tags)?,
        zone_id: filled("ZoneId"),
        vswitch_id: filled("VSwitchId"),
        resource_group_id: filled("ResourceGroupId"),
        ..Filter::default()
    })
}

/// `SinceSecond` as the time it means.
pub(super) fn changed_since(scope: Scope<'_>, now: jiff::Timestamp) -> Result<Option<jiff::Timestamp>, ApiError> {
    let seconds = scope.integer("SinceSecond", 60..=3_600)?;
    Ok(seconds.map(|s| {
        now.saturating_sub(jiff::SignedDuration::from_secs(s))
            .unwrap_or(jiff::Timestamp::MIN)
    }))
}

/// `Limit`: at most `most`, which is also the default.
pub(super) fn limit(scope: Scope<'_>, most: usize) -> Result<usize, ApiError> {
    let limit = scope.integer("Limit", 1..=i64::try_from(most).unwrap_or(i64::MAX))?;
    Ok(limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(most))
}

/// `NextToken`, one of our own.
pub(super) fn next_token(scope: Scope<'_>) -> Result<Option<PageToken>, ApiError> {
    match scope.filled("NextToken") {
        None => Ok(None),
        Some(text) => PageToken::decode(text)
            .map(Some)
            .ok_or_else(|| ApiError::invalid("NextToken", "it is none that was given")),
    }
}

/// `Status` by its word. ECI's other words match no group here.
pub(super) fn status(scope: Scope<'_>) -> Result<Option<Status>, ApiError> {
    match scope.filled("Status") {
        None => Ok(None),
        Some(word) => Status::ALL
            .into_iter()
            .find(|s| s.as_str() == word)
            .map(Some)
            .ok_or_else(|| ApiError::invalid("Status", "there is no such status")),
    }
}
