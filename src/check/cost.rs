//! Whether records of cost can be kept.

use k8s_openapi::api::authorization::v1::ResourceAttributes;

use super::rights::{judge, missing};
use super::{Finding, Result};
use crate::config::Config;
use crate::{agent, leader};

const RIGHTS: &str = "cost-rights";

/// What is done with the ConfigMaps that records are kept in.
const VERBS: [&str; 4] = ["list", "create", "update", "delete"];

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let Some(cost) = &config.cost else {
        return Vec::new();
    };
    let client = match agent::cost_client(config, cost).await {
        Ok(client) => client,
        Err(error) => return vec![Finding::fail(RIGHTS, format!("{error:#}"), "see --cost-kubeconfig")],
    };
    let namespace = leader::namespace_of(cost.namespace.as_deref());
    let wanted = VERBS.map(|verb| ResourceAttributes {
        verb: Some(verb.to_owned()),
        resource: Some("configmaps".to_owned()),
        namespace: Some(namespace.clone()),
        ..ResourceAttributes::default()
    });
    let place = format!("the ConfigMaps of namespace {namespace}, in which records of cost are kept");
    let remedy = "what pods cost is forgotten with them: see the Role virtual-node-cost in manifests/base/agent-rbac.yaml, \
                  --cost-namespace and --cost-impersonate; --cost-records false does without";
    let found = judge(RIGHTS, &place, missing(&client, wanted).await, remedy);
    // Pods run without.
    let result = match found.result {
        Result::Fail => Result::Warn,
        other => other,
    };
    vec![Finding { result, ..found }]
}
