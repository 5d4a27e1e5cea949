//! Refusals, in the API server's words.

use serde_json::{Value, json};

use super::kinds::Kind;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Value,
}

impl Refusal {
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.resource());
        Self::new(404, "NotFound", message).about(kind, name)
    }

    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.resource());
        Self::new(409, "AlreadyExists", message).about(kind, name)
    }

    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.resource());
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// Somebody else was faster.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    pub fn invalid(kind: &Kind, name: &str, reason: &str, field: &str, message: &str) -> Self {
        let whole = format!("{} {name:?} is invalid: {field}: {message}", kind.kind);
        let mut refusal = Self::new(422, "Invalid", whole).about(kind, name);
        refusal.details["kind"] = json!(kind.kind);
        refusal.details["causes"] = json!([{ "reason": reason, "message": message, "field": field }]);
        refusal
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// A watch asks for changes that are forgotten.
    pub fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    pub fn unavailable() -> Self {
        Self::new(
            503,
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        )
    }

    pub fn unknown_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub fn not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// A budget of disruptions is used up.
    pub fn disruption(budget: &str, needed: usize, healthy: usize) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut refusal = Self::new(429, "TooManyRequests", message);
        let cause = format!("The disruption budget {budget} needs {needed} healthy pods and has {healthy} currently");
        refusal.details = json!({ "causes": [{ "reason": "DisruptionBudget", "message": cause }] });
        refusal
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = json!({ "name": name, "group": kind.group, "kind": kind.plural });
        if kind.group.is_empty() {
            self.details = json!({ "name": name, "kind": kind.plural });
        }
        self
    }

    /// As it is sent.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            body["details"] = self.details.clone();
        }
        body
    }
}
