//! `UpdateContainerGroup`: `RenewUpdate` and `IncrementalUpdate`. What an update restarts is in `docs/lifecycle.md`.

use serde_json::Map;

use super::{create_container_group::unsupported, restart_container_group::unchangeable};
use crate::{
    api::{Context, Work, decode, error::ApiError},
    domain::cloud::NotUpdated,
};

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("ContainerGroupId")?;
    let region = decode::Region {
        id: &context.offer.region,
        zones: &context.offer.zones,
    };
    context.once(|| {
        let updated = context.cloud.update(id, |group| {
            let spec = decode::updated_spec(context.params, context.scope, region, group)?;
            match context.cloud.runtime().lacks(&spec) {
                Some(lack) => Err(unsupported(&lack)),
                None => Ok(spec),
            }
        });
        match updated {
            Ok(()) => Ok(Map::new()),
            Err(NotUpdated::Group(why)) => Err(unchangeable(id, why)),
            Err(NotUpdated::Spec(error)) => Err(error),
        }
    })
}
