//! Whether budgets that Namespaces' annotations set can be read (docs/decisions/0037-budgets.md).

use k8s_openapi::api::authorization::v1::ResourceAttributes;

use super::Finding;
use super::rights::missing;
use crate::agent;
use crate::config::Config;

const CHECK: &str = "budget-rights";

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    // With burst its identity reads them, and its rights are a check of their own.
    let Some(cost) = config.cost.as_ref().filter(|_| config.burst.is_none()) else {
        return Vec::new();
    };
    let wanted = ["list", "watch"].map(|verb| ResourceAttributes {
        verb: Some(verb.to_owned()),
        resource: Some("namespaces".to_owned()),
        ..ResourceAttributes::default()
    });
    let found = match agent::cost_client(config, cost).await {
        Ok(client) => judge(missing(&client, wanted).await, config.budgets.hold()),
        Err(error) => Finding::fail(CHECK, format!("{error:#}"), "see --cost-kubeconfig"),
    };
    vec![found]
}

/// `hold` = pods wait until they can be read.
fn judge(missing: Result<Vec<String>, String>, hold: bool) -> Finding {
    let missing = match missing {
        Ok(missing) => missing.join(", "),
        Err(error) => {
            let what = format!("what is allowed cannot be found out: {error}");
            return Finding::warn(CHECK, what, "try again");
        }
    };
    let remedy = "apply manifests/base/agent-rbac.yaml (ClusterRole virtual-node-cost), and see --cost-impersonate";
    match (missing.is_empty(), hold) {
        (true, _) => Finding::ok(CHECK, "budgets by annotations of Namespaces can be read"),
        (false, true) => Finding::fail(
            CHECK,
            format!("may not {missing}: as --budget-action says, no group is made before their budgets are known"),
            remedy,
        ),
        (false, false) => Finding::warn(
            CHECK,
            format!("may not {missing}: budgets by annotations of Namespaces are not in force"),
            remedy,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Result as Verdict;
    use super::*;

    #[test]
    fn a_missing_right_is_a_mistake_where_pods_wait_for_it() {
        let missing = || Ok(vec!["list namespaces".to_owned()]);
        assert_eq!(judge(Ok(Vec::new()), true).result, Verdict::Ok);
        assert_eq!(judge(missing(), true).result, Verdict::Fail);
        let lax = judge(missing(), false);
        assert_eq!(lax.result, Verdict::Warn);
        assert!(lax.what.contains("list namespaces"), "{}", lax.what);
        assert_eq!(judge(Err("no answer".to_owned()), true).result, Verdict::Warn);
    }
}
