//! One cluster, one cloud, and an agent that can be killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eci::{Client, ClientConfig, Credentials, Limits, TowerTransport};
use http_body_util::{BodyExt as _, Full};
use mock_eci::{Config, Server};
use provider::mapping::Settings;
use provider::pricing::PriceList;
use provider::request::{Container, CreateContainerGroup};
use provider::units::{MiB, MilliCpu};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::Service as _;
use virtual_node::metrics::{Health, Metrics};
use virtual_node::node::CloudConditions;
use virtual_node::pods::patience::Patience;
use virtual_node::pods::reconcile::Parallel;
use virtual_node::pods::store::Store;
use virtual_node::pods::{self, Connections, PodsSettings};
use virtual_node::shutdown::Shutdown;

use crate::support::api_server::ApiServer;
use crate::support::until::until;

pub const NODE: &str = "virtual-kubelet-test";
pub const CLUSTER: &str = "sim";

/// A cluster and a cloud.
pub struct Sim {
    pub api: ApiServer,
    pub cloud: Server,
}

/// A running agent. Dropped or killed, it stops where it is, as by `kill -9`.
pub struct Agent {
    task: JoinHandle<()>,
    pub conditions: watch::Receiver<CloudConditions>,
    pub store: Store,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agent {
    /// Ends it at once and waits until nothing of it runs.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Sim {
    pub async fn new() -> Self {
        let config = Config {
            limits: mock_eci::config::Limits::None,
            ..Config::default()
        };
        Self {
            api: ApiServer::new(),
            cloud: Server::in_memory(config).await.expect("starts"),
        }
    }

    /// A client of the cloud.
    pub fn eci(&self) -> Client {
        let app = self.cloud.service();
        let transport = TowerTransport::new(tower::service_fn(move |request: http::Request<Full<Bytes>>| {
            let mut app = app.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
                app.call(http::Request::from_parts(parts, body))
                    .await
                    .map(|answer| answer.map(Full::new))
            }
        }));
        let config = ClientConfig {
            endpoint: "http://mock-eci".to_owned(),
            region: "cn-hangzhou".to_owned(),
            limits: Limits::None,
            user_agent: "sim".to_owned(),
        };
        let credentials = Credentials::new("testid", "testsecret");
        Client::new(config, Arc::new(credentials), Arc::new(transport)).expect("a valid endpoint")
    }

    /// A group that another virtual node of the same cluster made; returns its id.
    pub async fn foreign_group(&self) -> String {
        let request = CreateContainerGroup {
            region_id: "cn-hangzhou".to_owned(),
            name: "foreign".to_owned(),
            client_token: "foreign".to_owned(),
            cpu: MilliCpu(250),
            memory: MiB(512),
            tags: [
                ("ManagedBy", "virtual-node"),
                ("ClusterId", CLUSTER),
                ("NodeName", "another"),
                ("UID", "u"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
            containers: vec![Container {
                name: "c".to_owned(),
                image: "busybox".to_owned(),
                ..Container::default()
            }],
            ..CreateContainerGroup::default()
        };
        self.eci().create_container_group(&request).await.expect("created").id
    }

    /// Starts an agent.
    pub fn agent(&self) -> Agent {
        let eci = self.eci();
        let store = Store::default();
        let (conditions_in, conditions) = watch::channel(CloudConditions::default());
        let settings = PodsSettings {
            mapping: Arc::new(Settings {
                node_name: NODE.to_owned(),
                node_ip: "10.0.0.1".to_owned(),
                region_id: "cn-hangzhou".to_owned(),
                vswitch_ids: vec!["vsw-1".to_owned()],
                security_group_id: "sg-1".to_owned(),
                cluster_id: CLUSTER.to_owned(),
                cluster_domain: "cluster.local".to_owned(),
                cluster_dns: vec!["10.96.0.10".to_owned()],
                kubernetes_service: ("10.96.0.1".to_owned(), 443),
                prices: PriceList::CNY,
                ..Settings::default()
            }),
            poll_calls_per_second: None,
            // A hundredth of what ECI gets.
            patience: Patience {
                list_period: Duration::from_millis(300),
                list_lag: Duration::from_millis(100),
                orphan_age: Duration::from_millis(600),
                release_period: Duration::from_millis(100),
            },
            parallel: Parallel::default(),
            streaming_lists: false,
        };
        let connections = Connections {
            kube: self.api.client(),
            eci,
            store: store.clone(),
            conditions: conditions_in,
            health: Health::new(),
            metrics: Metrics::new().expect("registers"),
        };
        let task = tokio::spawn(pods::run(settings, connections, Shutdown::new()));
        Agent {
            task,
            conditions,
            store,
        }
    }

    /// Creates a pod and waits until it is Running.
    pub async fn running(&self, pod: Value) -> String {
        let name = pod["metadata"]["name"].as_str().expect("named").to_owned();
        let uid = self.api.create_pod(pod);
        self.phase(&name, "Running").await;
        uid
    }

    /// Waits until the pod has this phase.
    pub async fn phase(&self, name: &str, phase: &str) {
        until(
            &format!("{name} to be {phase}"),
            || (self.api.phase(name), self.api.events()),
            |(p, _)| p == phase,
        )
        .await;
    }

    /// Waits until the pod's object is gone.
    pub async fn gone(&self, name: &str) {
        until(&format!("{name} to be gone"), || self.api.pod(name), Option::is_none).await;
    }

    /// Groups that are not removed, by the UID of their pod.
    pub fn groups(&self) -> BTreeMap<String, Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for bill in self
            .cloud
            .app()
            .ledger()
            .into_iter()
            .filter(|bill| bill.removal_time.is_none())
        {
            let uid = bill.tags.get("UID").cloned().unwrap_or_default();
            groups.entry(uid).or_default().push(bill.container_group_id.to_string());
        }
        groups
    }

    /// How many groups were ever made for the pod of that UID.
    pub fn groups_ever(&self, uid: &str) -> usize {
        self.cloud
            .app()
            .ledger()
            .iter()
            .filter(|bill| bill.tags.get("UID").is_some_and(|u| u == uid))
            .count()
    }

    /// Looks that the only group of one pod had ended when the only group of another was made.
    pub fn ended_before(&self, first: &str, second: &str) {
        let bill = |uid: &str| {
            let mut bills = self.cloud.app().ledger();
            bills.retain(|bill| bill.tags.get("UID").is_some_and(|u| u == uid));
            assert_eq!(bills.len(), 1, "groups of {uid}");
            bills.remove(0)
        };
        let (ended, began) = (bill(first).billing_end, bill(second).creation_time);
        assert!(
            ended.is_some_and(|at| at <= began),
            "it ended {ended:?}, and the next began {began}"
        );
    }

    /// Waits until no group is left.
    pub async fn no_groups(&self) {
        until("no group to be left", || self.groups(), BTreeMap::is_empty).await;
    }
}

/// A small pod.
pub fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "nodeName": NODE,
            "restartPolicy": "Always",
            "containers": [{ "name": "main", "image": "busybox", "resources": { "requests": { "cpu": "250m", "memory": "512Mi" } } }],
        },
    })
}

/// A pod that mounts a ConfigMap and a projected token, as every Spark pod does.
pub fn pod_with_config(name: &str, config_map: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["volumes"] = json!([
        { "name": "conf", "configMap": { "name": config_map } },
        { "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } }] } },
    ]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([
        { "name": "conf", "mountPath": "/conf" },
        { "name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true },
    ]);
    pod
}
