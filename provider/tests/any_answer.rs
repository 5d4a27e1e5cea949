//! Whatever a member of an answer holds, the record around it is read: one odd field must not blind us to a group.

use proptest::prelude::*;
use provider::group::ObservedGroup;
use provider::response::{ContainerGroup, ErrorBody, EventsAnswer, GroupsAnswer, StatusRecord};
use serde_json::{Map, Value, json};

const KEYS: &[&str] = &[
    "Commands",
    "Conditions",
    "ContainerStatuses",
    "Containers",
    "Count",
    "CreationTime",
    "CurrentState",
    "Cpu",
    "Data",
    "Events",
    "ExitCode",
    "FinishedAt",
    "InitContainers",
    "IntranetIp",
    "Ip",
    "Key",
    "LastState",
    "Message",
    "Name",
    "PodIp",
    "PodIps",
    "PodStatus",
    "PreviousState",
    "Ready",
    "Reason",
    "RestartCount",
    "Running",
    "Signal",
    "StartTime",
    "StartedAt",
    "StartedAtstartedAt",
    "State",
    "Status",
    "Tags",
    "Terminated",
    "Value",
    "Waiting",
    "lastTransitionTime",
    "status",
    "type",
    "uuid",
];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![
            Just(""),
            Just("Running"),
            Just("Terminated"),
            Just("2026-01-01T00:00:00Z"),
            Just("true"),
            Just("1e999")
        ]
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(KEYS), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(prop::sample::select(KEYS), any_value(), 0..12)
        .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

proptest! {
    #[test]
    fn records_are_read_and_keep_their_id(mut object in any_object()) {
        object.insert("ContainerGroupId".to_owned(), json!("eci-1"));
        let text = Value::Object(object).to_string();
        let cheap: StatusRecord = serde_json::from_str(&text).expect("a status record");
        prop_assert_eq!(ObservedGroup::from(cheap).id, "eci-1");
        let full: ContainerGroup = serde_json::from_str(&text).expect("a group");
        prop_assert_eq!(ObservedGroup::from(full).id, "eci-1");
    }

    #[test]
    fn pages_and_errors_are_read(object in any_object()) {
        let text = Value::Object(object).to_string();
        serde_json::from_str::<GroupsAnswer>(&text).expect("a page of groups");
        serde_json::from_str::<EventsAnswer>(&text).expect("a page of events");
        ErrorBody::parse(text.as_bytes());
    }
}
