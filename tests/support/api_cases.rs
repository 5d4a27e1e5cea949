//! What an agent of a node depends on in an API server, as cases that run against any: the one in memory is held against
//! the real one by them (`tests/sim/api_server.rs`, `tests/e2e/api_server.rs`).

use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use serde_json::{Value, json};

/// Calls `$with!` with the name of every case but [`a_forgotten_version_is_expired`], which needs more.
macro_rules! each_case {
    ($with:ident) => {
        $with! {
            a_new_pod_is_filled_in,
            names_that_are_taken_or_missing_are_refused,
            an_outdated_write_is_refused,
            a_status_patch_merges_lists_by_their_keys,
            a_status_patch_changes_no_spec_and_no_owner,
            a_patch_without_effect_makes_no_version,
            a_status_patch_for_another_uid_is_refused,
            a_spec_changes_only_where_it_may,
            tolerations_are_added_and_never_taken_back,
            a_gated_pod_may_ask_more_of_nodes,
            a_grace_period_only_becomes_shorter,
            a_delete_for_another_uid_is_refused,
            what_never_ran_or_has_ended_goes_at_once,
            finalizers_hold_a_pod_back,
            a_forced_delete_is_seen_twice,
            a_bound_pod_appears_to_its_node,
            a_list_in_pages_is_of_one_moment,
            a_streamed_list_ends_in_a_bookmark,
            a_watch_goes_on_where_it_was,
            a_collection_is_deleted_by_label,
            an_eviction_asks_the_budget,
            a_token_is_bound_to_its_pod,
            a_nodes_conditions_are_merged,
        }
    };
}
pub(crate) use each_case;

/// How long an event of a watch may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a case runs: a namespace of its own, and a node that no kubelet serves.
pub struct Bed {
    pub client: kube::Client,
    pub namespace: String,
    pub node: String,
}

/// An answer.
#[derive(Debug)]
struct Reply {
    code: u16,
    body: Value,
}

impl Reply {
    fn ok(self) -> Value {
        assert!((200..300).contains(&self.code), "{self:?}");
        self.body
    }

    /// Code, reason and message of a refusal.
    fn refusal(&self) -> (u16, &str, &str) {
        let text = |field: &str| self.body[field].as_str().unwrap_or_default();
        (self.code, text("reason"), text("message"))
    }
}

/// Events of a watch.
struct Events {
    body: Body,
    rest: Vec<u8>,
}

impl Events {
    async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                assert!(line.starts_with(b"{\"type\":"), "what follows is read by its type");
                return serde_json::from_slice(&line).expect("a line of JSON");
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame = frame
                .expect("an event in time")
                .expect("the watch goes on")
                .expect("a frame");
            self.rest.extend(frame.into_data().unwrap_or_default());
        }
    }

    /// The next event about the object of that name.
    async fn about(&mut self, name: &str) -> (String, Value) {
        loop {
            let mut event = self.next().await;
            if event["object"]["metadata"]["name"] == name {
                let type_ = event["type"].as_str().unwrap_or_default().to_owned();
                return (type_, event["object"].take());
            }
        }
    }
}

impl Bed {
    /// Makes the node.
    pub async fn prepare(&self) {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.node } });
        let made = self.send(Method::POST, "/api/v1/nodes", "application/json", node).await;
        assert!(matches!(made.code, 201 | 409), "{made:?}");
    }

    /// Takes the node away.
    pub async fn clean_up(&self) {
        let path = format!("/api/v1/nodes/{}", self.node);
        self.send(Method::DELETE, &path, "application/json", Value::Null)
            .await
            .ok();
    }

    async fn send(&self, method: Method, path: &str, content_type: &str, body: Value) -> Reply {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type);
        let request = request.body(Body::from(bytes)).expect("a request");
        let answer = self.client.send(request).await.expect("an answer");
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        Reply {
            code,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    async fn watch(&self, path: &str) -> Events {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = self.client.send(request).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        Events {
            body: answer.into_body(),
            rest: Vec::new(),
        }
    }

    fn path(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    fn pod_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path("pods"))
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, "application/json", Value::Null).await
    }

    async fn create(&self, plural: &str, object: Value) -> Reply {
        self.send(Method::POST, &self.path(plural), "application/json", object)
            .await
    }

    async fn patch(&self, path: &str, patch: Value) -> Reply {
        self.send(Method::PATCH, path, "application/strategic-merge-patch+json", patch)
            .await
    }

    async fn merge(&self, path: &str, patch: Value) -> Reply {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch)
            .await
    }

    async fn patch_status(&self, name: &str, patch: Value) -> Reply {
        self.patch(&format!("{}/status", self.pod_path(name)), patch).await
    }

    async fn delete(&self, name: &str, options: Value) -> Reply {
        self.send(Method::DELETE, &self.pod_path(name), "application/json", options)
            .await
    }

    /// A pod that is bound to the node.
    async fn pod(&self, name: &str) -> Value {
        let mut pod = pod(name);
        pod["spec"]["nodeName"] = json!(self.node);
        self.create("pods", pod).await.ok()
    }

    async fn is_gone(&self, name: &str) -> bool {
        self.get(&self.pod_path(name)).await.code == 404
    }
}

/// A pod that no scheduler cares for.
fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "schedulerName": "nobody",
            "automountServiceAccountToken": false,
            "containers": [{ "name": "main", "image": "busybox", "command": ["sleep", "1"] }],
        },
    })
}

fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": "1" } })
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().expect("a number")
}

fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .find(|c| c["type"] == type_)
        .unwrap_or(&Value::Null)
}

fn time(object: &Value, pointer: &str) -> Timestamp {
    text(object, pointer)
        .parse()
        .unwrap_or_else(|_| panic!("{pointer} is no time: {object}"))
}

pub async fn a_new_pod_is_filled_in(bed: &Bed) {
    let made = bed.create("pods", pod("a")).await;
    assert_eq!(made.code, 201);
    let made = made.ok();
    assert!(!text(&made, "/metadata/uid").is_empty());
    assert_eq!(made["metadata"]["namespace"], *bed.namespace);
    assert_eq!(made["metadata"]["generation"], 1);
    assert!(time(&made, "/metadata/creationTimestamp") <= Timestamp::MAX);
    assert_eq!(
        (&made["status"]["phase"], &made["status"]["qosClass"]),
        (&json!("Pending"), &json!("BestEffort"))
    );
    let spec = &made["spec"];
    assert_eq!(spec["restartPolicy"], "Always");
    assert_eq!(spec["terminationGracePeriodSeconds"], 30);
    assert_eq!(spec["dnsPolicy"], "ClusterFirst");
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["enableServiceLinks"], true);
    let mut generated = pod("");
    generated["metadata"] = json!({ "generateName": "b-" });
    let generated = bed.create("pods", generated).await.ok();
    let name = text(&generated, "/metadata/name");
    assert!(name.starts_with("b-") && name.len() == 7, "{name}");
}

pub async fn names_that_are_taken_or_missing_are_refused(bed: &Bed) {
    bed.create("configmaps", config_map("a")).await.ok();
    let again = bed.create("configmaps", config_map("a")).await;
    assert_eq!(
        again.refusal(),
        (409, "AlreadyExists", "configmaps \"a\" already exists")
    );
    let missing = bed.get(&bed.pod_path("b")).await;
    assert_eq!(missing.refusal(), (404, "NotFound", "pods \"b\" not found"));
    assert_eq!(missing.body["details"], json!({ "name": "b", "kind": "pods" }));
    let patched = bed.patch_status("b", json!({ "status": { "phase": "Running" } })).await;
    assert_eq!(patched.refusal(), (404, "NotFound", "pods \"b\" not found"));
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/c", bed.namespace);
    let missing = bed.get(&lease).await;
    assert_eq!(
        missing.refusal(),
        (404, "NotFound", "leases.coordination.k8s.io \"c\" not found")
    );
    let elsewhere = bed
        .send(
            Method::POST,
            "/api/v1/namespaces/no-such/configmaps",
            "application/json",
            config_map("a"),
        )
        .await;
    assert_eq!(
        elsewhere.refusal(),
        (404, "NotFound", "namespaces \"no-such\" not found")
    );
}

pub async fn an_outdated_write_is_refused(bed: &Bed) {
    let mut first = bed.create("configmaps", config_map("a")).await.ok();
    let path = format!("{}/a", bed.path("configmaps"));
    let mut second = first.clone();
    second["data"]["a"] = json!("2");
    let second = bed.send(Method::PUT, &path, "application/json", second).await.ok();
    assert!(version(&second) > version(&first));
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    first["data"]["a"] = json!("3");
    let outdated = bed.send(Method::PUT, &path, "application/json", first.clone()).await;
    let message = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
                   to the latest version and try again";
    assert_eq!(outdated.refusal(), (409, "Conflict", message));
    let patch =
        json!({ "metadata": { "resourceVersion": first["metadata"]["resourceVersion"] }, "data": { "a": "4" } });
    assert_eq!(bed.patch(&path, patch).await.refusal(), (409, "Conflict", message));
    let merged = bed
        .send(
            Method::PATCH,
            &path,
            "application/merge-patch+json",
            json!({ "data": { "a": null, "b": "5" } }),
        )
        .await;
    assert_eq!(merged.ok()["data"], json!({ "b": "5" }));
}

pub async fn a_status_patch_merges_lists_by_their_keys(bed: &Bed) {
    bed.pod("a").await;
    let status = |phase: &str, ready: &str, ips: Value, containers: Value| {
        json!({ "status": {
            "phase": phase, "podIPs": ips, "containerStatuses": containers,
            "conditions": [{ "type": "Ready", "status": ready }, { "type": "Initialized", "status": "True" }],
        }})
    };
    let container =
        |name: &str| json!({ "name": name, "image": "busybox", "imageID": "", "ready": false, "restartCount": 0 });
    bed.patch_status(
        "a",
        status(
            "Running",
            "True",
            json!([{ "ip": "10.0.0.1" }]),
            json!([container("main")]),
        ),
    )
    .await
    .ok();
    let own = json!({ "status": { "conditions": [{ "type": "example.com/gate", "status": "True" }] } });
    bed.patch_status("a", own).await.ok();
    let patch = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False", "reason": "Because" }] } });
    let seen = bed.patch_status("a", patch).await.ok();
    assert_eq!(condition(&seen, "Ready")["status"], "False");
    assert_eq!(condition(&seen, "Ready")["reason"], "Because");
    assert_eq!(condition(&seen, "Initialized")["status"], "True", "others stay");
    assert_eq!(condition(&seen, "example.com/gate")["status"], "True", "others' stay");
    assert_eq!(seen["status"]["phase"], "Running", "what is not named stays");
    // An address is merged by itself, so one that was replaced stays beside the new one, unless the list is replaced.
    let patch = json!({ "status": { "podIPs": [{ "$patch": "replace" }, { "ip": "10.0.0.2" }], "podIP": "10.0.0.2" } });
    let seen = bed.patch_status("a", patch).await.ok();
    assert_eq!(seen["status"]["podIPs"], json!([{ "ip": "10.0.0.2" }]));
    // Container statuses are one value.
    let patch = json!({ "status": { "containerStatuses": [container("other")] } });
    let seen = bed.patch_status("a", patch).await.ok();
    let names: Vec<&Value> = seen["status"]["containerStatuses"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["other"]);
    let patch = json!({ "status": { "conditions": [{ "type": "Initialized", "$patch": "delete" }], "podIP": null } });
    let seen = bed.patch_status("a", patch).await.ok();
    assert!(condition(&seen, "Initialized").is_null());
    assert_eq!(condition(&seen, "Ready")["status"], "False");
}

pub async fn a_status_patch_changes_no_spec_and_no_owner(bed: &Bed) {
    let made = bed.pod("a").await;
    let patch = json!({
        "metadata": {
            "uid": made["metadata"]["uid"],
            "annotations": { "example.com/note": "x" }, "labels": { "more": "y" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u" }],
        },
        "spec": { "activeDeadlineSeconds": 5 },
        "status": { "phase": "Running" },
    });
    let seen = bed.patch_status("a", patch).await.ok();
    assert_eq!(seen["status"]["phase"], "Running");
    assert_eq!(seen["metadata"]["annotations"]["example.com/note"], "x");
    assert_eq!(seen["metadata"]["labels"], json!({ "app": "a", "more": "y" }));
    assert!(seen["metadata"]["ownerReferences"].is_null());
    assert!(seen["spec"]["activeDeadlineSeconds"].is_null());
    assert_eq!(seen["metadata"]["generation"], 1);
    assert_eq!(seen["status"]["qosClass"], "BestEffort", "it cannot be taken away");
    let main = bed
        .patch(&bed.pod_path("a"), json!({ "status": { "phase": "Failed" } }))
        .await
        .ok();
    assert_eq!(
        main["status"]["phase"], "Running",
        "nor is the status changed with the rest"
    );
}

pub async fn a_patch_without_effect_makes_no_version(bed: &Bed) {
    bed.pod("a").await;
    let patch = || json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    let first = bed.patch_status("a", patch()).await.ok();
    let second = bed.patch_status("a", patch()).await.ok();
    assert_eq!(version(&first), version(&second));
}

pub async fn a_status_patch_for_another_uid_is_refused(bed: &Bed) {
    bed.pod("squid").await;
    let patch =
        json!({ "metadata": { "uid": "00000000-0000-0000-0000-000000000000" }, "status": { "phase": "Running" } });
    let refused = bed.patch_status("squid", patch).await;
    let message = "Pod \"squid\" is invalid: metadata.uid: Invalid value: \"00000000-0000-0000-0000-000000000000\": field is \
                   immutable";
    assert_eq!(refused.refusal(), (422, "Invalid", message));
    assert_eq!(refused.body["details"]["causes"][0]["field"], "metadata.uid");
    assert_eq!(bed.get(&bed.pod_path("squid")).await.ok()["status"]["phase"], "Pending");
}

pub async fn a_spec_changes_only_where_it_may(bed: &Bed) {
    bed.pod("a").await;
    let path = bed.pod_path("a");
    let image = json!({ "spec": { "containers": [{ "name": "main", "image": "busybox:2" }] } });
    let seen = bed.patch(&path, image).await.ok();
    assert_eq!(seen["spec"]["containers"][0]["image"], "busybox:2");
    assert_eq!(seen["spec"]["containers"][0]["command"], json!(["sleep", "1"]));
    assert_eq!(seen["metadata"]["generation"], 2);
    let deadline = bed
        .patch(&path, json!({ "spec": { "activeDeadlineSeconds": 60 } }))
        .await
        .ok();
    assert_eq!(deadline["metadata"]["generation"], 3);
    let command = json!({ "spec": { "containers": [{ "name": "main", "command": ["true"] }] } });
    let refused = bed.patch(&path, command).await;
    let (code, reason, message) = refused.refusal();
    assert_eq!((code, reason), (422, "Invalid"));
    assert!(
        message.contains("pod updates may not change fields other than"),
        "{message}"
    );
}

pub async fn tolerations_are_added_and_never_taken_back(bed: &Bed) {
    let of = |key: &str, seconds: u32| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds });
    let mut tolerant = pod("a");
    tolerant["spec"]["tolerations"] = json!([of("a", 60), of("b", 60)]);
    let made = bed.create("pods", tolerant).await.ok();
    let path = bed.pod_path("a");
    // The real one has added some of its own, which must stay as well.
    let has = made["spec"]["tolerations"].as_array().cloned().expect("tolerations");
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut tolerations = has.clone();
        change(&mut tolerations);
        json!({ "spec": { "tolerations": tolerations } })
    };
    let longer = with(&|all| {
        all[0] = of("a", 90);
        all.push(of("c", 30));
    });
    let seen = bed.merge(&path, longer).await.ok();
    assert_eq!(seen["spec"]["tolerations"][0]["tolerationSeconds"], 90);
    assert_eq!(
        seen["spec"]["tolerations"].as_array().map(Vec::len),
        Some(has.len() + 1)
    );
    let message = "existing toleration can not be modified except its tolerationSeconds";
    for refused in [
        with(&|all| drop(all.remove(1))),
        with(&|all| all[1]["key"] = json!("d")),
        json!({ "spec": { "tolerations": null } }),
    ] {
        let answer = bed.merge(&path, refused.clone()).await;
        let (code, reason, text) = answer.refusal();
        assert_eq!((code, reason), (422, "Invalid"), "{refused}");
        assert!(
            text.contains(&format!("spec.tolerations: Forbidden: {message}")),
            "{text}"
        );
    }
}

pub async fn a_gated_pod_may_ask_more_of_nodes(bed: &Bed) {
    let mut gated = pod("a");
    gated["spec"]["schedulingGates"] = json!([{ "name": "example.com/a" }]);
    gated["spec"]["nodeSelector"] = json!({ "disk": "ssd" });
    bed.create("pods", gated).await.ok();
    let path = bed.pod_path("a");
    let other = json!({ "spec": { "nodeSelector": { "disk": "hdd" } } });
    let refused = bed.merge(&path, other).await;
    assert_eq!(refused.refusal().0, 422);
    assert!(
        refused
            .refusal()
            .2
            .contains("only additions to spec.nodeSelector are allowed"),
        "{refused:?}"
    );
    let shaped = json!({ "spec": {
        "nodeSelector": { "type": "virtual-kubelet" },
        "tolerations": [{ "key": "a", "operator": "Exists", "effect": "NoSchedule" }],
        "schedulingGates": null,
    } });
    let seen = bed.merge(&path, shaped).await.ok();
    assert_eq!(
        seen["spec"]["nodeSelector"],
        json!({ "disk": "ssd", "type": "virtual-kubelet" })
    );
    assert!(seen["spec"]["schedulingGates"].is_null());
    // Without a gate it is as it is.
    let more = json!({ "spec": { "nodeSelector": { "zone": "a" } } });
    assert_eq!(bed.merge(&path, more).await.refusal().0, 422);
}

pub async fn a_grace_period_only_becomes_shorter(bed: &Bed) {
    bed.pod("a").await;
    let asked = bed.delete("a", Value::Null).await;
    assert_eq!(asked.code, 200);
    let first = bed.get(&bed.pod_path("a")).await.ok();
    assert_eq!(first["metadata"]["deletionGracePeriodSeconds"], 30, "the pod's own");
    assert_eq!(first["metadata"]["generation"], 2);
    let deadline = time(&first, "/metadata/deletionTimestamp");
    bed.delete("a", json!({ "gracePeriodSeconds": 60 })).await.ok();
    let longer = bed.get(&bed.pod_path("a")).await.ok();
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(version(&longer), version(&first));
    bed.delete("a", json!({ "gracePeriodSeconds": 5 })).await.ok();
    let shorter = bed.get(&bed.pod_path("a")).await.ok();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert_eq!(
        time(&shorter, "/metadata/deletionTimestamp"),
        deadline - SignedDuration::from_secs(25)
    );
    assert_eq!(shorter["metadata"]["generation"], 2);
    bed.delete("a", json!({ "gracePeriodSeconds": 0 })).await.ok();
    assert!(bed.is_gone("a").await);
    assert_eq!(bed.delete("a", Value::Null).await.code, 404);
}

pub async fn a_delete_for_another_uid_is_refused(bed: &Bed) {
    let made = bed.pod("a").await;
    let options = |uid: &Value| json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": uid } });
    let refused = bed.delete("a", options(&json!("another"))).await;
    let (code, reason, message) = refused.refusal();
    assert_eq!((code, reason), (409, "Conflict"));
    let uid = text(&made, "/metadata/uid");
    let expected = format!(
        "the UID in the precondition (another) does not match the UID in record ({uid}). The object might have been deleted and \
         then recreated"
    );
    assert!(message.ends_with(&expected), "{message}");
    bed.delete("a", options(&made["metadata"]["uid"])).await.ok();
    assert!(bed.is_gone("a").await);
}

pub async fn what_never_ran_or_has_ended_goes_at_once(bed: &Bed) {
    bed.create("pods", pod("unbound")).await.ok();
    bed.delete("unbound", Value::Null).await.ok();
    assert!(bed.is_gone("unbound").await);
    bed.pod("ended").await;
    bed.patch_status("ended", json!({ "status": { "phase": "Succeeded" } }))
        .await
        .ok();
    bed.delete("ended", json!({ "gracePeriodSeconds": 30 })).await.ok();
    assert!(bed.is_gone("ended").await);
}

pub async fn finalizers_hold_a_pod_back(bed: &Bed) {
    for name in ["forced", "graceful"] {
        let mut held = pod(name);
        held["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
        held["spec"]["nodeName"] = json!(bed.node);
        bed.create("pods", held).await.ok();
    }
    let release = async |name: &str, finalizer: &str| {
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [finalizer] } });
        bed.patch(&bed.pod_path(name), patch).await
    };
    bed.delete("forced", json!({ "gracePeriodSeconds": 0 })).await.ok();
    let held = bed.get(&bed.pod_path("forced")).await.ok();
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 0);
    release("forced", "example.com/one").await.ok();
    assert!(!bed.is_gone("forced").await);
    release("forced", "example.com/two").await.ok();
    assert!(bed.is_gone("forced").await);
    // A kubelet is still to say that the containers have ended.
    bed.delete("graceful", Value::Null).await.ok();
    release("graceful", "example.com/one").await.ok();
    release("graceful", "example.com/two").await.ok();
    assert!(!bed.is_gone("graceful").await);
    bed.delete("graceful", json!({ "gracePeriodSeconds": 0 })).await.ok();
    assert!(bed.is_gone("graceful").await);
}

pub async fn a_forced_delete_is_seen_twice(bed: &Bed) {
    let made = bed.pod("a").await;
    let mut events = bed
        .watch(&format!(
            "{}?watch=true&resourceVersion={}",
            bed.path("pods"),
            version(&made)
        ))
        .await;
    bed.delete("a", json!({ "gracePeriodSeconds": 0 })).await.ok();
    let (type_, marked) = events.about("a").await;
    assert_eq!(type_, "MODIFIED");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let (type_, last) = events.about("a").await;
    assert_eq!(type_, "DELETED");
    assert_eq!(last["metadata"]["uid"], made["metadata"]["uid"]);
    assert!(version(&last) > version(&marked), "the removal is a version of its own");
}

pub async fn a_bound_pod_appears_to_its_node(bed: &Bed) {
    let made = bed.create("pods", pod("a")).await.ok();
    let query = format!(
        "watch=true&fieldSelector=spec.nodeName%3D{}&resourceVersion={}",
        bed.node,
        version(&made)
    );
    let mut events = bed.watch(&format!("/api/v1/pods?{query}")).await;
    let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "a" }, "target": { "kind": "Node", "name": bed.node } });
    let bind = format!("{}/binding", bed.pod_path("a"));
    let bound = bed.send(Method::POST, &bind, "application/json", binding.clone()).await;
    assert_eq!((bound.code, &bound.body["status"]), (201, &json!("Success")));
    let (type_, seen) = events.about("a").await;
    assert_eq!(type_, "ADDED");
    assert_eq!(seen["spec"]["nodeName"], *bed.node);
    assert_eq!(condition(&seen, "PodScheduled")["status"], "True");
    assert_eq!(
        bed.send(Method::POST, &bind, "application/json", binding).await.code,
        409
    );
    let unsupported = bed.get("/api/v1/pods?fieldSelector=spec.hostname%3Da").await;
    assert_eq!(unsupported.code, 400);
}

pub async fn a_list_in_pages_is_of_one_moment(bed: &Bed) {
    for name in ["a", "b", "c", "d", "e"] {
        bed.pod(name).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items").iter();
        items.map(|pod| text(pod, "/metadata/name").to_owned()).collect()
    };
    let first = bed.get(&format!("{}?limit=2", bed.path("pods"))).await.ok();
    assert_eq!(
        (names(&first), text(&first, "/kind")),
        (vec!["a".to_owned(), "b".to_owned()], "PodList")
    );
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    bed.pod("f").await;
    bed.delete("d", json!({ "gracePeriodSeconds": 0 })).await.ok();
    let token = text(&first, "/metadata/continue");
    let second = bed
        .get(&format!("{}?limit=2&continue={token}", bed.path("pods")))
        .await
        .ok();
    assert_eq!(names(&second), ["c", "d"], "as it was");
    assert_eq!(version(&second), version(&first));
    let token = text(&second, "/metadata/continue");
    let third = bed
        .get(&format!("{}?limit=2&continue={token}", bed.path("pods")))
        .await
        .ok();
    assert_eq!(names(&third), ["e"]);
    assert_eq!(text(&third, "/metadata/continue"), "");
    let selected = bed
        .get(&format!("{}?limit=1&labelSelector=app%20in%20(b,c)", bed.path("pods")))
        .await
        .ok();
    assert_eq!(names(&selected), ["b"]);
    assert!(
        selected["metadata"]["remainingItemCount"].is_null(),
        "nobody counts what a selector leaves"
    );
}

pub async fn a_streamed_list_ends_in_a_bookmark(bed: &Bed) {
    for name in ["a", "b"] {
        bed.pod(name).await;
    }
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = bed.watch(&format!("{}?{query}", bed.path("pods"))).await;
    for name in ["a", "b"] {
        let event = events.next().await;
        assert_eq!(
            (text(&event, "/type"), text(&event, "/object/metadata/name")),
            ("ADDED", name)
        );
    }
    let end = events.next().await;
    assert_eq!(text(&end, "/type"), "BOOKMARK");
    assert_eq!(text(&end, "/object/kind"), "Pod");
    assert_eq!(
        end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    let made = bed.pod("c").await;
    assert!(version(&made) > version(&end["object"]));
    assert_eq!(events.about("c").await.0, "ADDED");
    let incomplete = bed
        .get(&format!("{}?watch=true&sendInitialEvents=true", bed.path("pods")))
        .await;
    assert_eq!(incomplete.code, 422);
}

pub async fn a_watch_goes_on_where_it_was(bed: &Bed) {
    let a = bed.pod("a").await;
    bed.patch_status("a", json!({ "status": { "phase": "Running" } }))
        .await
        .ok();
    bed.pod("b").await;
    let mut events = bed
        .watch(&format!(
            "{}?watch=true&resourceVersion={}",
            bed.path("pods"),
            version(&a)
        ))
        .await;
    let (type_, seen) = events.about("a").await;
    assert_eq!((type_.as_str(), text(&seen, "/status/phase")), ("MODIFIED", "Running"));
    assert_eq!(events.about("b").await.0, "ADDED");
}

/// The server has forgotten its first version by now: a restart does that.
pub async fn a_forgotten_version_is_expired(bed: &Bed) {
    bed.pod("a").await;
    let mut events = bed
        .watch(&format!("{}?watch=true&resourceVersion=1", bed.path("pods")))
        .await;
    let event = events.next().await;
    assert_eq!(text(&event, "/type"), "ERROR");
    let status = &event["object"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(410), &json!("Expired")));
    assert!(
        text(status, "/message").starts_with("too old resource version: 1 ("),
        "{status}"
    );
}

pub async fn a_collection_is_deleted_by_label(bed: &Bed) {
    for name in ["a", "b", "c"] {
        bed.pod(name).await;
    }
    let path = format!("{}?labelSelector=app%20in%20(a,b)", bed.path("pods"));
    let deleted = bed
        .send(
            Method::DELETE,
            &path,
            "application/json",
            json!({ "gracePeriodSeconds": 7 }),
        )
        .await
        .ok();
    assert_eq!(
        (text(&deleted, "/kind"), deleted["items"].as_array().map(Vec::len)),
        ("PodList", Some(2))
    );
    for name in ["a", "b"] {
        let pod = bed.get(&bed.pod_path(name)).await.ok();
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 7);
    }
    assert!(bed.get(&bed.pod_path("c")).await.ok()["metadata"]["deletionTimestamp"].is_null());
    for name in ["a", "b", "c"] {
        bed.delete(name, json!({ "gracePeriodSeconds": 0 })).await.ok();
    }
}

pub async fn an_eviction_asks_the_budget(bed: &Bed) {
    let made = bed.pod("a").await;
    let running = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    bed.patch_status("a", running).await.ok();
    let budgets = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", bed.namespace);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "budget" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "a" } } },
    });
    bed.send(Method::POST, &budgets, "application/json", budget).await.ok();
    let evict = async |uid: &Value| {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "a" },
            "deleteOptions": { "gracePeriodSeconds": 9, "preconditions": { "uid": uid } },
        });
        bed.send(
            Method::POST,
            &format!("{}/eviction", bed.pod_path("a")),
            "application/json",
            eviction,
        )
        .await
    };
    let uid = &made["metadata"]["uid"];
    // A real server says so until its controller has looked at the budget, and so does the budget itself afterwards.
    let refused = evict(uid).await;
    let (code, reason, message) = refused.refusal();
    assert_eq!((code, reason), (429, "TooManyRequests"));
    assert_eq!(
        message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "DisruptionBudget");
    let path = format!("{budgets}/budget");
    bed.send(Method::DELETE, &path, "application/json", Value::Null)
        .await
        .ok();
    assert_eq!(evict(&json!("another")).await.code, 409);
    assert_eq!(evict(uid).await.code, 201);
    let pod = bed.get(&bed.pod_path("a")).await.ok();
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 9);
    let disruption = condition(&pod, "DisruptionTarget");
    assert_eq!(
        (text(disruption, "/status"), text(disruption, "/reason")),
        ("True", "EvictionByEvictionAPI")
    );
}

pub async fn a_token_is_bound_to_its_pod(bed: &Bed) {
    let made = bed.pod("a").await;
    let ask = async |account: &str, seconds: i64, uid: &Value| {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "audiences": [], "expirationSeconds": seconds,
                "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": "a", "uid": uid },
            },
        });
        let path = format!("{}/{account}/token", bed.path("serviceaccounts"));
        bed.send(Method::POST, &path, "application/json", request).await
    };
    let uid = &made["metadata"]["uid"];
    let token = ask("default", 900, uid).await;
    assert_eq!(token.code, 201);
    let token = token.ok();
    assert!(!text(&token, "/status/token").is_empty());
    assert!(time(&token, "/status/expirationTimestamp") > time(&made, "/metadata/creationTimestamp"));
    let another = ask("default", 900, uid).await.ok();
    assert_ne!(text(&token, "/status/token"), text(&another, "/status/token"));
    assert_eq!(ask("default", 60, uid).await.code, 422);
    assert_eq!(ask("nobody", 900, uid).await.code, 404);
    assert_eq!(ask("default", 900, &json!("another")).await.code, 409);
}

pub async fn a_nodes_conditions_are_merged(bed: &Bed) {
    let path = format!("/api/v1/nodes/{}/status", bed.node);
    let one = json!({ "status": { "conditions": [{ "type": "Example", "status": "True" }], "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }] } });
    bed.patch(&path, one).await.ok();
    let two = json!({ "status": { "conditions": [{ "type": "Other", "status": "False" }] } });
    let seen = bed.patch(&path, two).await.ok();
    assert_eq!(
        (
            text(condition(&seen, "Example"), "/status"),
            text(condition(&seen, "Other"), "/status")
        ),
        ("True", "False")
    );
    assert_eq!(seen["status"]["addresses"][0]["address"], "10.0.0.1");
}
