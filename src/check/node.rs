//! Whether a node is registered and alive, and its kubelet API is there for the API server.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use provider::annotations;
use tokio::time::timeout;

use super::{Finding, TIMEOUT, cloud, rights};
use crate::chain::chain;
use crate::config::{Config, NodeConfig, ServingCertificate};
use crate::kubelet::probe::{self, Seen};
use crate::kubelet::{SIGNER, Serving, approve_command};
use crate::{clock, kube_client};

const NODE: &str = "node";
const PORT: &str = "kubelet-port";
const PROXY: &str = "kubelet-proxy";
const CERTIFICATE: &str = "serving-certificate";
/// A kubelet's lease lasts so long.
const LEASE: SignedDuration = SignedDuration::from_secs(40);
/// A certificate that ends this soon should have been renewed.
const SOON: SignedDuration = SignedDuration::from_hours(48);

pub(super) async fn check(config: &Config, node: &NodeConfig, connection: &kube::Config) -> Vec<Finding> {
    let name = node.name.as_str();
    let client = match kube_client::client(connection, config.impersonate_node.then_some(name)) {
        Ok(client) => client,
        Err(error) => return vec![Finding::fail("identity", format!("{error:#}"), "see --kubeconfig").of(name)],
    };
    let requests = config.serving == ServingCertificate::Request;
    let mut found = rights::check(&client, name, requests).await;
    let (state, address) = state(&client, node, config.election.is_some()).await;
    found.extend(state);
    found.extend(kubelet(&client, node, address, requests).await);
    found.extend(by_the_api_server(connection, name).await);
    found.extend(pods(config, &client, name).await);
    found.into_iter().map(|finding| finding.of(name)).collect()
}

/// The Node and its lease; and where its kubelet API is, to which the API server goes by the Node.
async fn state(client: &kube::Client, node: &NodeConfig, several: bool) -> (Vec<Finding>, SocketAddr) {
    let own = SocketAddr::new(node.node_ip, node.kubelet_listen.port());
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let both = async { tokio::join!(nodes.get_opt(&node.name), leases.get_opt(&node.name)) };
    let unknown = |what: String, remedy: &str| (vec![Finding::warn(NODE, what, remedy)], own);
    let (object, lease) = match timeout(TIMEOUT, both).await {
        Ok((Ok(object), lease)) => (object, lease.ok().flatten()),
        Ok((Err(error), _)) => return unknown(chain(&error), "see the rights above"),
        Err(_) => return unknown(format!("no answer within {TIMEOUT:?}"), "try again"),
    };
    let Some(object) = object else {
        return unknown(
            "is not registered".to_owned(),
            "start the agent; its log says what keeps it",
        );
    };
    let mut found = Vec::new();
    let renewed = lease.and_then(|lease| lease.spec).and_then(|spec| spec.renew_time);
    let alive = renewed.is_some_and(|time| clock::now().duration_since(time.0) < LEASE);
    if !alive {
        found.push(Finding::fail(
            NODE,
            "its lease is not renewed",
            "is the agent running? Its log says what keeps it",
        ));
    }
    let status = object.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    for condition in &conditions {
        let bad = match condition.type_.as_str() {
            "Ready" | "CloudReachable" => condition.status != "True",
            _ => condition.status == "True",
        };
        if bad {
            let text = condition.message.as_deref().unwrap_or_default();
            let what = format!("condition {} is {}: {text}", condition.type_, condition.status);
            found.push(Finding::warn(NODE, what, "the agent's log says more"));
        }
    }
    let addresses = status.addresses.unwrap_or_default();
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP");
    let ip = internal
        .and_then(|address| address.address.parse().ok())
        .unwrap_or(node.node_ip);
    let endpoint = status.daemon_endpoints.and_then(|endpoints| endpoints.kubelet_endpoint);
    let port = endpoint.and_then(|endpoint| u16::try_from(endpoint.port).ok());
    let there = SocketAddr::new(ip, port.unwrap_or(own.port()));
    let mut good = "is Ready, and its lease is renewed".to_owned();
    if there != own && several {
        good = format!("{good}, by the replica at {}", there.ip());
    } else if there != own {
        let what = format!("its kubelet API is at {there}, while this agent's is at {own}");
        let remedy = "does another agent serve the node? Else see --node-ip and --kubelet-listen";
        found.push(Finding::warn(NODE, what, remedy));
    }
    if object.spec.is_some_and(|spec| spec.unschedulable == Some(true)) {
        let remedy = format!("kubectl uncordon {}", node.name);
        found.push(Finding::warn(NODE, "is cordoned: no new pods come", remedy));
    }
    if found.is_empty() {
        found.push(Finding::ok(NODE, good));
    }
    (found, there)
}

/// Whether the API server reaches the kubelet API, where whoever asks may have it try.
async fn by_the_api_server(connection: &kube::Config, name: &str) -> Option<Finding> {
    let client = kube_client::client(connection, None).ok()?;
    let path = format!("/api/v1/nodes/{name}/proxy/healthz");
    let request = http::Request::get(&path).body(Vec::new()).ok()?;
    judge_proxy(&path, timeout(TIMEOUT, client.request_text(request)).await.ok()?)
}

fn judge_proxy(path: &str, answer: kube::Result<String>) -> Option<Finding> {
    match answer {
        Ok(_) => Some(Finding::ok(PROXY, "the API server reaches the kubelet API")),
        // The agent needs no such right, so most have not given it.
        Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => Some(Finding::ok(
            PROXY,
            format!("who runs this may not try it; an administrator may: kubectl get --raw {path}"),
        )),
        Err(kube::Error::Api(status)) if status.code == 404 => None,
        Err(error) => Some(Finding::fail(
            PROXY,
            format!(
                "the API server does not reach the kubelet API, so kubectl logs and exec do not work: {}",
                chain(&error)
            ),
            "let the API server's addresses in at that port, in the security group of the machine that the agent runs on",
        )),
    }
}

/// What the pods that are here tell of the set-up.
async fn pods(config: &Config, client: &kube::Client, name: &str) -> Vec<Finding> {
    let api: Api<Pod> = Api::all(client.clone());
    let params = ListParams::default().fields(&format!("spec.nodeName={name}"));
    let Ok(Ok(pods)) = timeout(TIMEOUT, api.list(&params)).await else {
        return Vec::new();
    };
    let mut found: Vec<Finding> = daemons(&pods.items).into_iter().collect();
    let running = |pod: &&Pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
    let group = pods.items.iter().filter(running).find_map(|pod| {
        let annotations = pod.metadata.annotations.as_ref()?;
        annotations.get(annotations::INSTANCE_ID).cloned()
    });
    if let Some(group) = group {
        found.extend(cloud::shows(config, &group).await);
    }
    found
}

/// Pods of DaemonSets, which never run here.
fn daemons(pods: &[Pod]) -> Option<Finding> {
    let owners = pods.iter().flat_map(|pod| {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let owners = pod.metadata.owner_references.iter().flatten();
        let daemons = owners.filter(|owner| owner.kind == "DaemonSet" && owner.controller == Some(true));
        daemons.map(move |owner| format!("{namespace}/{}", owner.name))
    });
    let owners: BTreeSet<String> = owners.collect();
    (!owners.is_empty()).then(|| {
        let names: Vec<String> = owners.into_iter().collect();
        Finding::warn(
            "daemonsets",
            format!("pods of DaemonSets wait here for ever, as there is no machine for them: {}", names.join(", ")),
            "keep them off: in their templates, a required node affinity on `type` NotIn [virtual-kubelet], or no toleration of every taint",
        )
    })
}

/// The kubelet API as the API server meets it.
async fn kubelet(client: &kube::Client, node: &NodeConfig, address: SocketAddr, requests: bool) -> Vec<Finding> {
    let seen = match timeout(TIMEOUT, probe::look(address)).await {
        Ok(seen) => seen,
        Err(_) => Seen::Unreachable(format!("no answer within {TIMEOUT:?}")),
    };
    match seen {
        Seen::Unreachable(error) => {
            let remedy =
                "is the agent running, and may the API server (and whoever runs this) reach that address and port?";
            vec![Finding::fail(PORT, format!("{address}: {error}"), remedy)]
        }
        Seen::Closed(error) => {
            let mut found = vec![Finding::ok(PORT, format!("{address} accepts connections"))];
            found.push(if requests {
                pending(client, node).await
            } else {
                Finding::fail(
                    CERTIFICATE,
                    format!("{address} begins no TLS: {error}"),
                    "the agent's log says why",
                )
            });
            found
        }
        Seen::Serving { certificate, anonymous } => {
            let port = match anonymous {
                401 => Finding::ok(
                    PORT,
                    format!("{address} answers, and refuses who does not say who they are"),
                ),
                code => Finding::fail(
                    PORT,
                    format!("{address} answers {code} to who does not say who they are, where 401 is right"),
                    "something else than this agent listens there",
                ),
            };
            let waiting = if requests { waiting(client, node).await } else { None };
            let approve = waiting.as_ref().map(|waiting| approve_command(&waiting.join(" ")));
            vec![port, judge(&certificate, address.ip(), approve)]
        }
    }
}

/// Whether a certificate serves at `ip`; `approve` is what would bring another one.
fn judge(certificate: &Serving, ip: IpAddr, approve: Option<String>) -> Finding {
    let end = certificate.end;
    let ends_in = end.duration_since(clock::now());
    let or = |remedy: &str| approve.clone().unwrap_or_else(|| remedy.to_owned());
    if !certificate.addresses.contains(&ip) {
        let what = format!("is not for {ip}, where the API server asks");
        Finding::fail(
            CERTIFICATE,
            what,
            or("one for that address is needed; it is taken without a restart"),
        )
    } else if ends_in.is_negative() {
        Finding::fail(
            CERTIFICATE,
            format!("ended at {end}"),
            or("renew it; it is taken without a restart"),
        )
    } else if ends_in < SOON {
        Finding::warn(
            CERTIFICATE,
            format!("ends at {end}"),
            or("renew it; it is taken without a restart"),
        )
    } else if let Some(approve) = approve {
        let what = format!("is for {ip}, until {end}; that of a replica, or the next one, waits for an administrator");
        Finding::warn(CERTIFICATE, what, approve)
    } else {
        Finding::ok(CERTIFICATE, format!("is for {ip}, until {end}"))
    }
}

/// The requests that wait for somebody: of an agent that has no certificate yet or a new address, and of each replica.
async fn waiting(client: &kube::Client, node: &NodeConfig) -> Option<Vec<String>> {
    let requests = requests(client, node).await.ok()?;
    let waits = |request: &&CertificateSigningRequest| {
        let status = request.status.as_ref();
        status
            .and_then(|status| status.conditions.as_ref())
            .is_none_or(Vec::is_empty)
    };
    let waiting = requests
        .iter()
        .filter(waits)
        .filter_map(|request| request.metadata.name.clone());
    let waiting: Vec<String> = waiting.collect();
    (!waiting.is_empty()).then_some(waiting)
}

/// All requests of the node.
async fn requests(client: &kube::Client, node: &NodeConfig) -> Result<Vec<CertificateSigningRequest>, String> {
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let params = ListParams::default().fields(&format!("spec.signerName={SIGNER}"));
    let user = format!("system:node:{}", node.name);
    let mut requests = match timeout(TIMEOUT, api.list(&params)).await {
        Ok(Ok(requests)) => requests.items,
        Ok(Err(error)) => return Err(chain(&error)),
        Err(_) => return Err(format!("no answer within {TIMEOUT:?}")),
    };
    requests.retain(|request| request.spec.username.as_ref() == Some(&user));
    Ok(requests)
}

/// Why there is no certificate, and what is to be run.
async fn pending(client: &kube::Client, node: &NodeConfig) -> Finding {
    if let Some(waiting) = waiting(client, node).await {
        let what = format!("waits for an administrator: {}", waiting.join(", "));
        return Finding::fail(CERTIFICATE, what, approve_command(&waiting.join(" ")));
    }
    let newest = match requests(client, node).await {
        Ok(requests) => requests
            .into_iter()
            .max_by_key(|request| request.metadata.creation_timestamp.clone()),
        Err(error) => {
            let what = format!("its requests cannot be listed: {error}");
            return Finding::fail(CERTIFICATE, what, "look with: kubectl get csr");
        }
    };
    let Some(newest) = newest else {
        let what = "there is none, and no request for one";
        return Finding::fail(CERTIFICATE, what, "start the agent; its log says what keeps it");
    };
    let name = newest.metadata.name.unwrap_or_default();
    let conditions = newest.status.and_then(|status| status.conditions).unwrap_or_default();
    match conditions.first() {
        Some(condition) if condition.type_ != "Approved" => {
            let text = condition.message.as_deref().unwrap_or_default();
            let what = format!("its request {name} is {}: {text}", condition.type_);
            Finding::fail(
                CERTIFICATE,
                what,
                "ask who did that; the agent asks again after an hour, or when it is restarted",
            )
        }
        _ => Finding::warn(
            CERTIFICATE,
            format!("its request {name} is approved and not yet taken"),
            "wait a few seconds; if it stays so, the cluster has no signer for kubernetes.io/kubelet-serving",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Result;
    use super::*;

    #[test]
    fn pods_of_daemonsets_are_named_once() {
        let pod = |kind: &str| -> Pod {
            let owner =
                json!({ "apiVersion": "apps/v1", "kind": kind, "name": "proxy", "uid": "u", "controller": true });
            serde_json::from_value(json!({ "metadata": { "namespace": "kube-system", "ownerReferences": [owner] } }))
                .expect("a pod")
        };
        assert_eq!(daemons(&[pod("ReplicaSet")]), None);
        let found = daemons(&[pod("DaemonSet"), pod("DaemonSet"), pod("ReplicaSet")]).expect("found");
        assert!(found.what.ends_with(": kube-system/proxy"), "{}", found.what);
    }

    #[test]
    fn what_the_api_server_says_of_its_way_here() {
        let of = |code: u16| {
            let status = kube::core::Status::failure("no", "No").with_code(code);
            judge_proxy("/path", Err(kube::Error::Api(Box::new(status)))).map(|finding| finding.result)
        };
        assert_eq!(
            judge_proxy("/path", Ok("ok".to_owned())).map(|f| f.result),
            Some(Result::Ok)
        );
        assert_eq!(
            (of(403), of(404), of(503)),
            (Some(Result::Ok), None, Some(Result::Fail))
        );
    }

    #[test]
    fn a_certificate_is_judged_by_its_address_and_its_end() {
        let here = IpAddr::from([10, 0, 0, 1]);
        let ends_in = |hours: i64| Serving {
            addresses: vec![here],
            begin: clock::now(),
            end: clock::now() + SignedDuration::from_hours(hours),
        };
        let of = |hours, ip: [u8; 4], approve: Option<&str>| {
            let finding = judge(&ends_in(hours), ip.into(), approve.map(str::to_owned));
            (finding.result, finding.remedy.unwrap_or_default())
        };
        assert_eq!(of(100, [10, 0, 0, 1], None), (Result::Ok, String::new()));
        assert_eq!(of(1, [10, 0, 0, 1], None).0, Result::Warn);
        assert_eq!(of(-1, [10, 0, 0, 1], None).0, Result::Fail);
        assert_eq!(of(100, [10, 0, 0, 2], None).0, Result::Fail);
        let command = "kubectl certificate approve csr-1".to_owned();
        for (hours, ip, result) in [
            (100, [10, 0, 0, 1], Result::Warn),
            (-1, [10, 0, 0, 1], Result::Fail),
            (100, [10, 0, 0, 2], Result::Fail),
        ] {
            assert_eq!(of(hours, ip, Some(&command)), (result, command.clone()));
        }
    }
}
