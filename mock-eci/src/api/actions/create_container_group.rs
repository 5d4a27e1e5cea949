//! `CreateContainerGroup`.

use serde::Serialize;

use crate::{
    api::{Context, Work, decode, error::ApiError, protocol, response::answer},
    domain::{cloud::Refused, tokens::Fingerprint},
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
    let region = decode::Region {
        id: &context.offer.region,
        zones: &context.offer.zones,
    };
    let token = scope.filled("ClientToken");
    if token.is_some_and(|t| t.len() > 64 || !t.is_ascii()) {
        return Err(ApiError::invalid(
            "ClientToken",
            "it must be at most 64 ASCII characters",
        ));
    }
    let spec = decode::group_spec(scope, region)?;
    if scope.boolean("DryRun")? == Some(true) {
        return Err(ApiError::dry_run());
    }
    let asked = context
        .params
        .iter()
        .filter(|(name, _)| *name != "ClientToken" && !protocol::PARAMETERS.contains(name));
    let token = token.map(|t| (t, Fingerprint::of(asked)));
    let created = context.cloud.create(spec, token).map_err(|refused| match refused {
        Refused::Quota => ApiError::quota("vCPU"),
        Refused::TokenMismatch => ApiError::idempotent_mismatch(),
        Refused::TokenProcessing => ApiError::last_token_processing(),
    })?;
    let mut answer = answer(&Response {
        request_id: context.request_id,
        container_group_id: &created.id,
    })?;
    answer.processing = created.processing;
    Ok(Work::Done(answer))
}
