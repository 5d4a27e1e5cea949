//! Whether ECI answers, and takes the credentials.

use eci::ErrorClass;
use provider::request::{Container, CreateContainerGroup, RestartPolicy};
use provider::units::{MiB, MilliCpu};
use tokio::time::timeout;

use super::{Finding, TIMEOUT};
use crate::agent;
use crate::chain::chain;
use crate::config::{Config, NodeConfig};
use crate::metrics::Metrics;

const CHECK: &str = "eci";

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
    for node in &config.nodes {
        found.push(create(&client, config, node).await.of(&node.name));
    }
    found
}

/// Whether a group could be created where the node's pods go; none is.
async fn create(client: &eci::Client, config: &Config, node: &NodeConfig) -> Finding {
    const CHECK: &str = "eci-create";
    let places = format!("{} with {}", node.vswitch_ids.join(", "), config.security_group_id);
    let request = CreateContainerGroup {
        region_id: config.region.clone(),
        zone_id: node.zone.clone().unwrap_or_default(),
        vswitch_ids: node.vswitch_ids.clone(),
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
        Ok(Err(error)) => {
            let remedy = "are --vswitch-ids, --security-group-id, the zone and the region right, and has the RAM user or role \
                          eci:CreateContainerGroup?";
            Finding::fail(CHECK, format!("{places}: {}", chain(&error)), remedy)
        }
        Err(_) => Finding::warn(CHECK, format!("no answer within {TIMEOUT:?}"), "try again"),
    }
}
