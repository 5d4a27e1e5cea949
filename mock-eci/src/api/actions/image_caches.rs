//! `CreateImageCache`, `UpdateImageCache`, `DeleteImageCache`, `DescribeImageCaches`.

use serde_json::{Map, Value, json};

use super::listing::{self, Listed};
use crate::{
    api::{Context, Work, decode, error::ApiError, view},
    domain::resources::{image_cache::ImageCache, store::Item},
};

/// Items of a page; ECI's own bound is not documented.
const PAGE: listing::Bounds = listing::Bounds { default: 20, most: 100 };

pub(in crate::api) fn create(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let spec = decode::image_cache_spec(context.scope, context.region())?;
    context.once(|| {
        let (id, group) = context.cloud.create_image_cache(spec).map_err(ApiError::refused)?;
        Ok(Map::from_iter([
            ("ImageCacheId".to_owned(), Value::from(id)),
            ("ContainerGroupId".to_owned(), Value::from(group)),
        ]))
    })
}

pub(in crate::api) fn update(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ImageCacheId")?;
    let change = decode::image_cache_change(context.scope)?;
    context.once(|| {
        context
            .cloud
            .update_image_cache(id, change)
            .map_err(ApiError::refused)?;
        Ok(Map::new())
    })
}

pub(in crate::api) fn delete(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ImageCacheId")?;
    context.once(|| {
        context
            .cloud
            .account(|account, _| account.delete_image_cache(id))
            .map_err(ApiError::refused)?;
        Ok(Map::new())
    })
}

/// `ImageMatchCountRequest` is read as the least number of `MatchImage.N` that a cache must hold, which is one if it is not
/// given; what exactly ECI does is not documented.
pub(in crate::api) fn describe(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let mut filter = decode::resource_filter(scope)?;
    filter.ids = scope.filled("ImageCacheId").map(|id| vec![id.to_owned()]);
    let (name, image, snapshot) = (
        scope.filled("ImageCacheName"),
        scope.filled("Image"),
        scope.filled("SnapshotId"),
    );
    let wanted = scope.texts("MatchImage", 100)?;
    let full = scope.boolean("ImageFullMatch")?.unwrap_or(false);
    let least = scope.integer("ImageMatchCountRequest", 0..=100)?.unwrap_or(1);
    let least = match full {
        true => wanted.len(),
        false => usize::try_from(least).unwrap_or(0).min(wanted.len()),
    };
    let matches = |item: &Item<ImageCache>| {
        let cache = &item.record;
        filter.matches(item)
            && name.is_none_or(|name| cache.name == name)
            && image.is_none_or(|image| cache.holds(image))
            && snapshot.is_none_or(|id| cache.snapshot_id == id || cache.flash_snapshot_id == id)
            && (wanted.is_empty() || cache.matches(&wanted) >= least)
    };
    let list = Listed {
        name: "ImageCaches",
        limit: listing::limit_within(scope, "Limit", PAGE)?,
    };
    list.answer(
        context,
        |account| &account.image_caches,
        matches,
        |item| view::resource::image_cache(item, &context.offer.region),
        json!({}),
    )
}
