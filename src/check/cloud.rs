//! Whether ECI answers, takes the credentials, lets the account do what the agent does, and has room for groups.
//!
//! No call here changes anything: creates are dry runs, and all else is asked of a group that does not exist. Who may call is told that
//! there is none; who may not is told that.

use eci::{Action, ErrorClass, EventsQuery, ExecQuery, GroupQuery, LogQuery, PriceQuery, StatusQuery};
use provider::request::{Container, CreateContainerGroup, RestartPolicy};
use provider::units::{MiB, MilliCpu};
use tokio::time::timeout;

use super::{Finding, Result, TIMEOUT};
use crate::agent;
use crate::chain::chain;
use crate::config::{Config, NodeConfig};
use crate::metrics::Metrics;

const CHECK: &str = "eci";
const RIGHTS: &str = "eci-rights";
/// A group that there is not.
const NO_GROUP: &str = "eci-0000000000000000000";

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let endpoint = &config.eci_endpoint;
    let client = Metrics::new()
        .map_err(anyhow::Error::from)
        .and_then(|metrics| agent::eci_client(config, &metrics));
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::fail(
                CHECK,
                format!("{error:#}"),
                "see --eci-endpoint and --eci-limits",
            )];
        }
    };
    // The cheapest call there is: no object is named, and it needs one right.
    let usage = match timeout(TIMEOUT, client.list_usage()).await {
        Ok(Ok(usage)) => usage,
        Ok(Err(error)) => {
            let remedy = match error.class() {
                ErrorClass::Credentials => {
                    "give the agent credentials (ALIBABA_CLOUD_ACCESS_KEY_ID and _SECRET, or another source of the \
                     default chain) of a RAM user or role with the rights that README.md lists"
                }
                _ => "is --eci-endpoint right, and reachable from here?",
            };
            return vec![Finding::fail(CHECK, format!("{endpoint}: {}", chain(&error)), remedy)];
        }
        Err(_) => {
            let what = format!("{endpoint} gives no answer within {TIMEOUT:?}");
            return vec![Finding::fail(
                CHECK,
                what,
                "is --eci-endpoint right, and reachable from here?",
            )];
        }
    };
    let what = format!("{endpoint} answers and takes the credentials");
    let quota = match (usage.used_cpu.unwrap_or_default(), usage.max_cpu) {
        (_, None) => Finding::warn(
            "eci-quota",
            "ListUsage names no vCPU quota",
            "ask for one in the console of ECI",
        ),
        (used, Some(max)) if used >= max => {
            let what = format!("{used} of {max} vCPUs are in use");
            Finding::warn(
                "eci-quota",
                what,
                "new pods wait; ask for a higher quota in the console of ECI",
            )
        }
        (used, Some(max)) => Finding::ok("eci-quota", format!("{used} of {max} vCPUs are in use")),
    };
    let mut found = vec![Finding::ok(CHECK, what), quota];
    found.extend(rate(config));
    found.extend(rights(&client, config.cost.is_some()).await);
    for node in &config.nodes {
        // One by one: a call with several succeeds where one of them will do.
        for vswitch in &node.vswitch_ids {
            found.push(create(&client, config, node, vswitch).await.of(&node.name));
        }
    }
    found
}

/// How fast groups can be created.
fn rate(config: &Config) -> Option<Finding> {
    const CHECK: &str = "eci-limits";
    let rate = agent::eci_limits(config).ok()?.rate(Action::CreateContainerGroup);
    Some(match rate {
        Some(rate) => Finding::ok(
            CHECK,
            format!("at most {} groups a minute are created", rate.per_minute),
        ),
        None => Finding::warn(
            CHECK,
            "calls are not limited: beyond ECI's own limit it refuses them",
            "--eci-limits documented",
        ),
    })
}

/// What the account must be allowed, besides ListUsage, which has answered, and CreateContainerGroup, of which dry runs tell; what it is
/// for, and how bad it is without.
const ACTIONS: [(Action, &str, Result); 9] = [
    (
        Action::DeleteContainerGroup,
        "groups that nobody deletes are paid for",
        Result::Fail,
    ),
    (
        Action::DescribeContainerGroupStatus,
        "it is not known how pods are",
        Result::Fail,
    ),
    (
        Action::DescribeContainerGroups,
        "groups are not found again after a restart",
        Result::Fail,
    ),
    (Action::DescribeContainerLog, "kubectl logs shows nothing", Result::Warn),
    (
        Action::ExecContainerCommand,
        "kubectl exec and cp do not work",
        Result::Warn,
    ),
    (
        Action::DescribeMultiContainerGroupMetric,
        "kubectl top and autoscalers see nothing",
        Result::Warn,
    ),
    (
        Action::DescribeContainerGroupEvents,
        "spot pods are not evicted when they are taken back",
        Result::Warn,
    ),
    (
        Action::UpdateContainerGroup,
        "files of running pods are not renewed, where pods ask for that",
        Result::Warn,
    ),
    (
        Action::DescribeContainerGroupPrice,
        "pods cost what the list says, and nobody knows what they do on the spot market",
        Result::Warn,
    ),
];

/// Which actions the account may not call. `cost` = what groups cost is recorded.
async fn rights(client: &eci::Client, cost: bool) -> Vec<Finding> {
    let needed = ACTIONS
        .iter()
        .filter(|(action, ..)| cost || *action != Action::DescribeContainerGroupPrice);
    let mut denied = Vec::new();
    let mut unknown = Vec::new();
    for &(action, without, result) in needed.clone() {
        match timeout(TIMEOUT, ask(client, action)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.class() == ErrorClass::Credentials => {
                let what = format!("may not call {action}, and so {without}: {}", chain(&error));
                let remedy = format!("give the RAM user or role the right eci:{action}");
                denied.push(Finding {
                    result,
                    ..Finding::fail(RIGHTS, what, remedy)
                });
            }
            // Of what else it could be, an outage is the one that matters here.
            Ok(Err(error)) if error.class() == ErrorClass::Transient => unknown.push(action),
            Ok(Err(_)) => {}
            Err(_) => unknown.push(action),
        }
    }
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.iter().map(|action| action.name()).collect();
        denied.push(Finding::warn(
            RIGHTS,
            format!("no answer to {}", names.join(", ")),
            "try again",
        ));
    }
    if denied.is_empty() {
        let what = format!("{} actions may be called", needed.count());
        denied.push(Finding::ok(RIGHTS, what));
    }
    denied
}

/// Asks something harmless of an action.
async fn ask(client: &eci::Client, action: Action) -> std::result::Result<(), eci::Error> {
    let id = || NO_GROUP.to_owned();
    let container = || "check".to_owned();
    match action {
        Action::DeleteContainerGroup => client.delete_container_group(NO_GROUP, false).await,
        Action::UpdateContainerGroup => client.update_files(NO_GROUP, &[]).await,
        Action::DescribeContainerGroupStatus => {
            let query = StatusQuery {
                ids: vec![id()],
                ..StatusQuery::default()
            };
            client.describe_status(&query).await.map(drop)
        }
        Action::DescribeContainerGroups => {
            let query = GroupQuery {
                ids: vec![id()],
                ..GroupQuery::default()
            };
            client.describe_container_groups(&query).await.map(drop)
        }
        Action::DescribeContainerGroupEvents => {
            let query = EventsQuery {
                ids: vec![id()],
                ..EventsQuery::default()
            };
            client.describe_events(&query).await.map(drop)
        }
        Action::DescribeMultiContainerGroupMetric => client.describe_metrics(&[id()]).await.map(drop),
        Action::DescribeContainerGroupPrice => {
            let query = PriceQuery {
                cpu: MilliCpu(2_000),
                memory: MiB(4_096),
                ..PriceQuery::default()
            };
            client.describe_price(&query).await.map(drop)
        }
        Action::DescribeContainerLog => {
            let query = LogQuery {
                group_id: id(),
                container: container(),
                ..LogQuery::default()
            };
            client.describe_log(&query).await.map(drop)
        }
        Action::ExecContainerCommand => {
            let query = ExecQuery {
                group_id: id(),
                container: container(),
                command: vec!["true".to_owned()],
                ..ExecQuery::default()
            };
            client.exec(&query).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// Whether a group is shown that exists: a caller who may not list gets empty lists, and no error.
pub(super) async fn shows(config: &Config, id: &str) -> Option<Finding> {
    const CHECK: &str = "eci-list";
    let client = agent::eci_client(config, &Metrics::new().ok()?).ok()?;
    let query = StatusQuery {
        ids: vec![id.to_owned()],
        ..StatusQuery::default()
    };
    let page = timeout(TIMEOUT, client.describe_status(&query)).await.ok()?.ok()?;
    Some(if page.records.is_empty() {
        Finding::fail(
            CHECK,
            format!("ECI does not show the group {id}, in which a pod runs"),
            "a caller without the right to list gets empty lists: eci:DescribeContainerGroupStatus and eci:DescribeContainerGroups, \
             for all groups (`acs:eci:*:*:containergroup/*`)",
        )
    } else {
        Finding::ok(CHECK, "groups that exist are shown")
    })
}

/// Whether a group could be created where the node's pods go; none is.
async fn create(client: &eci::Client, config: &Config, node: &NodeConfig, vswitch: &str) -> Finding {
    const CHECK: &str = "eci-create";
    let places = format!("{vswitch} with {}", config.security_group_id);
    let request = CreateContainerGroup {
        region_id: config.region.clone(),
        // As in the node's creates: of several vSwitches each may be in a zone of its own.
        zone_id: node
            .zone
            .clone()
            .filter(|_| node.vswitch_ids.len() < 2)
            .unwrap_or_default(),
        vswitch_ids: vec![vswitch.to_owned()],
        security_group_id: config.security_group_id.clone(),
        name: "virtual-node-check".to_owned(),
        cpu: MilliCpu(250),
        memory: MiB(512),
        restart_policy: RestartPolicy::Never,
        containers: vec![Container {
            name: "check".to_owned(),
            image: "busybox".to_owned(),
            ..Container::default()
        }],
        ..CreateContainerGroup::default()
    };
    match timeout(TIMEOUT, client.dry_run(&request)).await {
        Ok(Ok(())) => Finding::ok(CHECK, format!("groups can be created in {places}")),
        Ok(Err(error)) if error.class() == ErrorClass::Stock => {
            let remedy = "add a vSwitch, or a node in another zone (docs/zones.md); a vSwitch without free addresses needs a larger range";
            Finding::warn(CHECK, format!("{places}: {}", chain(&error)), remedy)
        }
        Ok(Err(error)) => {
            let remedy = "are --vswitch-ids, --security-group-id, the zone and the region right, and has the RAM user or role \
                          eci:CreateContainerGroup?";
            Finding::fail(CHECK, format!("{places}: {}", chain(&error)), remedy)
        }
        Err(_) => Finding::warn(CHECK, format!("no answer within {TIMEOUT:?}"), "try again"),
    }
}
