//! `CreateVirtualNode`, `UpdateVirtualNode`, `DeleteVirtualNode`, `DescribeVirtualNodes`.

use serde_json::{Map, Value, json};

use super::listing::{self, Listed};
use crate::{
    api::{Context, Work, decode, error::ApiError, view},
    domain::resources::{
        store::Item,
        virtual_node::{Status, VirtualNode},
    },
};

/// Items of a page.
const PAGE: listing::Bounds = listing::Bounds { default: 20, most: 20 };

pub(in crate::api) fn create(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let spec = decode::virtual_node_spec(context.scope, context.region())?;
    context.once(|| {
        let created = context
            .cloud
            .account(|account, now| account.create_virtual_node(spec, now));
        let id = created.map_err(ApiError::refused)?;
        Ok(Map::from_iter([("VirtualNodeId".to_owned(), Value::from(id))]))
    })
}

pub(in crate::api) fn update(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("VirtualNodeId")?;
    let change = decode::virtual_node_change(context.scope)?;
    context.once(|| {
        context
            .cloud
            .account(|account, now| account.update_virtual_node(id, change, now))
            .map_err(ApiError::refused)?;
        Ok(Map::new())
    })
}

pub(in crate::api) fn delete(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let id = context.scope.required("VirtualNodeId")?;
    context.once(|| {
        context
            .cloud
            .account(|account, _| account.delete_virtual_node(id))
            .map_err(ApiError::refused)?;
        Ok(Map::new())
    })
}

pub(in crate::api) fn describe(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let mut filter = decode::resource_filter(scope)?;
    filter.ids = scope.json_texts("VirtualNodeIds", 20)?.filter(|ids| !ids.is_empty());
    let name = scope.filled("VirtualNodeName");
    let status = listing::word(scope, "Status", &Status::ALL, Status::as_str)?;
    let matches = |item: &Item<VirtualNode>| {
        filter.matches(item)
            && name.is_none_or(|name| item.record.name == name)
            && status.is_none_or(|status| item.record.status == status)
    };
    let list = Listed {
        name: "VirtualNodes",
        limit: listing::limit_within(scope, "Limit", PAGE)?,
    };
    list.answer(
        context,
        |account| &account.virtual_nodes,
        matches,
        |item| view::resource::virtual_node(item, &context.offer.region),
        json!({}),
    )
}
