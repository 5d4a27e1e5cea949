//! The node's Lease, by which the node-lifecycle controller knows that the agent lives.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::chain::chain;
use crate::clock;
use crate::metrics::Metrics;

const NAMESPACE: &str = "kube-node-lease";
/// A kubelet's own numbers: the lease lasts 40 s and is renewed after a quarter of that.
const DURATION_SECONDS: i32 = 40;
const PERIOD: Duration = Duration::from_secs(10);
/// After a failure. Several attempts fit into the lease's duration.
const RETRY: Duration = Duration::from_secs(3);
/// A call that takes longer has met a dead connection.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Renews the lease for ever, beginning when `node_uid` is known; while it is not (the Node was deleted), the lease rests.
pub(super) async fn renew(
    client: kube::Client,
    node: String,
    mut node_uid: watch::Receiver<Option<String>>,
    metrics: Metrics,
) {
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    // The owner that the stored lease is known to name.
    let mut stored_owner: Option<String> = None;
    let mut failing = false;
    loop {
        let Ok(uid) = node_uid
            .wait_for(Option::is_some)
            .await
            .map(|uid| uid.clone().unwrap_or_default())
        else {
            // Whoever registers the node has ended, and so does this.
            return;
        };
        let renewed = timeout(
            CALL_TIMEOUT,
            renew_once(&leases, &node, &uid, stored_owner.as_ref() != Some(&uid)),
        )
        .await;
        let failure = match renewed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some(format!("no answer within {CALL_TIMEOUT:?}")),
        };
        metrics
            .lease_renewals
            .with_label_values(&[if failure.is_none() { "ok" } else { "error" }])
            .inc();
        let pause = match failure {
            None => {
                if failing {
                    tracing::info!(node, "the node lease is renewed again");
                }
                failing = false;
                stored_owner = Some(uid);
                PERIOD
            }
            Some(error) => {
                if !failing {
                    tracing::warn!(node, error, "the node lease could not be renewed, trying on");
                }
                failing = true;
                RETRY
            }
        };
        // A Node made anew has a new UID, which the lease should name at once.
        let _ = timeout(pause, node_uid.changed()).await;
    }
}

async fn renew_once(leases: &Api<Lease>, node: &str, uid: &str, name_owner: bool) -> Result<(), kube::Error> {
    let spec = LeaseSpec {
        holder_identity: Some(node.to_owned()),
        lease_duration_seconds: Some(DURATION_SECONDS),
        renew_time: Some(MicroTime(clock::now())),
        ..LeaseSpec::default()
    };
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    };
    let mut patch = json!({ "spec": spec });
    if name_owner {
        patch["metadata"] = json!({ "ownerReferences": [owner] });
    }
    match leases.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(node.to_owned()),
                    namespace: Some(NAMESPACE.to_owned()),
                    owner_references: Some(vec![owner]),
                    ..ObjectMeta::default()
                },
                spec: Some(spec),
            };
            leases.create(&PostParams::default(), &lease).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::Method;
    use serde_json::Value;

    use super::*;
    use crate::scripted_api::{Answer, scripted};

    #[tokio::test]
    async fn a_missing_lease_is_created_and_a_new_node_becomes_its_owner() {
        let seen = Arc::new(Mutex::new(Vec::<(Method, Value)>::new()));
        let log = seen.clone();
        let (uid, uids) = watch::channel(Some("uid-1".to_owned()));
        let uid = Arc::new(uid);
        let changer = uid.clone();
        let client = scripted(move |method, path, body| {
            assert!(
                path.starts_with("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"),
                "{path}"
            );
            let mut log = log.lock().expect("no panics");
            let exists = log.iter().any(|(method, _)| *method == Method::POST);
            let is_create = *method == Method::POST;
            log.push((method.clone(), body.clone()));
            if is_create {
                // Renewed at once, not after ten seconds, because the Node is a new one.
                changer.send_replace(Some("uid-2".to_owned()));
            }
            if exists || is_create {
                Answer::ok(json!({ "metadata": { "name": "n" } }))
            } else {
                Answer::not_found()
            }
        });
        let metrics = Metrics::new().expect("registers");
        let renewing = tokio::spawn(renew(client, "n".to_owned(), uids, metrics.clone()));
        let twice = async {
            while metrics.lease_renewals.with_label_values(&["ok"]).get() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(5), twice)
            .await
            .expect("renewed twice well before the period is over");
        renewing.abort();
        let seen = seen.lock().expect("no panics");
        let methods: Vec<&Method> = seen.iter().map(|(method, _)| method).collect();
        assert_eq!(methods, [Method::PATCH, Method::POST, Method::PATCH]);
        assert_eq!(seen[1].1["spec"]["leaseDurationSeconds"], 40);
        assert_eq!(seen[1].1["metadata"]["ownerReferences"][0]["uid"], "uid-1");
        assert_eq!(seen[2].1["metadata"]["ownerReferences"][0]["uid"], "uid-2");
    }
}
