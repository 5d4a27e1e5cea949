//! What the reading calls can be asked.

use jiff::Timestamp;
use provider::params::tag_params;
use provider::units::{MiB, MilliCpu};

type Params = Vec<(String, String)>;

/// Ids a reading call takes at once.
pub const MAX_IDS: usize = 20;

/// Question of `DescribeContainerGroupStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusQuery {
    /// Only these groups; at most 20. Empty = all.
    pub ids: Vec<String>,
    /// Only groups whose status changed in the last so many seconds, 60–3600.
    pub since_seconds: Option<u32>,
    /// Only groups with all of these tags; at most 10.
    pub tags: Vec<(String, String)>,
    /// Records per page; unset = ECI's default of 200.
    pub limit: Option<u32>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// Question of `DescribeContainerGroups`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupQuery {
    /// Only these groups; at most 20. Empty = all.
    pub ids: Vec<String>,
    /// Only groups with all of these tags.
    pub tags: Vec<(String, String)>,
    /// Only groups of this name.
    pub name: Option<String>,
    /// Only groups in this state, by ECI's word for it.
    pub status: Option<String>,
    /// Report events too.
    pub with_event: bool,
    /// Records per page, at most 20; unset = 20.
    pub limit: Option<u32>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// Question of `DescribeContainerGroupEvents`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Only these groups; at most 20. Empty = all.
    pub ids: Vec<String>,
    /// Only events of the last so many seconds.
    pub since_seconds: Option<u32>,
    /// Only groups with all of these tags.
    pub tags: Vec<(String, String)>,
    /// Only events of one source, by ECI's word for it: `EciService` (the cloud) or `K8sAgent` (the agent inside the group).
    pub source: Option<&'static str>,
    /// Groups per page; unset = ECI's default of 200.
    pub limit: Option<u32>,
    /// From the page before.
    pub next_token: Option<String>,
}

/// Question of `DescribeContainerLog`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The group.
    pub group_id: String,
    /// The container.
    pub container: String,
    /// Only the newest lines; ECI: default 500, at most 2000.
    pub tail: Option<u32>,
    /// Only the last so many seconds.
    pub since_seconds: Option<i64>,
    /// Only from here on (whole seconds).
    pub start_time: Option<Timestamp>,
    /// At most so many bytes; ECI: 1–1048576.
    pub limit_bytes: Option<i64>,
    /// A timestamp before each line.
    pub timestamps: bool,
    /// The previous instance of the container.
    pub previous: bool,
}

/// Question of `DescribeContainerGroupPrice`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceQuery {
    /// vCPU of the group.
    pub cpu: MilliCpu,
    /// Memory of the group.
    pub memory: MiB,
    /// Instance type, in place of the two.
    pub instance_type: Option<String>,
    /// `economy` or `general`.
    pub compute_category: Option<String>,
    /// In this zone.
    pub zone_id: Option<String>,
    /// `SpotAsPriceGo` to learn spot prices.
    pub spot_strategy: Option<String>,
}

impl StatusQuery {
    pub(crate) fn params(&self, region: &str) -> Params {
        let mut params = base(region);
        put_ids(&mut params, &self.ids);
        put(
            &mut params,
            "SinceSecond",
            self.since_seconds.map(|seconds| seconds.to_string()),
        );
        tag_params(&mut params, &self.tags);
        put(&mut params, "Limit", self.limit.map(|limit| limit.to_string()));
        put(&mut params, "NextToken", self.next_token.clone());
        params
    }
}

impl GroupQuery {
    pub(crate) fn params(&self, region: &str) -> Params {
        let mut params = base(region);
        put_ids(&mut params, &self.ids);
        tag_params(&mut params, &self.tags);
        put(&mut params, "ContainerGroupName", self.name.clone());
        put(&mut params, "Status", self.status.clone());
        put(&mut params, "WithEvent", self.with_event.then(|| "true".to_owned()));
        put(&mut params, "Limit", self.limit.map(|limit| limit.to_string()));
        put(&mut params, "NextToken", self.next_token.clone());
        params
    }
}

impl EventsQuery {
    pub(crate) fn params(&self, region: &str) -> Params {
        let mut params = base(region);
        put_ids(&mut params, &self.ids);
        put(
            &mut params,
            "SinceSecond",
            self.since_seconds.map(|seconds| seconds.to_string()),
        );
        tag_params(&mut params, &self.tags);
        put(&mut params, "EventSource", self.source.map(str::to_owned));
        put(&mut params, "Limit", self.limit.map(|limit| limit.to_string()));
        put(&mut params, "NextToken", self.next_token.clone());
        params
    }
}

impl LogQuery {
    pub(crate) fn params(&self, region: &str) -> Params {
        let mut params = base(region);
        put(&mut params, "ContainerGroupId", Some(self.group_id.clone()));
        put(&mut params, "ContainerName", Some(self.container.clone()));
        put(&mut params, "Tail", self.tail.map(|lines| lines.to_string()));
        put(
            &mut params,
            "SinceSeconds",
            self.since_seconds.map(|seconds| seconds.to_string()),
        );
        put(&mut params, "StartTime", self.start_time.map(wire_time));
        put(
            &mut params,
            "LimitBytes",
            self.limit_bytes.map(|bytes| bytes.to_string()),
        );
        put(&mut params, "Timestamps", self.timestamps.then(|| "true".to_owned()));
        put(&mut params, "LastTime", self.previous.then(|| "true".to_owned()));
        params
    }
}

impl PriceQuery {
    pub(crate) fn params(&self, region: &str) -> Params {
        let mut params = base(region);
        if self.instance_type.is_none() {
            put(&mut params, "Cpu", Some(format!("{:?}", self.cpu.as_vcpu())));
            put(&mut params, "Memory", Some(format!("{:?}", self.memory.as_gib())));
        }
        put(&mut params, "InstanceType", self.instance_type.clone());
        put(&mut params, "ComputeCategory", self.compute_category.clone());
        put(&mut params, "ZoneId", self.zone_id.clone());
        put(&mut params, "SpotStrategy", self.spot_strategy.clone());
        params
    }
}

/// Parameters of `DescribeMultiContainerGroupMetric`: without its only type, ECI leaves the records out.
pub(crate) fn metric_params(region: &str, ids: &[String]) -> Params {
    let mut params = base(region);
    put_ids(&mut params, ids);
    params.push(("MetricType".to_owned(), "summary".to_owned()));
    params
}

/// What every call says.
pub(crate) fn base(region: &str) -> Params {
    vec![("RegionId".to_owned(), region.to_owned())]
}

/// A time as ECI reads and writes it: RFC 3339, UTC, whole seconds.
pub(crate) fn wire_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(crate) fn put(params: &mut Params, key: &str, value: Option<String>) {
    if let Some(value) = value {
        params.push((key.to_owned(), value));
    }
}

/// Ids travel as a JSON array in one value.
fn put_ids(params: &mut Params, ids: &[String]) {
    if ids.is_empty() {
        return;
    }
    let array = serde_json::Value::from(ids);
    params.push(("ContainerGroupIds".to_owned(), array.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(params: Params) -> Vec<String> {
        params.into_iter().map(|(k, v)| format!("{k}={v}")).collect()
    }

    #[test]
    fn status() {
        let query = StatusQuery {
            ids: vec!["eci-1".into(), "eci-2".into()],
            since_seconds: Some(60),
            tags: vec![("k".into(), "v".into())],
            limit: Some(200),
            next_token: Some("t".into()),
        };
        assert_eq!(
            lines(query.params("r")),
            [
                "RegionId=r",
                r#"ContainerGroupIds=["eci-1","eci-2"]"#,
                "SinceSecond=60",
                "Tag.1.Key=k",
                "Tag.1.Value=v",
                "Limit=200",
                "NextToken=t"
            ]
        );
        assert_eq!(lines(StatusQuery::default().params("r")), ["RegionId=r"]);
    }

    #[test]
    fn groups() {
        let query = GroupQuery {
            name: Some("n".into()),
            status: Some("Running".into()),
            with_event: true,
            limit: Some(20),
            ..Default::default()
        };
        assert_eq!(
            lines(query.params("r")),
            [
                "RegionId=r",
                "ContainerGroupName=n",
                "Status=Running",
                "WithEvent=true",
                "Limit=20"
            ]
        );
    }

    #[test]
    fn log() {
        let query = LogQuery {
            group_id: "eci-1".into(),
            container: "c".into(),
            tail: Some(10),
            since_seconds: Some(5),
            start_time: "2026-01-01T00:00:00.9Z".parse().ok(),
            limit_bytes: Some(7),
            timestamps: true,
            previous: true,
        };
        assert_eq!(
            lines(query.params("r"))[1..],
            [
                "ContainerGroupId=eci-1",
                "ContainerName=c",
                "Tail=10",
                "SinceSeconds=5",
                "StartTime=2026-01-01T00:00:00Z",
                "LimitBytes=7",
                "Timestamps=true",
                "LastTime=true"
            ]
        );
    }

    #[test]
    fn metrics() {
        assert_eq!(
            lines(metric_params("r", &["eci-1".into()])),
            ["RegionId=r", r#"ContainerGroupIds=["eci-1"]"#, "MetricType=summary"]
        );
    }

    #[test]
    fn price() {
        let query = PriceQuery {
            cpu: MilliCpu(2000),
            memory: MiB(512),
            ..Default::default()
        };
        assert_eq!(lines(query.params("r")), ["RegionId=r", "Cpu=2.0", "Memory=0.5"]);
        let by_type = PriceQuery {
            instance_type: Some("ecs.c6.large".to_owned()),
            ..query
        };
        assert_eq!(lines(by_type.params("r")), ["RegionId=r", "InstanceType=ecs.c6.large"]);
    }
}
