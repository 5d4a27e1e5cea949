//! `CreateDataCache`, `UpdateDataCache`, `DeleteDataCache`, `CopyDataCache`, `DescribeDataCaches`.

use serde_json::{Map, Value, json};

use super::listing::{self, Listed};
use crate::{
    api::{Context, Work, decode, error::ApiError, regions, view},
    domain::resources::{
        data_cache::{DEFAULT_BUCKET, DataCache},
        store::Item,
    },
};

/// Items of a page.
const PAGE: listing::Bounds = listing::Bounds { default: 20, most: 20 };

pub(in crate::api) fn create(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let spec = decode::data_cache_spec(context.scope, false)?;
    context.once(|| {
        let created = context
            .cloud
            .account(|account, now| account.create_data_cache(spec, now));
        id(created.map_err(ApiError::refused)?)
    })
}

pub(in crate::api) fn update(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let which = decode::which_data_cache(context.scope)?;
    let change = decode::data_cache_change(context.scope)?;
    context.once(|| {
        context
            .cloud
            .account(|account, now| account.update_data_cache(&which, change, now))
            .map_err(ApiError::refused)?;
        Ok(Map::new())
    })
}

pub(in crate::api) fn delete(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let which = decode::which_data_cache(context.scope)?;
    context.once(|| {
        context
            .cloud
            .account(|account, _| account.delete_data_cache(&which))
            .map_err(ApiError::refused)?;
        Ok(Map::new())
    })
}

/// A copy in another region is known there alone, and this server is one region: the answer has its id, and that is all.
pub(in crate::api) fn copy(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let from = scope.required("DataCacheId")?;
    let destination = scope.required("DestinationRegionId")?;
    let here = destination == context.offer.region;
    if !here && !regions::exists(destination) {
        return Err(ApiError::region(destination));
    }
    let target = decode::data_cache_spec(scope, true)?;
    context.once(|| {
        let copied = context
            .cloud
            .account(|account, now| account.copy_data_cache(from, here, target, now));
        id(copied.map_err(ApiError::refused)?)
    })
}

/// The bucket `default` is meant where a `Path` comes without one; without both any will do.
pub(in crate::api) fn describe(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let mut filter = decode::resource_filter(scope)?;
    let ids = scope.texts("DataCacheId", 100)?;
    filter.ids = (!ids.is_empty()).then(|| ids.into_iter().map(str::to_owned).collect());
    let path = scope.filled("Path");
    let bucket = scope.filled("Bucket").or(path.map(|_| DEFAULT_BUCKET));
    let matches = |item: &Item<DataCache>| {
        filter.matches(item)
            && bucket.is_none_or(|bucket| item.record.bucket == bucket)
            && path.is_none_or(|path| item.record.path == path)
    };
    let list = Listed {
        name: "DataCaches",
        limit: listing::limit_within(scope, "Limit", PAGE)?,
    };
    list.answer(
        context,
        |account| &account.data_caches,
        matches,
        |item| view::resource::data_cache(item, &context.offer.region),
        json!({}),
    )
}

fn id(id: String) -> Result<Map<String, Value>, ApiError> {
    Ok(Map::from_iter([("DataCacheId".to_owned(), Value::from(id))]))
}
