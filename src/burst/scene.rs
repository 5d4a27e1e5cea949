//! What policies are judged by, kept up to date: the eci-profile, the namespaces and the virtual nodes.
//!
//! # Guarantees
//! - A profile with a mistake changes nothing: the last good one stays, an Event on the ConfigMap and a metric say so.
//! - Nothing is decided before all three were listed once.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, ObjectReference, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Client, ResourceExt as _};
use provider::mapping::quantity;
use tokio::sync::Notify;

use super::feasible::PoolNode;
use super::mutate::{NamespaceView, Rules};
use super::names;
use super::policy::{Map, Policy};
use super::profile::{self, Profile};
use super::waiting::of_ours;
use crate::budget::Budgets;
use crate::caps::{self, Cap, Caps};
use crate::chain::chain;
use crate::metrics::{Gate, Health, Metrics};
use crate::node::object::TYPE_LABEL;
use crate::pods::events::{Notices, Weight};

/// Reason: a mistake in the profile; the last good one stays.
pub const PROFILE_REJECTED: &str = "ProfileRejected";
/// Reason: keys of the profile that have no effect here.
pub const PROFILE_KEYS_IGNORED: &str = "ProfileKeysIgnored";
/// Reason: an annotation of a namespace that means nothing.
pub const BAD_CAP: &str = "NamespaceCapInvalid";

/// Where the profile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Default for ProfileName {
    /// ACK's.
    fn default() -> Self {
        Self {
            namespace: names::SYSTEM_NAMESPACE.to_owned(),
            name: "eci-profile".to_owned(),
        }
    }
}

/// Handle to all of it; cheap to clone.
#[derive(Clone)]
pub struct Scene {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

struct State {
    rules: Arc<Rules>,
    namespaces: HashMap<String, Arc<NamespaceView>>,
    nodes: BTreeMap<String, PoolNode>,
    listed: [bool; 3],
}

/// What is listed.
#[derive(Clone, Copy)]
enum Part {
    Profile,
    Namespaces,
    Nodes,
}

/// What keeps a scene up to date.
pub struct Keeper {
    /// The API server, by the identity of burst.
    pub kube: Client,
    /// The scene.
    pub scene: Scene,
    /// Where the profile is.
    pub profile: ProfileName,
    /// Names of the virtual nodes that are served here.
    pub nodes: Vec<String>,
    /// Who is told what namespaces' annotations say of caps …
    pub caps: Caps,
    /// … and of budgets.
    pub budgets: Budgets,
    /// Who says what is wrong; none = somebody else in the cluster does.
    pub teller: Option<Teller>,
    /// Readiness.
    pub health: Health,
    /// What it is kept for, as readiness names it.
    pub purpose: &'static str,
}

/// Says what is wrong with the profile and with namespaces.
pub struct Teller {
    /// Events.
    pub notices: Notices,
    /// Metrics.
    pub metrics: Metrics,
}

impl Teller {
    fn loaded(&self, outcome: &str, valid: bool) {
        self.metrics.burst_profile_loads.with_label_values(&[outcome]).inc();
        self.metrics.burst_profile_valid.set(valid.into());
    }
}

impl Scene {
    /// Without a profile, with the policy of pods for which nobody has one, and the taints by which nodes keep pods off.
    pub fn new(default: Option<Policy>, taints: &[Taint]) -> Self {
        let rules = Rules {
            profile: Profile::default(),
            default,
            tolerations: Rules::tolerations_for(taints),
        };
        Self {
            state: Arc::new(Mutex::new(State {
                rules: Arc::new(rules),
                namespaces: HashMap::new(),
                nodes: BTreeMap::new(),
                listed: [false; 3],
            })),
            changed: Arc::default(),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        self.lock().rules.clone()
    }

    /// What is known of a namespace; one that is not known says nothing.
    pub fn namespace(&self, name: &str) -> Arc<NamespaceView> {
        self.lock().namespaces.get(name).cloned().unwrap_or_default()
    }

    /// The virtual nodes.
    pub fn nodes(&self) -> Vec<PoolNode> {
        self.lock().nodes.values().cloned().collect()
    }

    /// What is known of a namespace; none = it is not known.
    pub fn known_namespace(&self, name: &str) -> Option<Arc<NamespaceView>> {
        self.lock().namespaces.get(name).cloned()
    }

    /// Whether all was listed once.
    pub fn is_known(&self) -> bool {
        self.lock().listed.iter().all(|listed| *listed)
    }

    /// Whether all was listed once that a policy is chosen by: not the virtual nodes.
    pub fn rules_are_known(&self) -> bool {
        let listed = self.lock().listed;
        listed[Part::Profile as usize] && listed[Part::Namespaces as usize]
    }

    /// Completes when something has changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn change(&self, part: Option<Part>, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        if let Some(part) = part {
            state.listed[part as usize] = true;
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Keeps it for ever.
    pub async fn run(self) {
        tokio::join!(self.keep_rules(), self.keep_nodes(self.gate("virtual nodes")));
    }

    /// Keeps what a policy is chosen by, for ever: not the virtual nodes.
    pub async fn keep_rules(&self) {
        let gates = (self.gate("profile"), self.gate("namespaces"));
        tokio::join!(self.keep_profile(gates.0), self.keep_namespaces(gates.1));
    }

    fn gate(&self, what: &str) -> Gate {
        let purpose = self.purpose;
        self.health
            .require(format!("{purpose}: {what} listed"), "not listed yet")
    }

    async fn keep_profile(&self, gate: Gate) {
        let ProfileName { namespace, name } = &self.profile;
        let api: Api<ConfigMap> = Api::namespaced(self.kube.clone(), namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = pin!(watch_objects(api, config).default_backoff());
        let mut listed = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed = None,
                Ok(Event::InitApply(map)) => listed = Some(map),
                Ok(Event::InitDone) => {
                    match listed.take() {
                        Some(map) => self.take_profile(&map),
                        None => self.set_profile(Profile::default()),
                    }
                    gate.open();
                }
                Ok(Event::Apply(map)) => self.take_profile(&map),
                Ok(Event::Delete(_)) => self.set_profile(Profile::default()),
                Err(error) => {
                    tracing::warn!(%namespace, %name, error = chain(&error), "watching the eci-profile failed; will retry");
                }
            }
        }
    }

    fn take_profile(&self, map: &ConfigMap) {
        static NONE: Map = Map::new();
        let on = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("ConfigMap".to_owned()),
            namespace: map.namespace(),
            name: map.metadata.name.clone(),
            uid: map.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let told = |problems: &[profile::Problem]| {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            texts.join("; ")
        };
        match profile::parse(map.data.as_ref().unwrap_or(&NONE)) {
            Ok(profile) => {
                if let Some(teller) = &self.teller {
                    teller.loaded("ok", true);
                    if !profile.ignored.is_empty() {
                        let note = told(&profile.ignored);
                        tracing::warn!(note, "keys of the eci-profile have no effect");
                        teller
                            .notices
                            .about_once(on, Weight::Normal, PROFILE_KEYS_IGNORED, note);
                    }
                }
                self.set_profile(profile);
            }
            Err(problems) => {
                if let Some(teller) = &self.teller {
                    teller.loaded("rejected", false);
                    let note = format!("{}; the last good profile stays in force", told(&problems));
                    tracing::warn!(note, "the eci-profile has mistakes");
                    teller.notices.about_once(on, Weight::Warning, PROFILE_REJECTED, note);
                }
                // A start with a bad profile goes on without one.
                self.scene.change(Some(Part::Profile), |_| {});
            }
        }
    }

    fn set_profile(&self, profile: Profile) {
        if let Some(teller) = &self.teller {
            teller.metrics.burst_profile_valid.set(1);
        }
        self.scene.change(Some(Part::Profile), |state| {
            state.rules = Arc::new(Rules {
                profile,
                ..Rules::clone(&state.rules)
            });
        });
    }

    async fn keep_namespaces(&self, gate: Gate) {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.kube.clone());
        let mut events = pin!(watch_objects(api, watcher::Config::default()).default_backoff());
        let mut listed = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(namespace)) => {
                    listed.insert(namespace.name_any(), self.read_namespace(namespace));
                }
                Ok(Event::InitDone) => {
                    let gone: Vec<String> = {
                        let state = self.scene.lock();
                        state
                            .namespaces
                            .keys()
                            .filter(|name| !listed.contains_key(*name))
                            .cloned()
                            .collect()
                    };
                    for name in gone {
                        self.caps.set(&name, None);
                    }
                    self.budgets.namespaces_are(|name| listed.contains_key(name));
                    let listed = std::mem::take(&mut listed);
                    self.scene
                        .change(Some(Part::Namespaces), |state| state.namespaces = listed);
                    self.caps.open(caps::NAMESPACES);
                    gate.open();
                }
                Ok(Event::Apply(namespace)) => {
                    let name = namespace.name_any();
                    let view = self.read_namespace(namespace);
                    self.scene.change(None, |state| {
                        state.namespaces.insert(name, view);
                    });
                }
                Ok(Event::Delete(namespace)) => {
                    let name = namespace.name_any();
                    self.caps.set(&name, None);
                    self.budgets.namespace_is_gone(&name);
                    self.scene.change(None, |state| {
                        state.namespaces.remove(&name);
                    });
                }
                Err(error) => tracing::warn!(error = chain(&error), "watching namespaces failed; will retry"),
            }
        }
    }

    /// What is kept of it; its cap and its budget take effect.
    fn read_namespace(&self, namespace: PartialObjectMeta<Namespace>) -> Arc<NamespaceView> {
        let name = namespace.name_any();
        let on = || ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Namespace".to_owned()),
            name: Some(name.clone()),
            uid: namespace.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        let annotations = of_ours(namespace.metadata.annotations.clone().unwrap_or_default());
        let (cap, wrong) = cap_of(&annotations, self.caps.default_cap());
        self.caps.set(&name, cap);
        self.budgets.namespace_is(&namespace.metadata);
        if let Some(teller) = &self.teller {
            for note in wrong {
                tracing::warn!(namespace = name, note, "a cap has no effect");
                teller.notices.about_once(on(), Weight::Warning, BAD_CAP, note);
            }
        }
        Arc::new(view_of(namespace.metadata))
    }

    async fn keep_nodes(&self, gate: Gate) {
        let api: Api<Node> = Api::all(self.kube.clone());
        let config = watcher::Config::default().labels(&format!("{}={}", TYPE_LABEL.0, TYPE_LABEL.1));
        let mut events = pin!(watch_objects(api, config).default_backoff());
        let mut listed = BTreeMap::new();
        let ours = |node: &Node| self.nodes.contains(&node.name_any());
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(node)) if ours(&node) => {
                    listed.insert(node.name_any(), PoolNode::of(&node));
                }
                Ok(Event::InitDone) => {
                    let listed = std::mem::take(&mut listed);
                    self.scene.change(Some(Part::Nodes), |state| state.nodes = listed);
                    gate.open();
                }
                Ok(Event::Apply(node)) if ours(&node) => {
                    let (name, node) = (node.name_any(), PoolNode::of(&node));
                    // Heartbeats change nothing that is kept.
                    if self.scene.lock().nodes.get(&name) != Some(&node) {
                        self.scene.change(None, |state| {
                            state.nodes.insert(name, node);
                        });
                    }
                }
                Ok(Event::Delete(node)) => self.scene.change(None, |state| {
                    state.nodes.remove(&node.name_any());
                }),
                Ok(Event::InitApply(_) | Event::Apply(_)) => {}
                Err(error) => tracing::warn!(error = chain(&error), "watching virtual nodes failed; will retry"),
            }
        }
    }
}

/// What is kept of a namespace.
pub fn view_of(metadata: ObjectMeta) -> NamespaceView {
    NamespaceView {
        labels: metadata.labels.unwrap_or_default(),
        annotations: of_ours(metadata.annotations.unwrap_or_default()),
    }
}

/// The cap that a namespace's annotations set, and what is wrong with them. An annotation with a mistake sets nothing.
fn cap_of(annotations: &Map, default: Cap) -> (Option<Cap>, Vec<String>) {
    let mut cap = default;
    let mut wrong = Vec::new();
    let mut bad = |key: &str, text: &str, wanted: &str| {
        wrong.push(format!(
            "metadata.annotations[{key}] is `{text}`: it must be {wanted}; the agent's setting holds"
        ));
    };
    if let Some(text) = annotations.get(names::MAX_PODS) {
        match text.trim().parse() {
            Ok(pods) => cap.pods = Some(pods),
            Err(_) => bad(names::MAX_PODS, text, "a number of pods"),
        }
    }
    if let Some(text) = annotations.get(names::MAX_VCPU) {
        let text = text.trim().to_owned();
        match quantity::milli_cpu(&k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.clone())) {
            Some(cpu) => cap.cpu = Some(cpu),
            None => bad(names::MAX_VCPU, &text, "a number of vCPU, such as 32 or 500m"),
        }
    }
    ((cap != default).then_some(cap), wrong)
}

#[cfg(test)]
mod tests {
    use provider::units::MilliCpu;

    use super::*;

    fn cap(pods: Option<u64>, cpu: Option<u64>) -> Cap {
        Cap {
            pods,
            cpu: cpu.map(MilliCpu),
        }
    }

    #[test]
    fn annotations_of_a_namespace_beat_the_setting_each_by_itself() {
        let default = cap(Some(10), None);
        let of = |pairs: &[(&str, &str)]| {
            let annotations = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            cap_of(&annotations, default)
        };
        assert_eq!(of(&[]), (None, vec![]));
        assert_eq!(of(&[(names::MAX_PODS, "50")]).0, Some(cap(Some(50), None)));
        assert_eq!(of(&[(names::MAX_VCPU, "1.5")]).0, Some(cap(Some(10), Some(1_500))));
        assert_eq!(
            of(&[(names::MAX_PODS, "0"), (names::MAX_VCPU, "500m")]).0,
            Some(cap(Some(0), Some(500)))
        );
        let (kept, wrong) = of(&[(names::MAX_PODS, "many")]);
        assert_eq!(kept, None);
        assert_eq!(
            wrong,
            [
                "metadata.annotations[k8s.aliyun.com/eci-max-pods] is `many`: it must be a number of pods; the agent's setting holds"
            ]
        );
    }
}
