//! Steering of mock-eci, and its ledger.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

/// Tag with the UID of a group's pod.
const UID: &str = "UID";
/// Tag with the namespace of a group's pod.
const NAMESPACE: &str = "NameSpace";

/// mock-eci, from the side that no customer of ECI sees.
pub struct Cloud {
    http: reqwest::Client,
    url: String,
}

impl Cloud {
    /// The one at `url`.
    pub fn new(url: String) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client");
        Self { http, url }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `GET /mock/<path>`.
    pub async fn get(&self, path: &str) -> Value {
        self.call(self.http.get(format!("{}/mock/{path}", self.url))).await
    }

    /// `POST /mock/<path>`.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.try_post(path, body)
            .await
            .unwrap_or_else(|refusal| panic!("mock-eci: {refusal}"))
    }

    /// `POST /mock/<path>`, which may be refused: then with what was said.
    pub async fn try_post(&self, path: &str, body: Value) -> Result<Value, String> {
        let request = self.http.post(format!("{}/mock/{path}", self.url));
        let request = request.header("content-type", "application/json");
        Self::answer(request.body(body.to_string())).await
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Value {
        Self::answer(request)
            .await
            .unwrap_or_else(|refusal| panic!("mock-eci: {refusal}"))
    }

    async fn answer(request: reqwest::RequestBuilder) -> Result<Value, String> {
        let answer = request.send().await.expect("mock-eci answers");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        if status.is_success() {
            Ok(serde_json::from_str(&text).expect("JSON"))
        } else {
            Err(format!("{status}: {text}"))
        }
    }

    /// Plans a fault for the next call of `action`.
    pub async fn fault(&self, action: &str, mut fault: Value) {
        fault["action"] = json!(action);
        self.post("faults", fault).await;
    }

    /// Drops all planned faults.
    pub async fn drop_faults(&self) {
        self.call(self.http.delete(format!("{}/mock/faults", self.url))).await;
    }

    /// The bills of every group there ever was for the pod of that UID.
    pub async fn bills_of_pod(&self, uid: &str) -> Vec<Value> {
        self.bills(UID, uid).await
    }

    /// The bills of every group there ever was for the pods of that namespace.
    pub async fn bills_of_namespace(&self, name: &str) -> Vec<Value> {
        self.bills(NAMESPACE, name).await
    }

    async fn bills(&self, tag: &str, value: &str) -> Vec<Value> {
        let Value::Array(bills) = self.get("ledger").await else {
            panic!("the ledger is a list");
        };
        bills.into_iter().filter(|bill| bill["Tags"][tag] == value).collect()
    }

    /// Ids of every group there ever was for the pod of that UID.
    pub async fn groups_ever(&self, uid: &str) -> Vec<String> {
        let bills = self.bills_of_pod(uid).await;
        bills.iter().map(|bill| text(&bill["ContainerGroupId"])).collect()
    }

    /// Id of the pod's only group.
    pub async fn group_of(&self, uid: &str) -> String {
        let mut ids = self.groups_ever(uid).await;
        assert_eq!(ids.len(), 1, "one group for the pod {uid}: {ids:?}");
        ids.remove(0)
    }

    /// Status of a group, empty when it is gone.
    pub async fn status(&self, id: &str) -> String {
        let groups = self.get("groups").await;
        let group = groups
            .as_array()
            .into_iter()
            .flatten()
            .find(|g| g["ContainerGroupId"] == id);
        group.map(|g| text(&g["Status"])).unwrap_or_default()
    }

    /// Adds lines to a container's log.
    pub async fn log(&self, id: &str, container: &str, lines: &[&str]) {
        self.post(
            &format!("groups/{id}/logs"),
            json!({ "container": container, "lines": lines }),
        )
        .await;
    }

    /// Forgets a group that has ended, as ECI does after an hour.
    pub async fn forget(&self, id: &str) {
        self.post(&format!("groups/{id}/forget"), json!({})).await;
    }

    /// Ends a container.
    pub async fn exit(&self, id: &str, container: &str, code: i32) {
        self.post(
            &format!("groups/{id}/exit"),
            json!({ "container": container, "code": code }),
        )
        .await;
    }

    /// Values of parameter `name` in the calls of `action` for a group, oldest first; null where a call had none.
    pub async fn parameter(&self, action: &str, group: &str, name: &str) -> Vec<Value> {
        let calls = self.journal(action).await;
        let of_group = calls.iter().filter(|call| parameter(call, "ContainerGroupId") == group);
        of_group.map(|call| parameter(call, name).clone()).collect()
    }

    /// The calls of `action` for groups of a namespace's pods, oldest first: creates by their tags, others by the groups' ids.
    pub async fn calls(&self, action: &str, namespace: &str) -> Vec<Value> {
        let ids = self.bills_of_namespace(namespace).await;
        let ids: Vec<&Value> = ids.iter().map(|bill| &bill["ContainerGroupId"]).collect();
        let mut calls = self.journal(action).await;
        calls.retain(|call| {
            let mut pairs = call["Parameters"].as_array().into_iter().flatten();
            let tagged = |pair: &Value| text(&pair[0]).starts_with("Tag.") && pair[1] == namespace;
            pairs.any(tagged) || ids.contains(&parameter(call, "ContainerGroupId"))
        });
        calls
    }

    async fn journal(&self, action: &str) -> Vec<Value> {
        match self.get(&format!("journal?action={action}")).await {
            Value::Array(calls) => calls,
            other => panic!("the journal is a list, not {other}"),
        }
    }
}

/// Value of a parameter of a call in the journal; null where it has none.
fn parameter<'a>(call: &'a Value, name: &str) -> &'a Value {
    let pairs = call["Parameters"].as_array().into_iter().flatten();
    pairs
        .into_iter()
        .find(|pair| pair[0] == name)
        .map_or(&Value::Null, |pair| &pair[1])
}

/// The text of a JSON string, empty for anything else.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The time of a JSON string, none for anything else.
pub fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}
