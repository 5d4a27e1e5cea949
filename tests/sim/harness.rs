//! One cluster, one cloud, and an agent that can be killed, all by one clock that tests pause.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eci::{Client, Limits};
use futures::future::BoxFuture;
use http::Request;
use k8s_openapi::api::core::v1::Taint;
use kube::client::Body;
use mock_eci::{Config, Server};
use provider::mapping::Settings;
use provider::pricing::PriceList;
use provider::request::{Container, CreateContainerGroup};
use provider::units::{MiB, MilliCpu};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use virtual_node::budget::{BudgetSettings, Budgets, look, namespaces};
use virtual_node::burst::outages::OutageToleration;
use virtual_node::burst::{self, BurstConnections, BurstSettings};
use virtual_node::caps::{Cap, Caps, NAMESPACES};
use virtual_node::cost::prices::Prices;
use virtual_node::cost::recorder::{Recorder, RecorderSettings};
use virtual_node::metrics::{Health, Metrics};
use virtual_node::node::CloudConditions;
use virtual_node::pods::lanes::Parallel;
use virtual_node::pods::patience::Patience;
use virtual_node::pods::store::Store;
use virtual_node::pods::{self, Connections, PodsSettings};
use virtual_node::shutdown::Shutdown;

use crate::cloud::{self, Replica};
use crate::support::api_server::{AGENT, ApiServer};
use crate::support::until::until;
use crate::wires::{Death, Wires};

pub const NODE: &str = "virtual-kubelet-test";
pub const CLUSTER: &str = "sim";

/// How a simulation deviates from a quiet, fast one.
pub struct Deviations {
    /// Of ids, delays and chance.
    pub seed: u64,
    /// How groups behave.
    pub scenario: mock_eci::scenario::Scenario,
    /// Documented limits of calls, on both sides.
    pub documented_limits: bool,
    /// How long the cloud is given.
    pub patience: Patience,
    /// Whether the API server streams lists.
    pub streaming_lists: bool,
    /// What each namespace may have.
    pub cap: Cap,
    /// What applications and namespaces may cost; none = cost is not counted.
    pub budgets: Option<BudgetSettings>,
    /// Whether [`Sim::burst`] will be called.
    pub burst: bool,
    /// Zones and vSwitches of the node, as a change of the usual ones.
    pub zones: fn(&mut Settings),
}

impl Deviations {
    /// With the graces that ECI gets.
    pub fn patient() -> Self {
        Self {
            patience: Patience::default(),
            ..Self::default()
        }
    }
}

impl Default for Deviations {
    fn default() -> Self {
        Self {
            seed: 1,
            scenario: mock_eci::scenario::Scenario::fast(),
            documented_limits: false,
            // A hundredth of what ECI gets.
            patience: Patience {
                list_period: Duration::from_millis(300),
                list_lag: Duration::from_millis(100),
                orphan_age: Duration::from_millis(600),
                release_period: Duration::from_millis(100),
            },
            streaming_lists: false,
            cap: Cap::default(),
            budgets: None,
            burst: false,
            zones: |_| {},
        }
    }
}

/// A cluster and a cloud.
pub struct Sim {
    pub api: ApiServer,
    pub cloud: Server,
    pub replica: Replica,
    deviations: Deviations,
}

/// A running agent. Dropped or killed, it stops where it is, as by `kill -9`.
pub struct Agent {
    task: JoinHandle<()>,
    wires: Wires,
    pub conditions: watch::Receiver<CloudConditions>,
    pub store: Store,
    pub caps: Caps,
    pub budgets: Budgets,
    pub metrics: Metrics,
}

/// What [`Sim::burst`] started.
pub struct Burst(JoinHandle<()>);

impl Drop for Burst {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.wires.cut();
        self.task.abort();
    }
}

impl Agent {
    /// Ends it at once and waits until nothing of it runs.
    pub async fn kill(mut self) {
        self.wires.cut();
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Whether it will die of a request.
    pub fn is_mortal(&self) -> bool {
        self.wires.are_mortal()
    }

    /// Whether it has died of the request that was to be its last.
    pub fn is_dead(&self) -> bool {
        self.wires.is_cut()
    }
}

impl Sim {
    pub async fn new() -> Self {
        Self::with(Deviations::default()).await
    }

    pub async fn with(deviations: Deviations) -> Self {
        let config = Config {
            limits: if deviations.documented_limits {
                mock_eci::config::Limits::Only(mock_eci::config::Enforced {
                    rates: true,
                    ..mock_eci::config::Limits::None.enforced()
                })
            } else {
                mock_eci::config::Limits::None
            },
            scenario: deviations.scenario.clone(),
            seed: deviations.seed,
            ..Config::default()
        };
        let cloud = Server::in_memory(config).await.expect("starts");
        let clock = cloud.app().clock().clone();
        // All three tell the same time from here on.
        virtual_node::clock::simulate(clock.unsteered());
        Self {
            api: ApiServer::with_clock(deviations.seed, move || clock.unsteered()),
            cloud,
            replica: Replica::default(),
            deviations,
        }
    }

    /// A client of the cloud.
    pub fn eci(&self) -> Client {
        self.eci_over(Wires::default())
    }

    fn eci_over(&self, wires: Wires) -> Client {
        let limits = if self.deviations.documented_limits {
            Limits::Documented
        } else {
            Limits::None
        };
        cloud::client(self.cloud.service(), wires, self.replica.clone(), limits)
    }

    fn kube_over(&self, wires: Wires) -> kube::Client {
        let server = self.api.service(AGENT);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, wires) = (server.clone(), wires.clone());
            async move { wires.carry(server.oneshot(request)).await }
        });
        kube::Client::new(service, "default")
    }

    /// A group that another virtual node of the same cluster made; returns its id.
    pub async fn foreign_group(&self) -> String {
        self.group("foreign", &[("NodeName", "another"), ("UID", "u")]).await
    }

    /// A second group of the pod of that UID, as no agent should make one; returns its id.
    pub async fn surplus_group(&self, pod: &str, uid: &str) -> String {
        let tags = [
            ("NodeName", NODE),
            ("NameSpace", "default"),
            ("PodName", pod),
            ("UID", uid),
        ];
        self.group("surplus", &tags).await
    }

    /// A group of this cluster that no agent here made; returns its id.
    async fn group(&self, name: &str, tags: &[(&str, &str)]) -> String {
        let ours = [("ManagedBy", "virtual-node"), ("ClusterId", CLUSTER)];
        let request = CreateContainerGroup {
            region_id: "cn-hangzhou".to_owned(),
            name: name.to_owned(),
            client_token: name.to_owned(),
            cpu: MilliCpu(250),
            memory: MiB(512),
            tags: ours
                .iter()
                .chain(tags)
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            containers: vec![Container {
                name: "c".to_owned(),
                image: "busybox".to_owned(),
                ..Container::default()
            }],
            ..CreateContainerGroup::default()
        };
        self.eci().create_container_group(&request).await.expect("created").id
    }

    /// Settings of the mapping.
    fn mapping(&self) -> Arc<Settings> {
        let mut settings = mapping();
        (self.deviations.zones)(&mut settings);
        Arc::new(settings)
    }

    /// Starts an agent.
    pub fn agent(&self) -> Agent {
        self.agent_that(None)
    }

    /// Caps as an agent just started has them.
    fn caps(&self) -> Caps {
        let burst = self.deviations.burst;
        if self.deviations.cap == Cap::default() && !burst {
            return Caps::none();
        }
        let namespaces = burst.then(|| NAMESPACES.to_owned());
        Caps::new(self.deviations.cap, [NODE.to_owned()].into_iter().chain(namespaces))
    }

    /// Budgets as an agent just started has them, and what counts for them.
    fn budgets(&self, wires: &Wires, metrics: &Metrics) -> (Budgets, Option<Recorder>, BoxFuture<'static, ()>) {
        let Some(settings) = self.deviations.budgets else {
            return (Budgets::none(), None, Box::pin(std::future::ready(())));
        };
        let records = RecorderSettings {
            namespace: "default".to_owned(),
            writer: "sim".to_owned(),
            max_age: Duration::from_secs(24 * 3_600),
            max_bytes: 1 << 20,
        };
        let kube = self.kube_over(wires.clone());
        let prices = Prices::listed(PriceList::CNY);
        let (recorder, writing) = Recorder::new(kube, records, prices, (CLUSTER, "cn-hangzhou"), metrics.clone());
        let budgets = Budgets::new(settings, 1);
        recorder.feed(budgets.clone());
        let looking = look::run(budgets.clone(), recorder.clone(), metrics.clone(), Shutdown::new());
        // With burst it is told by what that keeps.
        let burst = self.deviations.burst;
        let listing = namespaces::keep(recorder.kube(), budgets.clone(), Health::new(), Shutdown::new());
        let listing = async move {
            if !burst {
                listing.await;
            }
        };
        let counting = async {
            tokio::join!(writing, looking, listing);
        };
        (budgets, Some(recorder), Box::pin(counting))
    }

    /// Starts an agent that dies of a request, if one is given.
    pub fn agent_that(&self, dies: Option<Death>) -> Agent {
        let wires = Wires::new(dies);
        let eci = self.eci_over(wires.clone());
        let store = Store::default();
        let (caps, metrics) = (self.caps(), Metrics::new().expect("registers"));
        let (conditions_in, conditions) = watch::channel(CloudConditions::default());
        let settings = PodsSettings {
            mapping: self.mapping(),
            // As `agent.rs` has it for documented limits: 80 % of 10,000 a minute.
            poll_calls_per_second: self.deviations.documented_limits.then_some(8_000.0 / 60.0),
            patience: self.deviations.patience,
            parallel: Parallel::default(),
            streaming_lists: self.deviations.streaming_lists,
        };
        let (budgets, recorder, counting) = self.budgets(&wires, &metrics);
        let connections = Connections {
            kube: self.kube_over(wires.clone()),
            eci,
            store: store.clone(),
            conditions: conditions_in,
            keeper: None,
            recorder,
            health: Health::new(),
            caps: caps.clone(),
            budgets: budgets.clone(),
            metrics: metrics.clone(),
        };
        let pods = pods::run(settings, connections, Shutdown::new());
        let task = tokio::spawn(async move {
            tokio::join!(pods, counting);
        });
        Agent {
            task,
            wires,
            conditions,
            store,
            caps,
            budgets,
            metrics,
        }
    }

    /// Lets pods onto the node by their policies, beside an agent, until it is dropped.
    pub fn burst(&self, agent: &Agent, change: impl FnOnce(&mut BurstSettings)) -> Burst {
        let mut settings = BurstSettings {
            policy: None,
            wait: Duration::ZERO,
            profile: Default::default(),
            nodes: vec![NODE.to_owned()],
            taints: vec![taint()],
            outage_toleration: OutageToleration::Off,
            mapping: self.mapping(),
            streaming_lists: self.deviations.streaming_lists,
        };
        change(&mut settings);
        let connections = BurstConnections {
            kube: self.api.client_of("burst"),
            caps: agent.caps.clone(),
            budgets: agent.budgets.clone(),
            stores: vec![agent.store.clone()],
            health: Health::new(),
            metrics: agent.metrics.clone(),
        };
        Burst(tokio::spawn(burst::run(settings, connections, Shutdown::new())))
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

/// The usual settings of the mapping.
fn mapping() -> Settings {
    Settings {
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
    }
}

/// By which the node keeps pods off.
pub fn taint() -> Taint {
    Taint {
        key: "virtual-kubelet.io/provider".to_owned(),
        value: Some("alibabacloud".to_owned()),
        effect: "NoSchedule".to_owned(),
        time_added: None,
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

/// A pod that is not restarted and mounts a projected token.
pub fn pod_with_token(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod["spec"]["volumes"] = json!([
        { "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } }] } },
    ]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([
        { "name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true },
    ]);
    pod
}

/// A pod that mounts a ConfigMap and a projected token, as every Spark pod does.
pub fn pod_with_config(name: &str, config_map: &str) -> Value {
    let mut pod = pod_with_token(name);
    let more = |list: &mut Value, item: Value| list.as_array_mut().expect("it has some").insert(0, item);
    more(
        &mut pod["spec"]["volumes"],
        json!({ "name": "conf", "configMap": { "name": config_map } }),
    );
    let mount = json!({ "name": "conf", "mountPath": "/conf" });
    more(&mut pod["spec"]["containers"][0]["volumeMounts"], mount);
    pod
}
