//! Requests about image caches and data caches.

use super::{
    group::{self, Region},
    resource::{common, common_change, options, required_text, size_gib, text},
};
use crate::{
    api::{error::ApiError, params::Scope},
    domain::resources::{
        data_cache::{DEFAULT_BUCKET, DataCacheChange, DataCacheSpec, Source, Which},
        image_cache::{ImageCacheChange, ImageCacheSpec},
    },
};

/// Images of one cache, as ECI's resource templates have it.
const MAX_IMAGES: usize = 20;
/// The bucket ECI keeps for itself.
const RESERVED_BUCKET: &str = "eci-system";

/// `CreateImageCache`.
///
/// # Errors
/// ECI's code for the first parameter that is wrong.
pub(in crate::api) fn image_cache_spec(scope: Scope<'_>, region: Region<'_>) -> Result<ImageCacheSpec, ApiError> {
    group::zone(scope, region)?;
    copy_counts(scope)?;
    let images = images(scope)?;
    if images.is_empty() {
        return Err(ApiError::missing("Image"));
    }
    Ok(ImageCacheSpec {
        name: required_text(scope, "ImageCacheName")?,
        images,
        size_gib: size_gib(scope, "ImageCacheSize")?.unwrap_or(20),
        flash: scope.boolean("Flash")?.unwrap_or(false),
        lru: elimination(scope)?.unwrap_or(false),
        auto_match: scope.boolean("AutoMatchImageCache")?.unwrap_or(false),
        credentials: group::registry_credentials(scope)?,
        insecure_registries: group::insecure_registries(scope),
        common: common(scope)?,
    })
}

/// `UpdateImageCache`: what is not given stays.
///
/// # Errors
/// ECI's code for the first parameter that is wrong.
pub(in crate::api) fn image_cache_change(scope: Scope<'_>) -> Result<ImageCacheChange, ApiError> {
    copy_counts(scope)?;
    Ok(ImageCacheChange {
        name: text(scope, "ImageCacheName")?,
        images: images(scope)?,
        size_gib: size_gib(scope, "ImageCacheSize")?,
        flash: scope.boolean("Flash")?,
        lru: elimination(scope)?,
        auto_match: scope.boolean("AutoMatchImageCache")?.unwrap_or(false),
        credentials: group::registry_credentials(scope)?,
        common: common_change(scope)?,
    })
}

fn images(scope: Scope<'_>) -> Result<Vec<String>, ApiError> {
    let images = scope.texts("Image", MAX_IMAGES)?;
    match images.iter().find(|image| image.is_empty() || image.len() > 255) {
        Some(_) => Err(ApiError::invalid(
            "Image",
            "references of images have 1 to 255 characters",
        )),
        None => Ok(images.into_iter().map(str::to_owned).collect()),
    }
}

/// There is one snapshot however many are asked for.
fn copy_counts(scope: Scope<'_>) -> Result<(), ApiError> {
    for name in ["FlashCopyCount", "StandardCopyCount"] {
        scope.integer(name, 0..=1_000)?;
    }
    Ok(())
}

fn elimination(scope: Scope<'_>) -> Result<Option<bool>, ApiError> {
    match scope.text("EliminationStrategy") {
        None => Ok(None),
        Some("") => Ok(Some(false)),
        Some("LRU") => Ok(Some(true)),
        Some(_) => Err(ApiError::invalid("EliminationStrategy", "it must be LRU or empty")),
    }
}

/// `CreateDataCache` and, with `from` the one it is copied from, the target of `CopyDataCache`, where `Path` and `Name` may
/// be left out.
///
/// # Errors
/// ECI's code for the first parameter that is wrong.
pub(in crate::api) fn data_cache_spec(scope: Scope<'_>, is_copy: bool) -> Result<DataCacheSpec, ApiError> {
    let mut spec = DataCacheSpec {
        bucket: bucket(scope)?.unwrap_or_else(|| DEFAULT_BUCKET.to_owned()),
        path: path(scope)?.unwrap_or_default(),
        name: text(scope, "Name")?.unwrap_or_default(),
        size_gib: 20,
        source: Source::default(),
        common: common(scope)?,
    };
    if !is_copy {
        // Required by the documents, though the SDKs' models do not say so.
        scope.required("Path")?;
        scope.required("Name")?;
        eip(scope)?;
        spec.size_gib = size_gib(scope, "Size")?.unwrap_or(20);
        spec.source = source(scope)?.unwrap_or_default();
    }
    Ok(spec)
}

/// `UpdateDataCache`: what is not given stays.
///
/// # Errors
/// ECI's code for the first parameter that is wrong.
pub(in crate::api) fn data_cache_change(scope: Scope<'_>) -> Result<DataCacheChange, ApiError> {
    eip(scope)?;
    Ok(DataCacheChange {
        name: text(scope, "Name")?,
        size_gib: size_gib(scope, "Size")?,
        source: source(scope)?,
        common: common_change(scope)?,
    })
}

/// The data cache that is meant: by `DataCacheId`, or by `Bucket` and `Path`.
///
/// # Errors
/// `MissingParameter`, `InvalidParameter`.
pub(in crate::api) fn which_data_cache(scope: Scope<'_>) -> Result<Which, ApiError> {
    let bucket = bucket(scope)?.unwrap_or_else(|| DEFAULT_BUCKET.to_owned());
    let path = path(scope)?;
    match (scope.filled("DataCacheId"), path) {
        (Some(id), _) => Ok(Which::Id(id.to_owned())),
        (None, Some(path)) => Ok(Which::Place(bucket, path)),
        (None, None) => Err(ApiError::missing("DataCacheId")),
    }
}

fn bucket(scope: Scope<'_>) -> Result<Option<String>, ApiError> {
    match text(scope, "Bucket")? {
        Some(bucket) if bucket == RESERVED_BUCKET => {
            Err(ApiError::invalid("Bucket", "eci-system is reserved for ECI itself"))
        }
        bucket => Ok(bucket),
    }
}

fn path(scope: Scope<'_>) -> Result<Option<String>, ApiError> {
    match text(scope, "Path")? {
        Some(path) if !path.starts_with('/') || path.split('/').any(|part| part == "..") => Err(ApiError::invalid(
            "Path",
            "it must begin with '/' and have no '..' in it",
        )),
        path => Ok(path),
    }
}

fn source(scope: Scope<'_>) -> Result<Option<Source>, ApiError> {
    let source = scope.sub("DataSource");
    if source.is_empty() {
        return Ok(None);
    }
    let kind = source.required("Type")?;
    if !["URL", "NAS", "OSS", "SNAPSHOT"].contains(&kind) {
        return Err(ApiError::invalid(
            "DataSource.Type",
            "it must be URL, NAS, OSS or SNAPSHOT",
        ));
    }
    Ok(Some(Source {
        kind: kind.to_owned(),
        options: options(source, "Options")?,
    }))
}

/// No address is ever made; what is asked for must make sense all the same.
fn eip(scope: Scope<'_>) -> Result<(), ApiError> {
    let eip = scope.sub("EipCreateParam");
    if eip.is_empty() {
        return Ok(());
    }
    eip.integer("Bandwidth", 1..=1_000)?;
    for (name, known) in [
        ("ISP", ["BGP", "BGP_PRO"]),
        ("InternetChargeType", ["PayByBandwidth", "PayByTraffic"]),
    ] {
        if eip.filled(name).is_some_and(|value| !known.contains(&value)) {
            return Err(ApiError::invalid(
                &format!("EipCreateParam.{name}"),
                format_args!("it must be {} or {}", known[0], known[1]),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::resource::tests::read, *};

    #[test]
    fn an_image_cache_needs_a_name_and_images() {
        let zones = ["z-1".to_owned()];
        let region = Region { id: "z", zones: &zones };
        let decode = |encoded: &str| read(encoded, |scope| image_cache_spec(scope, region));
        let good = decode("ImageCacheName=n&Image.1=a&Image.2=b&EliminationStrategy=LRU").expect("valid");
        assert_eq!((good.images.len(), good.size_gib, good.lru), (2, 20, true));
        for (encoded, code) in [
            ("ImageCacheName=n", "MissingParameter"),
            ("Image.1=a", "MissingParameter"),
            ("ImageCacheName=n&Image.1=", "InvalidParameter"),
            ("ImageCacheName=n&Image.1=a&EliminationStrategy=lru", "InvalidParameter"),
            ("ImageCacheName=n&Image.1=a&RetentionDays=0", "InvalidParameter"),
            ("ImageCacheName=n&Image.1=a&ImageCacheSize=x", "InvalidParameter"),
            ("ImageCacheName=n&Image.1=a&ZoneId=other", "Zone.NotOnSale"),
        ] {
            assert_eq!(decode(encoded).expect_err(encoded).code, code, "{encoded}");
        }
    }

    #[test]
    fn a_data_cache_needs_a_place_and_a_name() {
        let decode = |encoded: &str| read(encoded, |scope| data_cache_spec(scope, false));
        let good = decode("Path=/a&Name=n&DataSource.Type=URL&DataSource.Options.%234%23repo=x").expect("valid");
        assert_eq!(good.bucket, "default");
        assert_eq!(good.source.options["repo"], "x");
        for (encoded, code) in [
            ("Name=n", "MissingParameter"),
            ("Path=/a", "MissingParameter"),
            ("Path=a&Name=n", "InvalidParameter"),
            ("Path=/a/../b&Name=n", "InvalidParameter"),
            ("Path=/a&Name=n&Bucket=eci-system", "InvalidParameter"),
            ("Path=/a&Name=n&DataSource.Type=FTP", "InvalidParameter"),
            ("Path=/a&Name=n&DataSource.Options.a=b", "MissingParameter"),
            ("Path=/a&Name=n&EipCreateParam.ISP=x", "InvalidParameter"),
        ] {
            assert_eq!(decode(encoded).expect_err(encoded).code, code, "{encoded}");
        }
    }
}
