//! The cases that the API server in memory of `tests/sim` is held to, against the real one: where the two differ, the one
//! in memory changes.

use crate::api_cases::{self, Bed};
use crate::cluster::Cluster;
use crate::namespace::Namespace;

async fn bed(namespace: &Namespace<'_>) -> Bed {
    let mut config = kube::Config::infer().await.expect("KUBECONFIG can be used");
    // Refusals are what is looked at.
    config.default_retry = false;
    let bed = Bed {
        client: kube::Client::try_from(config).expect("a client"),
        namespace: namespace.name.clone(),
        node: format!("{}-node", namespace.name),
    };
    bed.prepare().await;
    bed
}

macro_rules! against_the_real_one {
    ($($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let cluster = Cluster::shared().await;
                // Names have 63 letters at most.
                let topic: String = stringify!($case).replace('_', "-").chars().take(50).collect();
                let namespace = Namespace::new(&cluster, topic.trim_end_matches('-')).await;
                let bed = bed(&namespace).await;
                api_cases::$case(&bed).await;
                bed.clean_up().await;
            }
        )*
    };
}

api_cases::each_case!(against_the_real_one);

#[tokio::test]
async fn a_forgotten_version_is_expired() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "forgotten").await;
    // It knows nothing of the time before its start.
    cluster.control(&["restart", "apiserver"]).await;
    let path = format!("/api/v1/namespaces/{}", namespace.name);
    cluster
        .until("the API server to be back", &path, |n| n["kind"] == "Namespace")
        .await;
    let bed = bed(&namespace).await;
    api_cases::a_forgotten_version_is_expired(&bed).await;
    bed.clean_up().await;
}
