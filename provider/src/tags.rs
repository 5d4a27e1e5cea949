//! Tags by which a group is known to be ours, and by which bills are split.

use k8s_openapi::api::core::v1::Pod;

use crate::mapping::Settings;

/// Id of the cluster.
pub const CLUSTER_ID: &str = "ClusterId";
/// Name of the virtual node.
pub const NODE_NAME: &str = "NodeName";
/// Namespace of the pod.
pub const NAMESPACE: &str = "NameSpace";
/// Name of the pod.
pub const POD_NAME: &str = "PodName";
/// UID of the pod: the key that joins pods and groups.
pub const UID: &str = "UID";
/// Always [`MANAGED_BY_VALUE`].
pub const MANAGED_BY: &str = "ManagedBy";
/// Value of [`MANAGED_BY`].
pub const MANAGED_BY_VALUE: &str = "virtual-node";
/// Kind of the pod's controller, such as `Job`.
pub const OWNER_KIND: &str = "OwnerReferenceKind";
/// Name of the pod's controller.
pub const OWNER_NAME: &str = "OwnerReferenceName";

/// Labels that become tags of the same name, so that a bill can be split by Spark application.
pub const LABELS: [&str; 5] = [
    "spark-app-selector",
    "spark-role",
    "spark-exec-id",
    "sparkoperator.k8s.io/app-name",
    "sparkoperator.k8s.io/submission-id",
];

/// ECI's limit of tags per group.
pub const MAX_TAGS: usize = 20;
/// ECI's limit of characters per value.
pub const MAX_VALUE: usize = 128;

/// The tags of a pod's group, in a fixed order, at most [`MAX_TAGS`]. Filter by [`MANAGED_BY`], [`CLUSTER_ID`] and
/// [`NODE_NAME`], join by [`UID`]; the rest is for people and bills.
pub fn ownership(pod: &Pod, settings: &Settings) -> Vec<(String, String)> {
    let meta = &pod.metadata;
    let mut tags = vec![
        (MANAGED_BY.to_owned(), MANAGED_BY_VALUE.to_owned()),
        (CLUSTER_ID.to_owned(), value(&settings.cluster_id)),
        (NODE_NAME.to_owned(), value(&settings.node_name)),
        (
            NAMESPACE.to_owned(),
            value(meta.namespace.as_deref().unwrap_or_default()),
        ),
        (POD_NAME.to_owned(), value(meta.name.as_deref().unwrap_or_default())),
        (UID.to_owned(), value(meta.uid.as_deref().unwrap_or_default())),
    ];
    let controller = meta
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true));
    if let Some(owner) = controller {
        tags.push((OWNER_KIND.to_owned(), value(&owner.kind)));
        tags.push((OWNER_NAME.to_owned(), value(&owner.name)));
    }
    for label in LABELS {
        if let Some(text) = meta.labels.as_ref().and_then(|labels| labels.get(label)) {
            tags.push((label.to_owned(), value(text)));
        }
    }
    tags
}

/// `text` as a tag carries it: cut to [`MAX_VALUE`] characters. Filters must use it as well, or a node with a long
/// name never finds its groups.
pub fn value(text: &str) -> String {
    text.chars().take(MAX_VALUE).collect()
}

/// The tags that select all groups of one virtual node.
pub fn of_node(cluster_id: &str, node_name: &str) -> Vec<(String, String)> {
    vec![
        (MANAGED_BY.to_owned(), MANAGED_BY_VALUE.to_owned()),
        (CLUSTER_ID.to_owned(), value(cluster_id)),
        (NODE_NAME.to_owned(), value(node_name)),
    ]
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    #[test]
    fn ownership_is_complete_short_and_starts_with_the_nodes_filter() {
        let mut pod = Pod::default();
        pod.metadata.name = Some("p".repeat(253));
        pod.metadata.namespace = Some("ns".to_owned());
        pod.metadata.uid = Some("u-1".to_owned());
        pod.metadata.owner_references = Some(vec![OwnerReference {
            controller: Some(true),
            kind: "Job".to_owned(),
            name: "j".to_owned(),
            ..OwnerReference::default()
        }]);
        pod.metadata.labels = Some(
            LABELS
                .iter()
                .map(|label| ((*label).to_owned(), "v".to_owned()))
                .collect(),
        );
        let settings = Settings {
            cluster_id: "c".into(),
            node_name: "n".repeat(200),
            ..Settings::default()
        };
        let tags = ownership(&pod, &settings);
        assert!(tags.len() <= MAX_TAGS);
        assert!(
            tags.iter()
                .all(|(key, value)| key.len() <= 64 && value.chars().count() <= MAX_VALUE)
        );
        assert!(tags.contains(&(UID.to_owned(), "u-1".to_owned())));
        for filter in of_node("c", &settings.node_name) {
            assert!(tags.contains(&filter), "{filter:?}");
        }
    }

    #[test]
    fn an_owner_that_is_no_controller_is_not_billed() {
        let mut pod = Pod::default();
        pod.metadata.owner_references = Some(vec![OwnerReference::default()]);
        assert!(
            ownership(&pod, &Settings::default())
                .iter()
                .all(|(key, _)| key != OWNER_KIND)
        );
    }
}
