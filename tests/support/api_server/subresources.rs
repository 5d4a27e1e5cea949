//! What pods and service accounts can be asked for beside themselves: bindings, evictions, tokens.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::State;
use super::delete::Options;
use super::kinds::Kind;
use super::refusal::Refusal;
use super::select::Selector;
use super::storage::{Key, Storage};
use super::time::{seconds, text};
use super::update;

/// A token lives at least this long.
const SHORTEST_TOKEN: i64 = 600;

/// `pods/binding`: the pod's node.
pub fn bind(state: &mut State, pod: &Value, binding: &Value, now: Timestamp) -> Result<Value, Refusal> {
    let kind = Kind::of_plural("pods");
    let (node, name) = (
        binding["target"]["name"].as_str().unwrap_or_default(),
        pod["metadata"]["name"].as_str().unwrap_or_default(),
    );
    if let Some(before) = pod["spec"]["nodeName"].as_str() {
        let why = format!("pod {name} is already assigned to node {before:?}");
        return Err(Refusal::conflict(kind, name, &why));
    }
    state.storage.put(kind, update::bound(pod, node, now));
    Ok(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }))
}

/// `pods/eviction`: a delete that asks the budgets of disruptions first.
pub fn evict(state: &mut State, pod: &Value, eviction: &Value, now: Timestamp) -> Result<Value, Refusal> {
    let kind = Kind::of_plural("pods");
    let options = Options::parse(&eviction["deleteOptions"], None);
    options.check(kind, pod)?;
    check_budgets(&state.storage, pod)?;
    let mut marked = pod.clone();
    update::set_condition(
        &mut marked,
        json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastTransitionTime": text(now),
        }),
    );
    let marked = state.storage.put(kind, marked);
    state.delete(kind, &marked, &options, now)?;
    Ok(json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }))
}

/// A pod that does not run, has ended or is being deleted may always go.
fn check_budgets(storage: &Storage, pod: &Value) -> Result<(), Refusal> {
    if pod["status"]["phase"] != "Running" || pod["metadata"]["deletionTimestamp"].is_string() {
        return Ok(());
    }
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    for budget in storage.list(Kind::of_plural("poddisruptionbudgets"), namespace) {
        let selector = Selector::of_labels(&budget["spec"]["selector"]);
        if !selector.selects(pod) {
            continue;
        }
        let pods = storage.list(Kind::of_plural("pods"), namespace);
        let healthy = pods.filter(|p| selector.selects(p) && is_ready(p)).count();
        let needed = budget["spec"]["minAvailable"].as_u64().unwrap_or_default() as usize;
        if is_ready(pod) && healthy <= needed {
            let name = budget["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Refusal::disruption(name, needed, healthy));
        }
    }
    Ok(())
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
    ready && !pod["metadata"]["deletionTimestamp"].is_string()
}

/// `serviceaccounts/token`: a token, bound to a pod.
pub fn token(
    state: &mut State,
    namespace: &str,
    account: &str,
    mut request: Value,
    now: Timestamp,
) -> Result<Value, Refusal> {
    let kind = Kind::of_plural("serviceaccounts");
    if state.storage.get(&Key::new(kind, namespace, account)).is_none() {
        return Err(Refusal::not_found(kind, account));
    }
    let life = request["spec"]["expirationSeconds"].as_i64().unwrap_or(3_600);
    if life < SHORTEST_TOKEN {
        let message = format!("Invalid value: {life}: may not specify a duration less than 10 minutes");
        let mut refusal = Refusal::invalid(kind, account, "FieldValueInvalid", "spec.expirationSeconds", &message);
        refusal.message =
            format!("TokenRequest.authentication.k8s.io {account:?} is invalid: spec.expirationSeconds: {message}");
        return Err(refusal);
    }
    let bound = &request["spec"]["boundObjectRef"];
    if bound["kind"] == "Pod" {
        let pods = Kind::of_plural("pods");
        let name = bound["name"].as_str().unwrap_or_default();
        let pod = state.storage.get(&Key::new(pods, namespace, name));
        let recorded = pod.ok_or_else(|| Refusal::not_found(pods, name))?["metadata"]["uid"].clone();
        if let Some(uid) = bound["uid"].as_str().filter(|uid| recorded != *uid) {
            let recorded = recorded.as_str().unwrap_or_default();
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
                 deleted and then recreated (recorded UID {recorded})"
            );
            return Err(Refusal::conflict(pods, name, &why));
        }
    }
    state.tokens += 1;
    // Each is minted anew, so a create that carries one cannot be rebuilt byte for byte.
    request["status"] = json!({
        "token": format!("token-{}", state.tokens),
        "expirationTimestamp": text(now + seconds(life)),
    });
    request["kind"] = json!("TokenRequest");
    request["apiVersion"] = json!("authentication.k8s.io/v1");
    Ok(request)
}
