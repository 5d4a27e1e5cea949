//! What a delete does to an object: gracefully, at once, or not before its finalizers are gone.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::refusal::Refusal;
use super::time::{seconds, text};

/// Of a delete.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub grace_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl Options {
    /// Reads the body `DeleteOptions`, or the parameters that stand for it.
    pub fn parse(body: &Value, grace_parameter: Option<&str>) -> Self {
        let precondition = |name: &str| body["preconditions"][name].as_str().map(str::to_owned);
        Self {
            grace_seconds: body["gracePeriodSeconds"]
                .as_i64()
                .or_else(|| grace_parameter.and_then(|g| g.parse().ok())),
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
        }
    }

    /// Whether `object` is the one that is meant.
    pub fn check(&self, kind: &Kind, object: &Value) -> Result<(), Refusal> {
        let meta = &object["metadata"];
        let name = meta["name"].as_str().unwrap_or_default();
        let differs = |wanted: &Option<String>, field: &str| {
            let wanted = wanted.clone()?;
            let recorded = meta[field].as_str().unwrap_or_default();
            (wanted != recorded).then(|| (wanted, recorded.to_owned()))
        };
        let refuse = |why: String| {
            let mut refusal = Refusal::conflict(kind, name, &why);
            // The API server names the kind here, and not the resource.
            refusal.message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.kind);
            Err(refusal)
        };
        if let Some((wanted, recorded)) = differs(&self.uid, "uid") {
            return refuse(format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({recorded}). \
                 The object might have been deleted and then recreated"
            ));
        }
        if let Some((wanted, recorded)) = differs(&self.resource_version, "resourceVersion") {
            return refuse(format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({recorded}). \
                 The object might have been modified"
            ));
        }
        Ok(())
    }
}

/// What follows from a delete.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// Nothing that is not the case already.
    Pending,
    /// The object says that it is being deleted, and stays.
    Marked(Value),
    /// The same, and then it goes.
    MarkedAndGone(Value),
    /// It goes.
    Gone,
}

/// Decides it, as `BeforeDelete` and the pods' own rules do.
pub fn decide(kind: &Kind, object: &Value, options: &Options, now: Timestamp) -> Deletion {
    let has_finalizers = object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|f| !f.is_empty());
    if kind.is_pod() {
        return pod(object, options, has_finalizers, now);
    }
    match (has_finalizers, object["metadata"]["deletionTimestamp"].is_string()) {
        (false, _) => Deletion::Gone,
        (true, true) => Deletion::Pending,
        (true, false) => Deletion::Marked(mark(object, 0, now)),
    }
}

fn pod(object: &Value, options: &Options, has_finalizers: bool, now: Timestamp) -> Deletion {
    let meta = &object["metadata"];
    // Negative periods count as one second.
    let asked = options.grace_seconds.map(|s| if s < 0 { 1 } else { s });
    let marked = |object: Value, grace: i64| match (has_finalizers, grace) {
        (false, 0) => Deletion::MarkedAndGone(object),
        _ => Deletion::Marked(object),
    };
    if let Some(deadline) = meta["deletionTimestamp"].as_str() {
        let running = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or_default();
        if running == 0 {
            return if has_finalizers {
                Deletion::Pending
            } else {
                Deletion::Gone
            };
        }
        // A period can only become shorter.
        return match asked.filter(|asked| *asked < running) {
            None => Deletion::Pending,
            Some(asked) => {
                let deadline: Timestamp = deadline.parse().unwrap_or(now);
                let begun = deadline - Duration::from_secs(running.unsigned_abs());
                let mut shorter = object.clone();
                shorter["metadata"]["deletionTimestamp"] = json!(text(begun + seconds(asked)));
                shorter["metadata"]["deletionGracePeriodSeconds"] = json!(asked);
                marked(shorter, asked)
            }
        };
    }
    let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let scheduled = object["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
    let grace = match asked.or(object["spec"]["terminationGracePeriodSeconds"].as_i64()) {
        Some(grace) if scheduled && !ended => grace,
        _ => 0,
    };
    marked(mark(object, grace, now), grace)
}

fn mark(object: &Value, grace: i64, now: Timestamp) -> Value {
    let mut marked = object.clone();
    let meta = &mut marked["metadata"];
    meta["deletionTimestamp"] = json!(text(now + seconds(grace)));
    meta["deletionGracePeriodSeconds"] = json!(grace);
    if let Some(generation) = meta["generation"].as_i64().filter(|g| *g > 0) {
        meta["generation"] = json!(generation + 1);
    }
    marked
}

/// Whether an update that took the last finalizer away lets the object go.
pub fn is_released(object: &Value) -> bool {
    let meta = &object["metadata"];
    meta["deletionTimestamp"].is_string()
        && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
        && meta["finalizers"].as_array().is_none_or(Vec::is_empty)
}
