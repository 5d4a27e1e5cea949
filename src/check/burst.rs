//! Whether burst may do what it does, what keeps it from doing more, and whether the eci-profile can be used.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::authorization::v1::ResourceAttributes;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tokio::time::timeout;

use super::rights::{judge, missing};
use super::{Finding, TIMEOUT};
use crate::burst::profile;
use crate::chain::chain;
use crate::config::{BurstConfig, Config};
use crate::kube_client;

const RIGHTS: &str = "burst-rights";
const POLICY: &str = "burst-policy";
const PROFILE: &str = "eci-profile";
/// The policy that keeps burst from changing images and owners, by its name in `manifests/burst`.
const POLICY_NAME: &str = "virtual-node-burst";

/// What burst does: verb, group, resource.
const NEEDED: [(&str, &str, &str); 9] = [
    ("list", "", "pods"),
    ("watch", "", "pods"),
    ("get", "", "pods"),
    ("patch", "", "pods"),
    ("list", "", "namespaces"),
    ("watch", "", "namespaces"),
    ("list", "", "nodes"),
    ("watch", "", "nodes"),
    ("create", "events.k8s.io", "events"),
];

pub(super) async fn check(config: &Config, connection: &kube::Config) -> Vec<Finding> {
    let Some(burst) = &config.burst else {
        return Vec::new();
    };
    let connection = match &burst.kubeconfig {
        None => connection.clone(),
        Some(path) => match kube_client::config(Some(path)).await {
            Ok(connection) => connection,
            Err(error) => return vec![Finding::fail(RIGHTS, format!("{error:#}"), "see --burst-kubeconfig")],
        },
    };
    let client = match kube_client::client_as(&connection, burst.impersonate.as_deref()) {
        Ok(client) => client,
        Err(error) => return vec![Finding::fail(RIGHTS, format!("{error:#}"), "see --burst-kubeconfig")],
    };
    vec![
        rights(&client, burst).await,
        policy(&client).await,
        eci_profile(&client, burst).await,
    ]
}

async fn rights(client: &kube::Client, burst: &BurstConfig) -> Finding {
    let on_all = NEEDED.map(|(verb, group, resource)| ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        ..ResourceAttributes::default()
    });
    let on_profile = ["get", "list", "watch"].map(|verb| ResourceAttributes {
        verb: Some(verb.to_owned()),
        resource: Some("configmaps".to_owned()),
        namespace: Some(burst.profile.namespace.clone()),
        name: Some(burst.profile.name.clone()),
        ..ResourceAttributes::default()
    });
    let user = burst
        .impersonate
        .as_deref()
        .unwrap_or("the identity of --burst-kubeconfig");
    let remedy = "pods do not overflow, and with caps that cannot be read no group is created: apply manifests/burst, and see \
                  --burst-impersonate";
    let missing = missing(client, on_all.into_iter().chain(on_profile)).await;
    judge(RIGHTS, &format!("what {user} looks at"), missing, remedy)
}

async fn policy(client: &kube::Client) -> Finding {
    let api: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let remedy = "apply manifests/burst: without its policy this identity could change the image of any pod";
    match timeout(TIMEOUT, api.get_opt(POLICY_NAME)).await {
        Ok(Ok(Some(_))) => Finding::ok(POLICY, "burst is kept from changing images and owners"),
        Ok(Ok(None)) => Finding::warn(
            POLICY,
            format!("there is no ValidatingAdmissionPolicy {POLICY_NAME}"),
            remedy,
        ),
        Ok(Err(error)) => Finding::warn(POLICY, format!("it cannot be looked at: {}", chain(&error)), remedy),
        Err(_) => Finding::warn(POLICY, format!("no answer within {TIMEOUT:?}"), "try again"),
    }
}

async fn eci_profile(client: &kube::Client, burst: &BurstConfig) -> Finding {
    let place = format!("{}/{}", burst.profile.namespace, burst.profile.name);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &burst.profile.namespace);
    match timeout(TIMEOUT, api.get_opt(&burst.profile.name)).await {
        Ok(Ok(None)) => Finding::ok(
            PROFILE,
            format!("there is none ({place}): pods, namespaces and settings decide"),
        ),
        Ok(Ok(Some(map))) => judge_profile(&place, &map),
        Ok(Err(error)) => Finding::fail(PROFILE, format!("{place}: {}", chain(&error)), "see the rights above"),
        Err(_) => Finding::warn(PROFILE, format!("no answer within {TIMEOUT:?}"), "try again"),
    }
}

fn judge_profile(place: &str, map: &ConfigMap) -> Finding {
    match profile::parse(&map.data.clone().unwrap_or_default()) {
        Ok(profile) => Finding::ok(PROFILE, format!("{place} has {} selectors", profile.selectors.len())),
        Err(wrong) => {
            let wrong: Vec<String> = wrong.iter().map(|w| format!("data.{} {}", w.key, w.what)).collect();
            Finding::fail(
                PROFILE,
                format!("{place}: {}", wrong.join("; ")),
                "mend it: the last good one stays in force until then, and none after a restart",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Result;
    use super::*;

    #[test]
    fn a_profile_with_a_mistake_is_named_with_its_key() {
        let of = |selectors: &str| {
            judge_profile(
                "kube-system/eci-profile",
                &ConfigMap {
                    data: Some(BTreeMap::from([("selectors".to_owned(), selectors.to_owned())])),
                    ..ConfigMap::default()
                },
            )
        };
        assert_eq!(of("[]").result, Result::Ok);
        let wrong = of("[{");
        assert_eq!(wrong.result, Result::Fail);
        assert!(wrong.what.contains("data.selectors"), "{}", wrong.what);
    }
}
