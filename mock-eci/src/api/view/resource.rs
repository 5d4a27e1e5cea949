//! Caches, virtual nodes and tasks in the wire's words.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::time;
use crate::domain::resources::{
    Events,
    commit::{Commit, PHASES},
    data_cache::DataCache,
    image_cache::ImageCache,
    ops::OpsTask,
    store::Item,
    virtual_node::VirtualNode,
};

/// One item of `ImageCaches`.
pub(in crate::api) fn image_cache(item: &Item<ImageCache>, region: &str) -> Value {
    let cache = &item.record;
    json!({
        "ImageCacheId": item.id, "ImageCacheName": cache.name, "ImageCacheSize": cache.size_gib,
        "Images": cache.images, "Status": cache.status.as_str(), "Progress": cache.progress(),
        "SnapshotId": cache.snapshot_id, "FlashSnapshotId": cache.flash_snapshot_id,
        "ContainerGroupId": cache.container_group_id, "RegionId": region, "ResourceGroupId": item.resource_group_id,
        "CreationTime": time(Some(item.created_at)), "ExpireDateTime": time(item.expires_at),
        "LastMatchedTime": time(cache.last_matched_at),
        "EliminationStrategy": if cache.lru { "LRU" } else { "" },
        "Tags": tags(&item.tags), "Events": events(&cache.name, &cache.events),
    })
}

/// One item of `DataCaches`.
pub(in crate::api) fn data_cache(item: &Item<DataCache>, region: &str) -> Value {
    let cache = &item.record;
    // A map in the request, but text in the answer.
    let options = match cache.source.options.is_empty() {
        true => String::new(),
        false => json!(cache.source.options).to_string(),
    };
    json!({
        "DataCacheId": item.id, "Name": cache.name, "Bucket": cache.bucket, "Path": cache.path, "Size": cache.size_gib,
        "DataSource": { "Type": cache.source.kind, "Options": options },
        "Status": cache.status.as_str(), "Progress": cache.progress(), "SnapshotId": cache.snapshot_id,
        "FlashSnapshotId": "", "ContainerGroupId": cache.container_group_id, "RegionId": region,
        "ResourceGroupId": item.resource_group_id, "CreationTime": time(Some(item.created_at)),
        "ExpireDateTime": time(item.expires_at), "LastMatchedTime": "",
        "Tags": tags(&item.tags), "Events": events(&cache.name, &cache.events),
    })
}

/// One item of `VirtualNodes`.
pub(in crate::api) fn virtual_node(item: &Item<VirtualNode>, region: &str) -> Value {
    let node = &item.record;
    json!({
        "VirtualNodeId": item.id, "VirtualNodeName": node.name, "Status": node.status.as_str(), "RegionId": region,
        "VpcId": "vpc-mock", "VirtualNodeVSwitchId": node.vswitch_id,
        "VirtualNodeSecurityGroupId": node.security_group_id, "ResourceGroupId": item.resource_group_id,
        "IntranetIp": node.intranet_ip, "InternetIp": node.internet_ip, "CreationTime": time(Some(item.created_at)),
        "Tags": tags(&item.tags), "Events": events(&node.name, &node.events),
    })
}

/// One item of `CommitTasks`.
pub(in crate::api) fn commit(item: &Item<Commit>) -> Value {
    let task = &item.record;
    let running = task.finished_at.is_none();
    let begun = task.phases.len();
    let phases: Vec<Value> = PHASES
        .iter()
        .zip(&task.phases)
        .enumerate()
        .map(|(n, (phase, at))| {
            let status = if running && n + 1 == begun {
                "Running"
            } else {
                "Succeeded"
            };
            json!({ "Phase": phase, "Status": status, "Message": "", "RecordTime": time(Some(*at)) })
        })
        .collect();
    let done = if running { begun.saturating_sub(1) } else { begun };
    json!({
        "TaskId": item.id, "ContainerName": task.container, "TaskStatus": task.status.as_str(),
        "TaskProgress": format!("{}%", done * 100 / PHASES.len()),
        "StatusMessage": format!("Commit container {} as {}", task.container, task.image),
        "TaskCreationTime": time(Some(item.created_at)), "TaskFinishedTime": time(task.finished_at),
        "CommitPhaseInfos": phases,
    })
}

/// One item of `Records`.
pub(in crate::api) fn ops_task(item: &Item<OpsTask>) -> Value {
    let task = &item.record;
    json!({
        "OpsType": task.kind.as_str(), "OpsStatus": task.status.as_str(), "ResultType": "OSS", "ResultContent": "",
        "CreateTime": time(Some(item.created_at)), "ExpireTime": time(Some(task.valid_until)),
    })
}

fn tags(tags: &[(String, String)]) -> Vec<Value> {
    tags.iter().map(|(k, v)| json!({"Key": k, "Value": v})).collect()
}

fn events(about: &str, events: &Events) -> Vec<Value> {
    let name = |first: Timestamp| format!("{about}.{:x}", first.as_nanosecond());
    events
        .iter()
        .map(|e| {
            json!({
                "Name": name(e.first), "Type": if e.warning { "Warning" } else { "Normal" }, "Reason": e.reason,
                "Message": e.message, "Count": e.count, "FirstTimestamp": time(Some(e.first)),
                "LastTimestamp": time(Some(e.last)),
            })
        })
        .collect()
}
