//! `CreateContainerGroup`.

use serde::Serialize;

use crate::{
    api::{Context, Work, decode, error::ApiError, response::answer},
    domain::{cloud::Refused, stock::Nowhere},
    runtime::Lack,
    spec::GroupId,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    request_id: &'a str,
    container_group_id: &'a GroupId,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let token = context.client_token()?;
    let spec = decode::group_spec(scope, context.region())?;
    if let Some(lack) = context.cloud.runtime().lacks(&spec) {
        return Err(unsupported(&lack));
    }
    if scope.boolean("DryRun")? == Some(true) {
        return Err(ApiError::dry_run());
    }
    let created = context.cloud.create(spec, token).map_err(|refused| match refused {
        Refused::Quota => ApiError::quota("vCPU"),
        Refused::TokenMismatch => ApiError::idempotent_mismatch(),
        Refused::TokenProcessing => ApiError::last_token_processing(),
        Refused::AddressInUse => ApiError::address_in_use(),
        Refused::Nowhere(Nowhere::NoStock) => ApiError::no_stock(),
        Refused::Nowhere(Nowhere::NoAddress) => ApiError::no_address(),
        Refused::Nowhere(Nowhere::ZoneMismatch) => ApiError::zone_mismatch(),
        Refused::Nowhere(Nowhere::PriceTooHigh) => ApiError::spot_not_matched(),
        Refused::NoImageCache => ApiError::image_snapshot_not_found(),
        Refused::ImageCacheStatus(status) => ApiError::image_snapshot_status(status.as_str()),
    })?;
    let mut answer = answer(&Response {
        request_id: context.request_id,
        container_group_id: &created.id,
    })?;
    answer.processing = created.processing;
    Ok(Work::Done(answer))
}

/// What the runtime that is used here cannot do, though ECI can.
pub(super) fn unsupported(lack: &Lack) -> ApiError {
    const WHY: &str = "this runtime does not have it";
    match lack {
        Lack::Volume(name) => ApiError::unsupported(
            "Volume.Type",
            format_args!("{WHY} (volume {name:?}); it has EmptyDirVolume and ConfigFileVolume"),
        ),
        Lack::Gpu => ApiError::unsupported("Container.Gpu", WHY),
        Lack::PrivateIpAddress => ApiError::unsupported("PrivateIpAddress", WHY),
    }
}
