//! What all listing actions share: parameters, and the answers of lists of resources.

use serde_json::{Value, json};

use crate::{
    api::{Context, Work, error::ApiError, params::Scope, response::answer},
    domain::{
        lifecycle::Status,
        query::{Filter, Page, PageToken},
        resources::{
            Account,
            store::{Item, Record, Store},
        },
    },
    spec::GroupId,
};

/// Why a `NextToken` is refused.
pub(super) const NO_TOKEN: &str = "it is none that was given";

/// How many items a page has.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// If nothing is said.
    pub(super) default: usize,
    /// At most.
    pub(super) most: usize,
}

/// A list of resources in the making.
pub(super) struct Listed {
    /// Name of the list in the answer.
    pub(super) name: &'static str,
    /// Items of a page.
    pub(super) limit: usize,
}

impl Listed {
    /// Answers with one page of those in a store that match; `more` are members of this list alone.
    ///
    /// # Errors
    /// `InvalidParameter` for a `NextToken` that was never given.
    pub(super) fn answer<R: Record>(
        &self,
        context: Context<'_>,
        store: impl FnOnce(&Account) -> &Store<R>,
        matches: impl Fn(&Item<R>) -> bool,
        show: impl Fn(&Item<R>) -> Value,
        more: Value,
    ) -> Result<Work, ApiError> {
        let from = next_token(context.scope)?;
        let (items, page) = {
            let state = context.cloud.state();
            match state.may_list {
                true => {
                    let (items, page) = store(&state.account).page(self.limit, from, matches);
                    (items.into_iter().map(show).collect::<Vec<_>>(), page)
                }
                false => (Vec::new(), Page { total: 0, next: None }),
            }
        };
        let mut body = json!({
            "RequestId": context.request_id, "TotalCount": page.total,
            "NextToken": page.next.map(|t| t.encode()).unwrap_or_default(),
        });
        body[self.name] = Value::Array(items);
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        answer(&body).map(Work::Done)
    }
}

/// A parameter that is one of several words.
pub(super) fn word<T: Copy>(
    scope: Scope<'_>,
    name: &str,
    all: &[T],
    as_str: impl Fn(T) -> &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(word) = scope.filled(name) else {
        return Ok(None);
    };
    match all.iter().find(|value| as_str(**value) == word) {
        Some(value) => Ok(Some(*value)),
        None => {
            let words: Vec<&str> = all.iter().map(|value| as_str(*value)).collect();
            Err(ApiError::invalid(
                name,
                format_args!("it must be one of {}", words.join(", ")),
            ))
        }
    }
}

/// How many items a page is to have.
pub(super) fn limit_within(scope: Scope<'_>, name: &str, bounds: Bounds) -> Result<usize, ApiError> {
    let limit = scope.integer(name, 1..=i64::try_from(bounds.most).unwrap_or(i64::MAX))?;
    Ok(limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(bounds.default))
}

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
    limit_within(scope, "Limit", Bounds { default: most, most })
}

/// `NextToken`, one of our own.
pub(super) fn next_token(scope: Scope<'_>) -> Result<Option<PageToken>, ApiError> {
    match scope.filled("NextToken") {
        None => Ok(None),
        Some(text) => PageToken::decode(text)
            .map(Some)
            .ok_or_else(|| ApiError::invalid("NextToken", NO_TOKEN)),
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
