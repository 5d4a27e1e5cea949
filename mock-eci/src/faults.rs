//! Faults as counted plans: the next N calls of an action fail in a given way.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::api::params::Params;

/// Most plans at once.
pub const MAX_PLANS: usize = 1_000;

/// The next `times` calls of `action` meet `fault`. Of the plans that fit a call the oldest one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// Name of the action; absent = any.
    #[serde(default)]
    pub action: Option<String>,
    /// How many calls; [`Plan::ALWAYS`] (`"always"`) = all until the plan is dropped.
    #[serde(default = "once", serialize_with = "write_times", deserialize_with = "read_times")]
    pub times: u32,
    /// Only calls with these parameters, named as on the wire; `N` stands for any index, `*` at the end of a value for
    /// any rest. `ContainerGroupName` is also looked up for calls that name a group by its id.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Only calls about groups with these tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How many of 1,000 calls that fit are hit, by chance; the others pass and are not counted.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub per_mille: u16,
    /// Seed of that chance; absent = the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What happens to them.
    #[serde(flatten)]
    pub fault: Fault,
}

fn once() -> u32 {
    1
}

fn all() -> u16 {
    1_000
}

// serde calls it with a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_all(per_mille: &u16) -> bool {
    *per_mille == all()
}

const ALWAYS: &str = "always";

#[allow(clippy::trivially_copy_pass_by_ref)]
fn write_times<S: Serializer>(times: &u32, to: S) -> Result<S::Ok, S::Error> {
    match *times {
        Plan::ALWAYS => to.serialize_str(ALWAYS),
        times => to.serialize_u32(times),
    }
}

fn read_times<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Times {
        Number(u32),
        Word(String),
    }
    match Times::deserialize(from) {
        Ok(Times::Number(times)) if times > 0 => Ok(times),
        Ok(Times::Word(word)) if word == ALWAYS => Ok(Plan::ALWAYS),
        _ => Err(D::Error::custom("times must be a number from 1 on, or \"always\"")),
    }
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Fault {
    /// It is refused, without effect.
    Error {
        /// `Code`.
        code: String,
        /// HTTP status; absent = the one that ECI's error table gives the code.
        #[serde(default)]
        status: Option<u16>,
        /// `Message`.
        #[serde(default = "message")]
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

fn message() -> String {
    "A planned fault.".to_owned()
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
    /// For [`Plan::times`]: until the plan is dropped.
    pub const ALWAYS: u32 = u32::MAX;

    /// Calls of an action that meet a fault.
    pub fn new(action: &str, times: u32, fault: Fault) -> Self {
        Self {
            action: Some(action.to_owned()),
            times,
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            per_mille: all(),
            seed: None,
            fault,
        }
    }

    /// Calls of an action that fail with a code.
    pub fn error(action: &str, times: u32, code: &str, status: u16) -> Self {
        let fault = Fault::Error {
            code: code.to_owned(),
            status: Some(status),
            message: message(),
        };
        Self::new(action, times, fault)
    }

    /// Calls of an action that are never answered.
    pub fn timeout(action: &str, times: u32, when: When) -> Self {
        Self::new(action, times, Fault::Timeout { when })
    }

    /// Calls of an action whose connection is cut.
    pub fn disconnect(action: &str, times: u32, when: When) -> Self {
        Self::new(action, times, Fault::Disconnect { when })
    }

    /// Calls of an action that are answered late.
    pub fn slow(action: &str, times: u32, by: Duration) -> Self {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self::new(action, times, Fault::Slow { millis })
    }

    fn fits(&self, target: &Target<'_>) -> bool {
        if self.action.as_deref().is_some_and(|a| a != target.action) {
            return false;
        }
        if self.parameters.is_empty() && self.tags.is_empty() {
            return true;
        }
        let group = (target.group)();
        let parameter = |(name, wanted): (&String, &String)| {
            let of_group = match (name.as_str(), &group) {
                ("ContainerGroupName", Some(group)) => is_like(wanted, &group.name),
                _ => false,
            };
            of_group
                || target
                    .params
                    .iter()
                    .any(|(n, v)| is_name(name, n) && is_like(wanted, v))
        };
        let tag = |(key, wanted): (&String, &String)| {
            let of_group = group
                .as_ref()
                .is_some_and(|group| group.tags.iter().any(|(k, v)| k == key && is_like(wanted, v)));
            of_group || has_tag(target.params, key, wanted)
        };
        self.parameters.iter().all(parameter) && self.tags.iter().all(tag)
    }
}

/// Whether a parameter's name is the one a plan gives, in which `N` stands for any index.
fn is_name(pattern: &str, name: &str) -> bool {
    let mut parts = name.split('.');
    let same = pattern.split('.').all(|p| {
        parts
            .next()
            .is_some_and(|n| p == n || (p == "N" && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())))
    });
    same && parts.next().is_none()
}

fn is_like(pattern: &str, value: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => value.starts_with(start),
        None => value == pattern,
    }
}

/// Whether a call that brings tags (a create, a list) brings this one.
fn has_tag(params: &Params, key: &str, wanted: &str) -> bool {
    params.iter().any(|(name, value)| {
        is_name("Tag.N.Key", name) && value == key && {
            let at = format!("{}.Value", name.trim_end_matches(".Key"));
            is_like(wanted, params.get(&at).unwrap_or_default())
        }
    })
}

/// A call as plans look at it.
pub struct Target<'a> {
    /// Its action.
    pub action: &'a str,
    /// Its parameters.
    pub params: &'a Params,
    /// Finds the group it names by id; asked only if a plan wants to know.
    pub group: &'a dyn Fn() -> Option<Facts>,
}

/// What plans want to know of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// A plan that waits for calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// By which it can be dropped.
    pub id: u64,
    /// How many calls met it.
    pub met: u64,
    /// The plan; `times` is what is left.
    #[serde(flatten)]
    pub plan: Plan,
}

/// All plans that are not used up.
#[derive(Debug, Default)]
pub struct Faults {
    seed: u64,
    plans: Mutex<Plans>,
}

#[derive(Debug, Default)]
struct Plans {
    added: u64,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    planned: Planned,
    /// Made when it is first needed.
    chance: Option<StdRng>,
}

impl Waiting {
    /// Whether a call that fits is hit.
    fn hits(&mut self, seed: u64) -> bool {
        let plan = &self.planned.plan;
        if is_all(&plan.per_mille) {
            return true;
        }
        // The id, so that two plans do not hit the same calls.
        let seed = plan.seed.unwrap_or(seed ^ self.planned.id);
        let chance = self.chance.get_or_insert_with(|| StdRng::seed_from_u64(seed));
        chance.random_range(0..all()) < plan.per_mille
    }
}

impl Faults {
    /// Without plans; chance is drawn from this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            plans: Mutex::default(),
        }
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a plan behind the others, and gives its id. Of more than [`MAX_PLANS`] the oldest is dropped.
    pub fn add(&self, plan: Plan) -> u64 {
        let mut plans = self.plans();
        plans.added += 1;
        let id = plans.added;
        if plans.waiting.len() >= MAX_PLANS {
            plans.waiting.pop_front();
        }
        plans.waiting.push_back(Waiting {
            planned: Planned { id, met: 0, plan },
            chance: None,
        });
        id
    }

    /// What is planned.
    pub fn list(&self) -> Vec<Plan> {
        self.planned().into_iter().map(|planned| planned.plan).collect()
    }

    /// The same, with ids and how many calls met each.
    pub fn planned(&self) -> Vec<Planned> {
        self.plans().waiting.iter().map(|w| w.planned.clone()).collect()
    }

    /// Drops one plan; false = there is none of this id.
    pub fn remove(&self, id: u64) -> bool {
        let mut plans = self.plans();
        let before = plans.waiting.len();
        plans.waiting.retain(|w| w.planned.id != id);
        plans.waiting.len() < before
    }

    /// Drops all plans.
    pub fn clear(&self) {
        self.plans().waiting.clear();
    }

    /// The fault this call meets, which is then used up by one.
    pub fn take(&self, target: &Target<'_>) -> Option<Fault> {
        let mut plans = self.plans();
        let mut waiting = plans.waiting.iter_mut();
        let hit = waiting.position(|w| w.planned.plan.fits(target) && w.hits(self.seed))?;
        let planned = &mut plans.waiting.get_mut(hit)?.planned;
        planned.met += 1;
        let fault = planned.plan.fault.clone();
        if planned.plan.times != Plan::ALWAYS {
            planned.plan.times = planned.plan.times.saturating_sub(1);
            if planned.plan.times == 0 {
                plans.waiting.remove(hit);
            }
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(faults: &Faults, action: &str, query: &str, group: Option<Facts>) -> Option<Fault> {
        let mut params = Params::default();
        params.extend_encoded(query.as_bytes()).expect("few parameters");
        params.sort();
        faults.take(&Target {
            action,
            params: &params,
            group: &|| group.clone(),
        })
    }

    #[test]
    fn plans_are_used_up_in_order() {
        let faults = Faults::default();
        faults.add(Plan::error("A", 2, "First", 500));
        faults.add(Plan::error("A", 1, "Second", 500));
        let code = |action: &str| match take(&faults, action, "", None) {
            Some(Fault::Error { code, .. }) => code,
            other => format!("{other:?}"),
        };
        assert_eq!(code("B"), "None");
        assert_eq!(
            [code("A"), code("A"), code("A"), code("A")],
            ["First", "First", "Second", "None"]
        );
        assert!(faults.list().is_empty(), "what is used up is gone");
    }

    #[test]
    fn plans_are_read_from_json_and_written_as_read() {
        let plan: Plan =
            serde_json::from_str(r#"{"action":"A","times":3,"kind":"timeout","when":"after"}"#).expect("plan");
        assert_eq!(plan, Plan::timeout("A", 3, When::After));
        let any: Plan = serde_json::from_str(r#"{"kind":"slow","millis":5}"#).expect("plan");
        assert_eq!((any.action, any.times, any.fault), (None, 1, Fault::Slow { millis: 5 }));
        let text = r#"{"action":"A","times":"always","where":{"B":"c*"},"tags":{"t":"v"},"per-mille":5,"seed":9,"kind":"error","code":"X","status":null,"message":"m"}"#;
        let full: Plan = serde_json::from_str(text).expect("plan");
        assert_eq!(serde_json::to_string(&full).expect("JSON"), text);
        for bad in [
            r#"{"kind":"explosion"}"#,
            r#"{"times":0,"kind":"slow","millis":5}"#,
            r#"{"times":"often","kind":"slow","millis":5}"#,
            r#"{"kind":"timeout"}"#,
        ] {
            assert!(serde_json::from_str::<Plan>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_plan_may_be_about_some_calls_only() {
        let fault = Fault::Slow { millis: 1 };
        let plan = |name: &str, value: &str| Plan {
            parameters: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..Plan::new("A", Plan::ALWAYS, fault.clone())
        };
        let group = Facts {
            name: "web-1".to_owned(),
            tags: vec![("app".to_owned(), "web".to_owned())],
        };
        let faults = Faults::default();
        faults.add(plan("ContainerGroupName", "web-*"));
        assert!(take(&faults, "A", "ContainerGroupName=web-7", None).is_some());
        assert!(take(&faults, "A", "ContainerGroupName=db", None).is_none());
        assert!(
            take(&faults, "A", "", Some(group.clone())).is_some(),
            "by the id's group"
        );
        faults.clear();

        faults.add(plan("Container.N.Image", "busybox"));
        assert!(take(&faults, "A", "Container.12.Image=busybox", None).is_some());
        assert!(
            take(
                &faults,
                "A",
                "Container.x.Image=busybox&Container.1.Image.2=busybox",
                None
            )
            .is_none()
        );
        faults.clear();

        faults.add(Plan {
            tags: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            ..Plan::new("A", Plan::ALWAYS, fault.clone())
        });
        assert!(take(&faults, "A", "Tag.1.Key=x&Tag.1.Value=web", None).is_none());
        assert!(take(&faults, "A", "Tag.3.Key=app&Tag.3.Value=web", None).is_some());
        assert!(take(&faults, "A", "Tag.3.Key=app&Tag.3.Value=db", None).is_none());
        assert!(take(&faults, "A", "", Some(group)).is_some());
    }

    #[test]
    fn chance_is_seeded_and_counts_only_what_it_hit() {
        let run = |seed| {
            let faults = Faults::new(seed);
            faults.add(Plan {
                per_mille: 250,
                ..Plan::error("A", 100, "X", 500)
            });
            let hits: Vec<bool> = (0..200).map(|_| take(&faults, "A", "", None).is_some()).collect();
            let count = hits.iter().filter(|hit| **hit).count();
            assert_eq!(faults.planned()[0].met, count as u64);
            assert_eq!(faults.list()[0].times as usize, 100 - count);
            assert!((20..80).contains(&count), "{count}");
            hits
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn plans_can_be_dropped_one_by_one_and_are_bounded() {
        let faults = Faults::default();
        let first = faults.add(Plan::error("A", 1, "X", 500));
        assert!(faults.remove(first) && !faults.remove(first));
        for _ in 0..MAX_PLANS + 5 {
            faults.add(Plan::error("A", 1, "X", 500));
        }
        assert_eq!(faults.list().len(), MAX_PLANS);
    }
}
