//! `CommitContainer` and `DescribeCommitContainerTask`.

use serde_json::json;

use super::listing::{self, Listed};
use crate::{
    api::{Context, Work, decode, error::ApiError, response::answer, view},
    domain::{
        lifecycle::Status as GroupStatus,
        resources::{
            commit::{Commit, Status},
            store::Item,
        },
    },
};

/// Items of a page.
const PAGE: listing::Bounds = listing::Bounds { default: 10, most: 50 };

/// The container must be there and its group be Running.
pub(in crate::api) fn create(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let (id, name) = (scope.required("ContainerGroupId")?, scope.required("ContainerName")?);
    let image = scope.sub("Image");
    let (repository, tag) = (scope.required("Image.Repository")?, scope.required("Image.Tag")?);
    decode::text(image, "Author")?;
    decode::text(image, "Message")?;
    for (name, part) in [("Image.Repository", repository), ("Image.Tag", tag)] {
        if part.len() > 255 || part.contains(char::is_whitespace) {
            return Err(ApiError::invalid(
                name,
                "it must have at most 255 characters and no space",
            ));
        }
    }
    if scope.filled("Arn.RoleType").is_some_and(|kind| kind != "service") {
        return Err(ApiError::invalid("Arn.RoleType", "it must be service"));
    }
    let group = {
        let state = context.cloud.state();
        let group = state.group(id).ok_or_else(|| ApiError::group_not_found(id))?;
        if group.index_of(name).is_none() {
            return Err(ApiError::container_not_found(name));
        }
        if group.status != GroupStatus::Running {
            let message = format!("The container group is {}; it must be Running.", group.status.as_str());
            return Err(ApiError::status_forbids(message));
        }
        group.id.clone()
    };
    let task = context
        .cloud
        .account(|account, now| account.commit(group, name.to_owned(), format!("{repository}:{tag}"), now));
    answer(&json!({ "RequestId": context.request_id, "TaskId": task })).map(Work::Done)
}

pub(in crate::api) fn describe(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let ids = scope.texts("TaskId", 100)?;
    let group = scope.filled("ContainerGroupId");
    if ids.is_empty() && group.is_none() {
        return Err(ApiError::missing("ContainerGroupId"));
    }
    let status = listing::word(scope, "TaskStatus", &Status::ALL, Status::as_str)?;
    let matches = |item: &Item<Commit>| {
        (ids.is_empty() || ids.contains(&item.id.as_str()))
            && group.is_none_or(|group| item.record.group.as_str() == group)
            && status.is_none_or(|status| item.record.status == status)
    };
    let list = Listed {
        name: "CommitTasks",
        limit: listing::limit_within(scope, "MaxResults", PAGE)?,
    };
    // Text, unlike every other number.
    let more = json!({ "MaxResults": list.limit.to_string() });
    list.answer(
        context,
        |account| &account.commits,
        matches,
        view::resource::commit,
        more,
    )
}
