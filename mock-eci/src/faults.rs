//! Faults as counted plans: the next N calls of an action fail in a given way.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// The next `times` calls of `action` meet `fault`. Plans are used up in the order they were added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Name of the action; absent = any.
    #[serde(default)]
    pub action: Option<String>,
    /// How many calls.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens to them.
    #[serde(flatten)]
    pub fault: Fault,
}

fn once() -> u32 {
    1
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Fault {
    /// It is refused, without effect.
    Error {
        /// `Code`.
        code: String,
        /// HTTP status; absent = 400.
        #[serde(default = "bad_request")]
        status: u16,
        /// `Message`.
        #[serde(default)]
        message: String,
    },
    /// It is never answered.
    Timeout {
        /// Whether it takes effect.
        when: When,
    },
    /// Its connection is cut.
    Disconnect {
        /// Whether it takes effect.
        when: When,
    },
    /// It is answered late; it takes effect at once.
    Slow {
        /// How late.
        millis: u64,
    },
}

fn bad_request() -> u16 {
    400
}

/// Where on its way a call is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before it takes effect.
    Before,
    /// After it took effect: only the answer is lost.
    After,
}

impl Plan {
    /// Calls of an action that fail with a code.
    pub fn error(action: &str, times: u32, code: &str, status: u16) -> Self {
        let fault = Fault::Error {
            code: code.to_owned(),
            status,
            message: "A planned fault.".to_owned(),
        };
        Self {
            action: Some(action.to_owned()),
            times,
            fault,
        }
    }

    /// Calls of an action that are never answered.
    pub fn timeout(action: &str, times: u32, when: When) -> Self {
        Self {
            action: Some(action.to_owned()),
            times,
            fault: Fault::Timeout { when },
        }
    }

    /// Calls of an action whose connection is cut.
    pub fn disconnect(action: &str, times: u32, when: When) -> Self {
        Self {
            action: Some(action.to_owned()),
            times,
            fault: Fault::Disconnect { when },
        }
    }

    /// Calls of an action that are answered late.
    pub fn slow(action: &str, times: u32, by: Duration) -> Self {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self {
            action: Some(action.to_owned()),
            times,
            fault: Fault::Slow { millis },
        }
    }
}

/// All plans that are not used up.
#[derive(Debug, Default)]
pub struct Faults(Mutex<VecDeque<Plan>>);

impl Faults {
    fn plans(&self) -> MutexGuard<'_, VecDeque<Plan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a plan behind the others.
    pub fn add(&self, plan: Plan) {
        self.plans().push_back(plan);
    }

    /// What is planned.
    pub fn list(&self) -> Vec<Plan> {
        self.plans().iter().cloned().collect()
    }

    /// Drops all plans.
    pub fn clear(&self) {
        self.plans().clear();
    }

    /// The fault this call meets, which is then used up by one.
    pub fn take(&self, action: &str) -> Option<Fault> {
        let mut plans = self.plans();
        plans.retain(|plan| plan.times > 0);
        let plan = plans
            .iter_mut()
            .find(|plan| plan.action.as_deref().is_none_or(|a| a == action))?;
        plan.times -= 1;
        Some(plan.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_used_up_in_order() {
        let faults = Faults::default();
        faults.add(Plan::error("A", 2, "First", 500));
        faults.add(Plan::error("A", 1, "Second", 500));
        let code = |action: &str| match faults.take(action) {
            Some(Fault::Error { code, .. }) => code,
            other => format!("{other:?}"),
        };
        assert_eq!(code("B"), "None");
        assert_eq!(
            [code("A"), code("A"), code("A"), code("A")],
            ["First", "First", "Second", "None"]
        );
    }

    #[test]
    fn plans_are_read_from_json() {
        let plan: Plan =
            serde_json::from_str(r#"{"action":"A","times":3,"kind":"timeout","when":"after"}"#).expect("plan");
        assert_eq!(plan, Plan::timeout("A", 3, When::After));
        let any: Plan = serde_json::from_str(r#"{"kind":"slow","millis":5}"#).expect("plan");
        assert_eq!((any.action, any.times, any.fault), (None, 1, Fault::Slow { millis: 5 }));
    }
}
