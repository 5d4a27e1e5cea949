//! What the agent must be allowed to do in the cluster, and why; asked of the API server (SelfSubjectAccessReview).

use futures::future::join_all;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldSelectorRequirement;
use kube::Api;
use kube::api::PostParams;
use tokio::time::timeout;

use super::{Finding, TIMEOUT};
use crate::chain::chain;
use crate::config::Config;
use crate::{kube_client, leader};

/// Where leases of nodes are.
const LEASES: &str = "kube-node-lease";
const IDENTITY: &str = "identity";
const RIGHTS: &str = "rights";

/// Something the agent does.
struct Right {
    verb: &'static str,
    group: &'static str,
    /// Resource, and after a slash subresource.
    resource: &'static str,
    namespace: &'static str,
    /// Only of what is this node's.
    own: Own,
    why: &'static str,
}

/// How what is this node's is told from the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    /// It is not.
    No,
    /// By its name, which is the node's.
    Name,
    /// By the pods' `spec.nodeName`.
    NodeName,
}

const fn right(verb: &'static str, group: &'static str, resource: &'static str, own: Own, why: &'static str) -> Right {
    let namespace = "";
    Right {
        verb,
        group,
        resource,
        namespace,
        own,
        why,
    }
}

const fn lease(verb: &'static str) -> Right {
    Right {
        namespace: LEASES,
        ..right(
            verb,
            "coordination.k8s.io",
            "leases",
            Own::Name,
            "the node counts as lost without its lease",
        )
    }
}

const REGISTERS: &str = "it registers the node and keeps its status";
const RUNS: &str = "it runs the node's pods and tells how they are";
const ADMITS: &str = "it asks who may use the kubelet API (logs, exec, figures)";
const CERTIFIES: &str = "it requests the kubelet API's serving certificate";

/// Secrets and ConfigMaps are not here: they are a matter of each pod, and the Node authorizer's.
const NEEDED: [Right; 16] = [
    right("create", "", "nodes", Own::Name, REGISTERS),
    right("get", "", "nodes", Own::Name, REGISTERS),
    right("patch", "", "nodes", Own::Name, REGISTERS),
    right("patch", "", "nodes/status", Own::Name, REGISTERS),
    lease("create"),
    lease("patch"),
    right("list", "", "pods", Own::NodeName, RUNS),
    right("watch", "", "pods", Own::NodeName, RUNS),
    right("delete", "", "pods", Own::No, RUNS),
    right("patch", "", "pods/status", Own::No, RUNS),
    right(
        "create",
        "",
        "pods/eviction",
        Own::No,
        "it evicts pods whose spot resources are taken back",
    ),
    right(
        "list",
        "",
        "services",
        Own::No,
        "pods find services in their environment",
    ),
    right("create", "", "events", Own::No, "it says in Events what goes wrong"),
    right("create", "authentication.k8s.io", "tokenreviews", Own::No, ADMITS),
    right(
        "create",
        "authorization.k8s.io",
        "subjectaccessreviews",
        Own::No,
        ADMITS,
    ),
    right(
        "create",
        "certificates.k8s.io",
        "certificatesigningrequests",
        Own::No,
        CERTIFIES,
    ),
];

/// Who this is to the API server, and what it may not. `requests` = it gets its certificate from the cluster.
pub(super) async fn check(client: &kube::Client, node: &str, requests: bool) -> Vec<Finding> {
    let mut found = vec![identity(client, node).await];
    let needed = NEEDED.iter().filter(|right| requests || right.why != CERTIFIES);
    let answers = join_all(needed.map(|right| async move { (right, may(client, node, right).await) })).await;
    let count = answers.len();
    // By the reason: what is refused together is mended together.
    let mut refused: Vec<(&str, Vec<String>)> = Vec::new();
    for (right, answer) in answers {
        let named = format!("{} {}", right.verb, right.resource);
        match answer {
            Ok(true) => {}
            Ok(false) => match refused.iter_mut().find(|(why, _)| *why == right.why) {
                Some((_, all)) => all.push(named),
                None => refused.push((right.why, vec![named])),
            },
            Err(error) => {
                let what = format!("whether it may {named} cannot be found out: {error}");
                found.push(Finding::warn(RIGHTS, what, "try again"));
                break;
            }
        }
    }
    let remedy = "let the agent act as the node (--impersonate-node with the roles in manifests/base, or a certificate of \
                  system:node:<name>), and have the Node authorizer on";
    for (why, all) in refused {
        let what = format!("may not {}, but {why}", all.join(", "));
        found.push(Finding::fail(RIGHTS, what, remedy));
    }
    if found.iter().all(|finding| finding.check != RIGHTS) {
        found.push(Finding::ok(RIGHTS, format!("all {count} things it does are allowed")));
    }
    found
}

async fn identity(client: &kube::Client, node: &str) -> Finding {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = SelfSubjectReview::default();
    let answer = timeout(TIMEOUT, api.create(&PostParams::default(), &review)).await;
    let user = match answer {
        Ok(Ok(review)) => review.status.and_then(|status| status.user_info).unwrap_or_default(),
        Ok(Err(error)) => {
            let remedy = "are the credentials of --kubeconfig still good? With --impersonate-node, may its user impersonate \
                          this node (manifests/base/agent-rbac.yaml names one node)?";
            return Finding::fail(IDENTITY, chain(&error), remedy);
        }
        Err(_) => return Finding::fail(IDENTITY, format!("no answer within {TIMEOUT:?}"), "try again"),
    };
    let name = user.username.unwrap_or_default();
    let is_node = name == format!("system:node:{node}")
        && user
            .groups
            .is_some_and(|groups| groups.iter().any(|group| group == "system:nodes"));
    if is_node {
        return Finding::ok(IDENTITY, format!("acts as {name}"));
    }
    let what = format!("acts as {name}, which the Node authorizer does not confine to the node's own pods");
    Finding::warn(
        IDENTITY,
        what,
        "set --impersonate-node, or use a certificate of system:node:<name> in system:nodes",
    )
}

/// Whether this replica may take part in the election.
pub(super) async fn election(config: &Config, connection: &kube::Config) -> Vec<Finding> {
    const CHECK: &str = "election";
    let Some(election) = &config.election else {
        return Vec::new();
    };
    let namespace = leader::namespace_of(election.namespace.as_deref());
    let client = match kube_client::client(connection, None) {
        Ok(client) => client,
        Err(error) => return vec![Finding::fail(CHECK, format!("{error:#}"), "see --kubeconfig")],
    };
    let lease = |verb: &str, name: Option<&String>| ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some("coordination.k8s.io".to_owned()),
        resource: Some("leases".to_owned()),
        namespace: Some(namespace.clone()),
        name: name.cloned(),
        ..ResourceAttributes::default()
    };
    let name = Some(&election.name);
    let wanted = [lease("get", name), lease("update", name), lease("create", None)];
    let place = format!("the Lease {namespace}/{}", election.name);
    let remedy = "without it no replica works: see the Role virtual-node-election in manifests/base/agent-rbac.yaml, and \
                  --leader-elect-resource-name and -namespace";
    vec![judge(CHECK, &place, missing(&client, wanted).await, remedy)]
}

/// What one identity may do, as a finding. `what` names the objects.
pub(super) fn judge(check: &'static str, what: &str, missing: Result<Vec<String>, String>, remedy: &str) -> Finding {
    match missing {
        Ok(missing) if missing.is_empty() => Finding::ok(check, format!("all that is done with {what} is allowed")),
        Ok(missing) => Finding::fail(check, format!("may not {}: {what}", missing.join(", ")), remedy),
        Err(error) => Finding::warn(
            check,
            format!("what is allowed cannot be found out: {error}"),
            "try again",
        ),
    }
}

/// Which of these the client may not do.
pub(super) async fn missing(
    client: &kube::Client,
    wanted: impl IntoIterator<Item = ResourceAttributes>,
) -> Result<Vec<String>, String> {
    let answers = wanted.into_iter().map(|attributes| async move {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let named = format!("{} {}", text(&attributes.verb), text(&attributes.resource));
        allowed(client, attributes).await.map(|yes| (!yes).then_some(named))
    });
    let answers: Result<Vec<Option<String>>, String> = join_all(answers).await.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}

async fn may(client: &kube::Client, node: &str, right: &Right) -> Result<bool, String> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    let selector = FieldSelectorAttributes {
        requirements: Some(vec![FieldSelectorRequirement {
            key: "spec.nodeName".to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![node.to_owned()]),
        }]),
        ..FieldSelectorAttributes::default()
    };
    let attributes = ResourceAttributes {
        verb: Some(right.verb.to_owned()),
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        namespace: Some(right.namespace.to_owned()),
        // Of a create no authorizer sees the name.
        name: (right.own == Own::Name && right.verb != "create").then(|| node.to_owned()),
        field_selector: (right.own == Own::NodeName).then_some(selector),
        ..ResourceAttributes::default()
    };
    allowed(client, attributes).await
}

async fn allowed(client: &kube::Client, attributes: ResourceAttributes) -> Result<bool, String> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    match timeout(TIMEOUT, api.create(&PostParams::default(), &review)).await {
        Ok(Ok(review)) => Ok(review.status.is_some_and(|status| status.allowed)),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    }
}
