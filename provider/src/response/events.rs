//! Events of groups: `DescribeContainerGroupEvents`, and `Events` of the full call.

use jiff::Timestamp;
use serde::Deserialize;

use super::lenient;

/// One event of a group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GroupEvent {
    /// `Type`: `Normal` or `Warning`.
    #[serde(rename = "Type", deserialize_with = "lenient::text")]
    pub type_: String,
    /// `Reason`, such as `SpotToBeReleased`.
    #[serde(deserialize_with = "lenient::text")]
    pub reason: String,
    /// `Message`.
    #[serde(deserialize_with = "lenient::text")]
    pub message: String,
    /// `Count`: how often it was seen.
    #[serde(deserialize_with = "lenient::integer")]
    pub count: Option<i32>,
    /// `FirstTimestamp`.
    #[serde(deserialize_with = "lenient::time")]
    pub first_timestamp: Option<Timestamp>,
    /// `LastTimestamp`.
    #[serde(deserialize_with = "lenient::time")]
    pub last_timestamp: Option<Timestamp>,
}

/// Events of one group, at most its newest 50.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GroupEvents {
    /// `ContainerGroupId`.
    #[serde(rename = "ContainerGroupId", deserialize_with = "lenient::text")]
    pub group_id: String,
    /// `Events`, in the API's order.
    #[serde(rename = "Events", deserialize_with = "lenient::objects")]
    pub events: Vec<GroupEvent>,
}

/// Answer of `DescribeContainerGroupEvents`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EventsAnswer {
    /// `RequestId`.
    #[serde(deserialize_with = "lenient::text")]
    pub request_id: String,
    /// `NextToken`, empty at the end (the documented answer lacks it altogether).
    #[serde(deserialize_with = "lenient::text")]
    pub next_token: String,
    /// `TotalCount`.
    #[serde(deserialize_with = "lenient::integer")]
    pub total_count: Option<i32>,
    /// `Data`.
    #[serde(deserialize_with = "lenient::objects")]
    pub data: Vec<GroupEvents>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_events() {
        let body = r#"{"RequestId":"r","TotalCount":1,"Data":[{"ContainerGroupId":"eci-1","Name":"n","uuid":"u","Events":[
            {"Type":"Warning","Reason":"SpotToBeReleased","Message":"Spot ECI will be released in 3 minutes","Count":2,
             "FirstTimestamp":"2026-01-01T00:00:00Z","LastTimestamp":"","involvedObject":{"Kind":"Pod"}}]}]}"#;
        let answer: EventsAnswer = serde_json::from_str(body).expect("reads");
        let event = &answer.data[0].events[0];
        assert_eq!(answer.data[0].group_id, "eci-1");
        assert_eq!(
            (event.type_.as_str(), event.reason.as_str(), event.count),
            ("Warning", "SpotToBeReleased", Some(2))
        );
        assert!(event.first_timestamp.is_some() && event.last_timestamp.is_none());
    }
}
