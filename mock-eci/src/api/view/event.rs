//! Events in the wire's words.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::time;
use crate::domain::{
    events::{GroupEvent, Source},
    group::Group,
};

/// One item of `DescribeContainerGroupEvents`.
pub(in crate::api) fn of_group(group: &Group, source: Option<Source>, since: Option<Timestamp>) -> Value {
    let wanted = |e: &&GroupEvent| source.is_none_or(|s| s == e.source) && since.is_none_or(|s| e.last >= s);
    let events: Vec<Value> = group
        .events
        .iter()
        .filter(wanted)
        .map(|event| full(group, event))
        .collect();
    json!({
        "ContainerGroupId": group.id, "Name": group.spec.name, "Namespace": "", "uuid": "", "Annotations": "{}",
        "Events": events,
    })
}

/// One item of `Events` in `DescribeContainerGroups`.
pub(crate) fn brief(group: &Group, event: &GroupEvent) -> Value {
    json!({
        "Name": name(group, event), "Type": kind(event), "Reason": event.reason, "Message": message(group, event),
        "Count": event.count, "FirstTimestamp": time(Some(event.first)), "LastTimestamp": time(Some(event.last)),
    })
}

fn full(group: &Group, event: &GroupEvent) -> Value {
    json!({
        "Type": kind(event), "Reason": event.reason, "Message": message(group, event), "Count": event.count,
        "FirstTimestamp": time(Some(event.first)), "LastTimestamp": time(Some(event.last)),
        "ReportingComponent": event.source.as_str(), "ReportingInstance": group.id,
        "Source": { "Component": event.source.as_str(), "Host": group.id },
        "Metadata": { "Name": name(group, event), "Namespace": "" },
        "involvedObject": {
            "ApiVersion": "v1", "Kind": "Pod", "Name": group.spec.name, "Namespace": "", "Uid": group.id,
        },
    })
}

fn kind(event: &GroupEvent) -> &'static str {
    if event.warning { "Warning" } else { "Normal" }
}

fn name(group: &Group, event: &GroupEvent) -> String {
    format!("{}.{:x}", group.spec.name, event.first.as_nanosecond())
}

fn message(group: &Group, event: &GroupEvent) -> String {
    event.message(&group.spec, group.id.as_str())
}
