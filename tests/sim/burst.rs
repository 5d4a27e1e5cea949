//! Pods that come to the pool by their policies, beside a worker and a scheduler that this test plays.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use provider::units::MilliCpu;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use virtual_node::budget::BudgetSettings;
use virtual_node::budget::look::REACHED;
use virtual_node::burst::policy::Policy;
use virtual_node::caps::Cap;

use crate::harness::{Agent, Burst, Deviations, NODE, Sim, pod, taint};
use crate::support::api_server::ApiServer;
use crate::support::until::until;

const WORKER: &str = "worker";
const BURST_RESOURCE: &str = "alibabacloud.com/burst-resource";
const POLICY: &str = "k8s.aliyun.com/eci-burst-policy";

/// A cluster with a worker for so many pods, the virtual node, an agent and burst.
struct Bed {
    sim: Sim,
    agent: Agent,
    _burst: Burst,
    scheduler: JoinHandle<()>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.scheduler.abort();
    }
}

impl Bed {
    async fn new(room: usize, cap: Cap, profile: Option<Value>, wait: Duration) -> Self {
        let deviations = Deviations {
            cap,
            ..Deviations::default()
        };
        Self::with(deviations, room, profile, wait).await
    }

    async fn with(deviations: Deviations, room: usize, profile: Option<Value>, wait: Duration) -> Self {
        let sim = Sim::with(Deviations {
            burst: true,
            ..deviations
        })
        .await;
        sim.api.put("namespaces", "kube-system", Some(json!({})));
        let admin = sim.api.client_of("an administrator");
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(admin.clone());
        for (name, labels, taints) in [
            (NODE, json!({ "type": "virtual-kubelet" }), json!([taint()])),
            (WORKER, json!({}), json!([])),
        ] {
            let node = json!({ "metadata": { "name": name, "labels": labels }, "spec": { "taints": taints } });
            let node = serde_json::from_value(node).expect("a node");
            nodes.create(&PostParams::default(), &node).await.expect("created");
        }
        let agent = sim.agent();
        let burst = sim.burst(&agent, |settings| settings.wait = wait);
        let bed = Self {
            scheduler: tokio::spawn(schedule(sim.api.clone(), room)),
            sim,
            agent,
            _burst: burst,
        };
        if let Some(data) = profile {
            bed.set_profile(data).await;
        }
        bed
    }

    async fn with_room(room: usize) -> Self {
        Self::new(room, Cap::default(), None, Duration::ZERO).await
    }

    async fn set_profile(&self, data: Value) {
        let api: Api<k8s_openapi::api::core::v1::ConfigMap> =
            Api::namespaced(self.sim.api.client_of("an administrator"), "kube-system");
        let map = json!({ "metadata": { "name": "eci-profile" }, "data": data });
        let map = serde_json::from_value(map).expect("a ConfigMap");
        let loads = || {
            let loads = &self.agent.metrics.burst_profile_loads;
            loads.with_label_values(&["ok"]).get() + loads.with_label_values(&["rejected"]).get()
        };
        let before = loads();
        if api.get_opt("eci-profile").await.expect("answers").is_some() {
            api.replace("eci-profile", &PostParams::default(), &map)
                .await
                .expect("replaced");
        } else {
            api.create(&PostParams::default(), &map).await.expect("created");
        }
        until("the profile to be read", loads, |n| *n > before).await;
    }

    /// Creates a pod that has no node yet.
    fn create(&self, name: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut pod = pod(name);
        pod["spec"].as_object_mut().expect("a spec").remove("nodeName");
        change(&mut pod);
        self.sim.api.create_pod(pod)
    }

    fn node_of(&self, name: &str) -> String {
        let pod = self.sim.api.pod(name).unwrap_or_default();
        pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
    }

    async fn on(&self, name: &str, node: &str) {
        until(
            &format!("{name} to be on {node}"),
            || (self.node_of(name), self.sim.api.events()),
            |(n, _)| n == node,
        )
        .await;
    }

    fn on_node(&self, node: &str) -> usize {
        let pods = self.sim.api.pods();
        pods.iter().filter(|p| p["spec"]["nodeName"] == node).count()
    }

    async fn event(&self, reason: &str) -> String {
        let found = || self.sim.api.events().into_iter().find(|(r, _)| r == reason);
        until(&format!("an Event {reason}"), found, Option::is_some)
            .await
            .expect("one")
            .1
    }
}

/// Whether the scheduler has looked at the pod and found no room.
fn is_unschedulable(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|c| c["type"] == "PodScheduled" && c["status"] == "False")
}

fn tolerates(pod: &Value) -> bool {
    let tolerations = pod["spec"]["tolerations"].as_array().into_iter().flatten();
    tolerations
        .into_iter()
        .any(|t| t["key"] == "virtual-kubelet.io/provider")
}

/// As Kubernetes' own does it: workers while they have room, the virtual node where a pod tolerates its taint, else a condition.
async fn schedule(api: ApiServer, room: usize) {
    loop {
        for pod in api.pods() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let gated = pod["spec"]["schedulingGates"].as_array().is_some_and(|g| !g.is_empty());
            let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            if pod["spec"]["nodeName"].is_string() || gated || over || pod["metadata"]["namespace"] != "default" {
                continue;
            }
            let selector = &pod["spec"]["nodeSelector"]["type"];
            let used = api.pods().iter().filter(|p| p["spec"]["nodeName"] == WORKER).count();
            if selector.is_null() && used < room {
                bind(&api, name, WORKER).await;
            } else if tolerates(&pod) && (selector.is_null() || selector == "virtual-kubelet") {
                bind(&api, name, NODE).await;
            } else if !is_unschedulable(&pod) {
                let now = Timestamp::from_second(virtual_node::clock::now().as_second()).expect("in range");
                let condition = json!({
                    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": "0/2 nodes are available", "lastTransitionTime": now.to_string(),
                });
                api.patch_status(name, &json!({ "status": { "conditions": [condition] } }));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn bind(api: &ApiServer, name: &str, node: &str) {
    let binding = json!({ "metadata": { "name": name }, "target": { "name": node } });
    let request = http::Request::post(format!("/api/v1/namespaces/default/pods/{name}/binding"))
        .header("content-type", "application/json")
        .body(binding.to_string().into_bytes())
        .expect("a request");
    let _: Value = api.client_of("a scheduler").request(request).await.expect("bound");
}

fn labelled(key: &str, value: &str) -> impl FnOnce(&mut Value) {
    let labels = json!({ key: value });
    move |pod| pod["metadata"]["labels"] = labels
}

#[tokio::test(start_paused = true)]
async fn workers_are_filled_first_then_the_pool_and_those_who_did_not_ask_stay() {
    let bed = Bed::with_room(3).await;
    for n in 0..8 {
        bed.create(&format!("p-{n}"), labelled(BURST_RESOURCE, "eci"));
    }
    until("five pods on the pool", || bed.on_node(NODE), |n| *n == 5).await;
    assert_eq!(bed.on_node(WORKER), 3);
    bed.create("other", |_| {});
    bed.create("workers-only", labelled(POLICY, "ecs-only"));
    let stay = |name: &str| bed.sim.api.pod(name).expect("it stays");
    for name in ["other", "workers-only"] {
        until("the scheduler to look at it", || stay(name), is_unschedulable).await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    // None of those on the worker was let onto the pool before the scheduler found no room for it.
    for pod in bed.sim.api.pods().iter().filter(|p| p["spec"]["nodeName"] == WORKER) {
        assert!(!tolerates(pod), "{pod}");
    }
    for n in 0..8 {
        if bed.node_of(&format!("p-{n}")) == NODE {
            bed.sim.phase(&format!("p-{n}"), "Running").await;
        }
    }
    for name in ["other", "workers-only"] {
        let pod = stay(name);
        assert!(pod["spec"]["nodeName"].is_null() && !tolerates(&pod), "{pod}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gated_pod_that_wants_the_pool_leaves_the_worker_empty() {
    let bed = Bed::with_room(10).await;
    let gate = json!([{ "name": "k8s.aliyun.com/eci-burst" }]);
    for (n, (key, value)) in [
        ("alibabacloud.com/eci", "true"),
        (BURST_RESOURCE, "eci_only"),
        (POLICY, "eci-only"),
    ]
    .into_iter()
    .enumerate()
    {
        let gate = gate.clone();
        bed.create(&format!("pool-{n}"), |pod| {
            labelled(key, value)(pod);
            pod["spec"]["schedulingGates"] = gate;
        });
    }
    bed.create("free", |pod| pod["spec"]["schedulingGates"] = gate.clone());
    for n in 0..3 {
        bed.on(&format!("pool-{n}"), NODE).await;
    }
    // One that says nothing loses the gate all the same.
    bed.on("free", WORKER).await;
    assert_eq!(bed.on_node(WORKER), 1);
}

#[tokio::test(start_paused = true)]
async fn the_scheduler_is_left_its_time_and_a_pod_may_give_it_more() {
    let bed = Bed::new(0, Cap::default(), None, Duration::from_secs(20)).await;
    let began = virtual_node::clock::now();
    bed.create("soon", labelled(BURST_RESOURCE, "eci"));
    bed.create("later", |pod| {
        labelled(BURST_RESOURCE, "eci")(pod);
        pod["metadata"]["annotations"] = json!({ "k8s.aliyun.com/eci-burst-wait": "25s" });
    });
    bed.on("soon", NODE).await;
    let passed = virtual_node::clock::now().duration_since(began).as_secs();
    assert!((19..=22).contains(&passed), "{passed} s");
    assert_eq!(bed.node_of("later"), "");
    bed.on("later", NODE).await;
    let passed = virtual_node::clock::now().duration_since(began).as_secs();
    assert!((24..=27).contains(&passed), "{passed} s");
}

#[tokio::test(start_paused = true)]
async fn under_a_cap_pods_wait_for_either_side_and_go_home_when_a_worker_has_room() {
    let cap = Cap {
        pods: Some(2),
        cpu: None,
    };
    let bed = Bed::new(1, cap, None, Duration::ZERO).await;
    bed.create("home", labelled(BURST_RESOURCE, "eci"));
    bed.on("home", WORKER).await;
    for n in 0..4 {
        bed.create(&format!("p-{n}"), labelled(BURST_RESOURCE, "eci"));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    until("two on the pool", || bed.on_node(NODE), |n| *n == 2).await;
    let note = bed.event("NamespaceCapReached").await;
    assert!(
        note.contains("namespace default may have 2 pods on virtual nodes"),
        "{note}"
    );
    for name in ["p-2", "p-3"] {
        let pod = bed.sim.api.pod(name).expect("it waits");
        assert!(
            !tolerates(&pod),
            "it could not go to a worker any more as it was: {pod}"
        );
    }
    bed.sim.api.delete_pod("home", 0);
    bed.on("p-2", WORKER).await;
    bed.sim.api.delete_pod("p-0", 0);
    bed.on("p-3", NODE).await;
    bed.sim.phase("p-3", "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_namespaces_annotation_caps_those_who_bring_their_own_toleration_too() {
    let bed = Bed::with_room(0).await;
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(bed.sim.api.client_of("an administrator"));
    let patch = json!({ "metadata": { "annotations": { "k8s.aliyun.com/eci-max-pods": "3", "k8s.aliyun.com/eci-max-vcpu": "64" } } });
    api.patch("default", &Default::default(), &kube::api::Patch::Merge(patch))
        .await
        .expect("patched");
    let probe = || bed.agent.caps.has_room("default", MilliCpu(65_000), (0, MilliCpu(0)));
    let _ = until("the cap to be known", probe, Result::is_err).await;
    for n in 0..6 {
        bed.create(&format!("own-{n}"), |pod| {
            pod["spec"]["tolerations"] = json!([{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }])
        });
        bed.create(&format!("asks-{n}"), labelled(BURST_RESOURCE, "eci"));
    }
    until("three groups", || bed.sim.groups().len(), |n| *n == 3).await;
    bed.event("NamespaceCapReached").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(bed.sim.groups().len(), 3);
    // Without the annotation the rest goes.
    let patch = json!({ "metadata": { "annotations": { "k8s.aliyun.com/eci-max-pods": null } } });
    api.patch("default", &Default::default(), &kube::api::Patch::Merge(patch))
        .await
        .expect("patched");
    until("twelve groups", || bed.sim.groups().len(), |n| *n == 12).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_pool_would_not_take_stays_with_the_scheduler_and_holds_nobody_up() {
    let bed = Bed::with_room(0).await;
    bed.create("host", |pod| {
        labelled(BURST_RESOURCE, "eci")(pod);
        pod["spec"]["volumes"] = json!([{ "name": "v", "hostPath": { "path": "/etc" } }]);
    });
    bed.create("ssd", |pod| {
        labelled(BURST_RESOURCE, "eci")(pod);
        pod["spec"]["nodeSelector"] = json!({ "disk": "ssd" });
    });
    bed.create("typo", labelled(BURST_RESOURCE, "ecs"));
    bed.create("good", labelled(BURST_RESOURCE, "eci"));
    bed.on("good", NODE).await;
    let told = || {
        bed.sim
            .api
            .events()
            .into_iter()
            .filter(|(r, _)| r.starts_with("Burst"))
            .collect::<Vec<_>>()
    };
    let events = until("three Events", told, |e| e.len() == 3).await;
    for part in [
        "cannot run on virtual nodes: spec.volumes[0].hostPath",
        "cannot run on virtual nodes: spec.nodeSelector[disk] is `ssd`",
        "alibabacloud.com/burst-resource is `ecs`",
    ] {
        assert!(events.iter().any(|(_, note)| note.contains(part)), "{part}: {events:?}");
    }
    // Tried again, and not said again.
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(told().len(), 3);
    for name in ["host", "ssd", "typo"] {
        assert!(!tolerates(&bed.sim.api.pod(name).expect("it waits")), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_profile_opts_pods_in_is_read_anew_and_keeps_its_word_when_the_next_has_a_mistake() {
    let selector = |label: &str| {
        json!({ "selectors": json!([{
            "name": "s", "objectSelector": { "matchLabels": { "tier": label } },
            "effect": { "annotations": { "k8s.aliyun.com/eci-custom-tags": format!("by:{label}") }, "labels": { "burst": label } },
        }]).to_string() })
    };
    let bed = Bed::new(0, Cap::default(), Some(selector("batch")), Duration::ZERO).await;
    bed.create("batch", labelled("tier", "batch"));
    bed.create("web", labelled("tier", "web"));
    bed.on("batch", NODE).await;
    let pod = bed.sim.api.pod("batch").expect("it runs");
    assert_eq!(pod["metadata"]["labels"]["burst"], "batch");
    assert_eq!(
        pod["metadata"]["annotations"]["k8s.aliyun.com/eci-custom-tags"],
        "by:batch"
    );
    assert_eq!(bed.node_of("web"), "");
    // One that waits already is judged by the new one.
    bed.set_profile(selector("web")).await;
    bed.on("web", NODE).await;
    bed.set_profile(json!({ "selectors": "[{", "enableClusterIp": "perhaps" }))
        .await;
    let note = bed.event("ProfileRejected").await;
    assert!(
        note.contains("data.selectors is not") && note.contains("data.enableClusterIp is `perhaps`"),
        "{note}"
    );
    assert_eq!(bed.agent.metrics.burst_profile_valid.get(), 0);
    bed.create("web-2", labelled("tier", "web"));
    bed.on("web-2", NODE).await;
    bed.set_profile(selector("batch")).await;
    assert_eq!(bed.agent.metrics.burst_profile_valid.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_opts_its_pods_in_and_the_setting_all_of_them() {
    let bed = Bed::with_room(0).await;
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(bed.sim.api.client_of("an administrator"));
    bed.create("before", |_| {});
    let patch = json!({ "metadata": { "labels": { BURST_RESOURCE: "eci" } } });
    api.patch("default", &Default::default(), &kube::api::Patch::Merge(patch))
        .await
        .expect("patched");
    bed.on("before", NODE).await;
    let bed = Bed::with_room(0).await;
    let _second = bed
        .sim
        .burst(&bed.agent, |settings| settings.policy = Some(Policy::EcsFirst));
    bed.create("any", |_| {});
    bed.on("any", NODE).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_replicasets_pods_those_on_the_pool_say_that_they_go_first_unless_their_user_has() {
    let sim = Sim::new().await;
    let _agent = sim.agent();
    let owned = |name: &str, kind: &str| {
        let mut pod = pod(name);
        pod["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "apps/v1", "kind": kind, "name": "r", "uid": "r-1", "controller": true }]);
        pod
    };
    const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    sim.running(owned("first", "ReplicaSet")).await;
    let mut mine = owned("mine", "ReplicaSet");
    mine["metadata"]["annotations"] = json!({ COST: "7" });
    sim.running(mine).await;
    sim.running(owned("job", "Job")).await;
    let cost = |name: &str| sim.api.pod(name).expect("it runs")["metadata"]["annotations"][COST].clone();
    assert_eq!(
        (cost("first"), cost("mine"), cost("job")),
        (json!("-100"), json!("7"), Value::Null)
    );
    // With the status that is written anyway.
    assert_eq!(sim.api.writes("status"), 3);
}

#[tokio::test(start_paused = true)]
async fn when_the_budget_is_spent_pods_stay_for_the_workers() {
    // By the annotations of the Namespace, which burst reads; what settings do is the same.
    let deviations = Deviations {
        budgets: Some(BudgetSettings::default()),
        ..Deviations::default()
    };
    let bed = Bed::with(deviations, 0, None, Duration::ZERO).await;
    let namespaces: Api<Namespace> = Api::all(bed.sim.api.client_of("an administrator"));
    let budget = json!({ "k8s.aliyun.com/eci-budget": "0.0001/day", "k8s.aliyun.com/eci-budget-action": "hold" });
    let patch = Patch::Merge(json!({ "metadata": { "annotations": budget } }));
    let patched = namespaces.patch("default", &PatchParams::default(), &patch).await;
    patched.expect("patched");
    bed.sim.running(pod("spender")).await;
    let told = || {
        let events = bed.sim.api.events().into_iter();
        events
            .filter(|(reason, _)| reason == REACHED)
            .map(|(_, note)| note)
            .collect::<Vec<_>>()
    };
    until("the end", told, |told| !told.is_empty()).await;
    bed.create("stays", labelled(POLICY, "ecs-first"));
    let waits = |told: &Vec<String>| told.iter().any(|note| note.contains("or for the next period"));
    until("the reason", told, waits).await;
    assert_eq!(bed.node_of("stays"), "");
}
