//! `TagResources`, `UntagResources`, `ListTagResources`.

use serde_json::{Map, Value, json};

use super::listing;
use crate::{
    api::{Context, Work, decode, error::ApiError, params::Scope, response::answer},
    domain::{
        group_tags::NotTagged,
        resources::{
            Kind,
            store::{Item, Store},
            tag_pages::{self, TagToken, Tagged, Wanted},
            tags::{MAX_TAGS, Removed},
        },
        state::State,
    },
};

/// Resources of one call, as ECI's sister products have it.
const MAX_RESOURCES: usize = 50;
/// Entries of a page; ECI's own bounds are not documented.
const PAGE: listing::Bounds = listing::Bounds {
    default: 50,
    most: 1_000,
};

/// What can be tagged.
#[derive(Clone, Copy)]
enum Type {
    Group,
    Other(Kind),
}

impl Type {
    fn of(scope: Scope<'_>) -> Result<(Self, &str), ApiError> {
        let word = scope.required("ResourceType")?;
        // The words of the documents; some samples begin with a small letter.
        let found = match word.to_ascii_lowercase().as_str() {
            "containergroup" => Self::Group,
            "imagecache" => Self::Other(Kind::ImageCache),
            "datacache" => Self::Other(Kind::DataCache),
            "virtualnode" => Self::Other(Kind::VirtualNode),
            _ => {
                return Err(ApiError::invalid(
                    "ResourceType",
                    "it must be ContainerGroup, ImageCache, DataCache or VirtualNode",
                ));
            }
        };
        Ok((found, word))
    }
}

pub(in crate::api) fn tag(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let (of, _) = Type::of(scope)?;
    let ids = required_ids(scope)?;
    let given = scope.list("Tag", usize::MAX)?;
    if given.is_empty() {
        return Err(ApiError::missing("Tag"));
    }
    if given.len() > MAX_TAGS {
        return Err(ApiError::too_many_tags());
    }
    for item in given {
        let key = item.required("Key")?;
        if key.starts_with("aliyun") || key.starts_with("acs:") {
            return Err(ApiError::reserved_tag(key));
        }
    }
    let tags = decode::tags(scope)?;
    context.once(|| {
        match of {
            Type::Group => {
                let (now, runtime) = (context.cloud.clock().now(), &**context.cloud.runtime());
                context
                    .cloud
                    .state()
                    .tag_groups(&ids, &tags, now, runtime)
                    .map_err(not_tagged)?;
            }
            Type::Other(kind) => context
                .cloud
                .account(|account, _| account.tag(kind, &ids, &tags))
                .map_err(ApiError::refused)?,
        }
        Ok(Map::new())
    })
}

/// `All` counts where no `TagKey.N` is given.
pub(in crate::api) fn untag(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let (of, _) = Type::of(scope)?;
    let ids = required_ids(scope)?;
    let keys = scope.texts("TagKey", MAX_TAGS)?;
    let all = scope.boolean("All")?.unwrap_or(false);
    let removed = match (keys.is_empty(), all) {
        (false, _) => Removed::Keys(keys.into_iter().map(str::to_owned).collect()),
        (true, true) => Removed::All,
        (true, false) => return Err(ApiError::missing("TagKey")),
    };
    context.once(|| {
        match of {
            Type::Group => {
                let (now, runtime) = (context.cloud.clock().now(), &**context.cloud.runtime());
                context
                    .cloud
                    .state()
                    .untag_groups(&ids, &removed, now, runtime)
                    .map_err(not_tagged)?;
            }
            Type::Other(kind) => context
                .cloud
                .account(|account, _| account.untag(kind, &ids, &removed))
                .map_err(ApiError::refused)?,
        }
        Ok(Map::new())
    })
}

/// Resources that do not exist have no tags; that is no error.
pub(in crate::api) fn list(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let (of, word) = Type::of(scope)?;
    let wanted = Wanted {
        ids: ids(scope)?,
        tags: scope.text_pairs("Tag", ("Key", "Value"), MAX_TAGS)?,
    };
    let limit = listing::limit_within(scope, "Limit", PAGE)?;
    let from = match scope.filled("NextToken") {
        None => None,
        Some(text) => Some(TagToken::decode(text).ok_or_else(|| ApiError::invalid("NextToken", listing::NO_TOKEN))?),
    };
    let (entries, next) = {
        let state = context.cloud.state();
        let first = from.as_ref().map_or(0, |token| token.seq);
        match state.may_list {
            true => tag_pages::page(tagged(&state, of, first), &wanted, limit, from.as_ref()),
            false => (Vec::new(), None),
        }
    };
    let entries: Vec<Value> = entries
        .into_iter()
        .map(|(id, key, value)| json!({"ResourceType": word, "ResourceId": id, "TagKey": key, "TagValue": value}))
        .collect();
    answer(&json!({
        "RequestId": context.request_id,
        "NextToken": next.map(|token| token.encode()).unwrap_or_default(),
        "TagResources": entries,
    }))
    .map(Work::Done)
}

fn ids(scope: Scope<'_>) -> Result<Vec<String>, ApiError> {
    let ids = scope.texts("ResourceId", usize::MAX)?;
    match ids.len() > MAX_RESOURCES {
        true => Err(ApiError::too_many_resources()),
        false => Ok(ids.into_iter().map(str::to_owned).collect()),
    }
}

fn required_ids(scope: Scope<'_>) -> Result<Vec<String>, ApiError> {
    let ids = ids(scope)?;
    match ids.is_empty() {
        true => Err(ApiError::missing("ResourceId")),
        false => Ok(ids),
    }
}

fn not_tagged(why: NotTagged) -> ApiError {
    match why {
        NotTagged::NotFound(id) => ApiError::group_not_found(&id),
        NotTagged::TooMany => ApiError::too_many_tags(),
    }
}

/// All resources of a type from a place in the order of creation on.
fn tagged(state: &State, of: Type, first: u64) -> Box<dyn Iterator<Item = Tagged<'_>> + '_> {
    fn of_store<R: crate::domain::resources::store::Record>(
        store: &Store<R>,
        first: u64,
    ) -> Box<dyn Iterator<Item = Tagged<'_>> + '_> {
        Box::new(store.from(first).map(|(seq, item): (u64, &Item<R>)| Tagged {
            seq,
            id: &item.id,
            tags: &item.tags,
        }))
    }
    let account = &state.account;
    match of {
        Type::Group => Box::new(state.groups().filter(move |g| g.seq >= first).map(|group| Tagged {
            seq: group.seq,
            id: group.id.as_str(),
            tags: &group.spec.tags,
        })),
        Type::Other(Kind::ImageCache) => of_store(&account.image_caches, first),
        Type::Other(Kind::DataCache) => of_store(&account.data_caches, first),
        Type::Other(Kind::VirtualNode) => of_store(&account.virtual_nodes, first),
        Type::Other(Kind::Commit | Kind::OpsTask) => Box::new(std::iter::empty()),
    }
}
