//! What requests about caches and virtual nodes have in common.

use std::{collections::BTreeMap, time::Duration};

use super::group;
use crate::{
    api::{error::ApiError, params::Scope},
    domain::resources::{Common, CommonChange, store::Filter, tags::MAX_TAGS},
};

/// Longest retention: a hundred years. ECI's own bound is not documented.
const MAX_RETENTION_DAYS: i64 = 36_500;
/// Longest of free texts that are kept.
const MAX_TEXT: usize = 256;

/// Text of at most 256 characters.
pub(in crate::api) fn text(scope: Scope<'_>, name: &str) -> Result<Option<String>, ApiError> {
    match scope.filled(name) {
        Some(text) if text.chars().count() > MAX_TEXT => Err(ApiError::invalid(
            &scope.name(name),
            format_args!("it must have at most {MAX_TEXT} characters"),
        )),
        text => Ok(text.map(str::to_owned)),
    }
}

/// Text that must be there.
pub(super) fn required_text(scope: Scope<'_>, name: &str) -> Result<String, ApiError> {
    scope.required(name)?;
    Ok(text(scope, name)?.unwrap_or_default())
}

/// GiB of a disk, with ECI's default of 20.
pub(super) fn size_gib(scope: Scope<'_>, name: &str) -> Result<Option<i64>, ApiError> {
    scope.integer(name, 1..=32_768)
}

/// What every resource is made with.
pub(super) fn common(scope: Scope<'_>) -> Result<Common, ApiError> {
    Ok(Common {
        resource_group_id: text(scope, "ResourceGroupId")?.unwrap_or_default(),
        tags: group::tags(scope)?,
        retention: retention(scope)?,
    })
}

/// What an update changes of that.
pub(super) fn common_change(scope: Scope<'_>) -> Result<CommonChange, ApiError> {
    Ok(CommonChange {
        resource_group_id: text(scope, "ResourceGroupId")?,
        tags: group::tags(scope)?,
        retention: retention(scope)?,
    })
}

fn retention(scope: Scope<'_>) -> Result<Option<Duration>, ApiError> {
    let days = scope.integer("RetentionDays", 1..=MAX_RETENTION_DAYS)?;
    Ok(days.map(|days| Duration::from_secs(days.unsigned_abs() * 24 * 3600)))
}

/// The conditions every list of resources knows.
pub(in crate::api) fn resource_filter(scope: Scope<'_>) -> Result<Filter, ApiError> {
    Ok(Filter {
        ids: None,
        tags: scope.text_pairs("Tag", ("Key", "Value"), MAX_TAGS)?,
        resource_group_id: scope.filled("ResourceGroupId").map(str::to_owned),
    })
}

/// Names and values of a map that is kept, each of bounded length.
pub(super) fn options(scope: Scope<'_>, member: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let map = scope.map(member, 50)?;
    match map.iter().any(|(name, value)| name.len() + value.len() > 8 * 1024) {
        true => Err(ApiError::invalid(
            &scope.name(member),
            "its members must be shorter than 8 KiB",
        )),
        false => Ok(map),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::api::params::{Params, Reader};

    /// Reads an encoded query.
    pub(in crate::api::decode) fn read<T>(encoded: &str, decode: impl FnOnce(super::Scope<'_>) -> T) -> T {
        let mut params = Params::default();
        params.extend_encoded(encoded.as_bytes()).expect("few parameters");
        params.sort();
        decode(Reader::new(&params).root())
    }
}
