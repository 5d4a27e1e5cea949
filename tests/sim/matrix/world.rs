//! What a cell's scenario acts in: a cluster, a cloud, an agent that somebody starts again, and what users did.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use mock_eci::runtime::Exit;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::harness::{self, Agent, Deviations, Sim};
use crate::support::until::until_every;
use crate::wires::{Death, When};

/// How often a condition is looked at, by the simulation's clock.
const PERIOD: Duration = Duration::from_millis(100);
/// How long it may take: faults last minutes, and back-offs after them.
const PATIENCE: Duration = Duration::from_mins(40);

/// Draws what an agent dies of.
type Draw = fn(&World) -> Death;

/// One cell's world.
pub struct World {
    pub sim: Sim,
    /// What scenario and fault leave to chance.
    chance: RefCell<StdRng>,
    agent: RefCell<Option<Agent>>,
    /// What the next agents die of.
    deaths: Cell<Option<Draw>>,
    restarts: Cell<u32>,
    /// It died, and is about to be started again.
    restarting: Cell<bool>,
    /// UIDs of the pods whose deletion users asked for.
    deleted: RefCell<BTreeSet<String>>,
    foreign: String,
}

impl World {
    /// A world with a running agent, and a group of another node in it.
    pub async fn new(deviations: Deviations) -> Self {
        let seed = deviations.seed;
        let sim = Sim::with(deviations).await;
        let foreign = sim.foreign_group().await;
        let world = Self {
            sim,
            chance: RefCell::new(StdRng::seed_from_u64(seed)),
            agent: RefCell::default(),
            deaths: Cell::default(),
            restarts: Cell::default(),
            restarting: Cell::default(),
            deleted: RefCell::default(),
            foreign,
        };
        world.start_agent();
        world
    }

    /// A time by chance, in milliseconds from `min` to `max`.
    pub fn some_time(&self, min: u64, max: u64) -> Duration {
        Duration::from_millis(self.some(min, max))
    }

    /// A number by chance.
    pub fn some(&self, min: u64, max: u64) -> u64 {
        self.chance.borrow_mut().random_range(min..=max)
    }

    // --- the agent ---

    /// Starts the agent, in place of one that runs.
    pub fn start_agent(&self) {
        let death = self.deaths.get().map(|draw| draw(self));
        self.restarts.set(self.restarts.get() + 1);
        self.restarting.set(false);
        self.agent.replace(Some(self.sim.agent_that(death)));
    }

    /// Kills it, if it runs.
    pub async fn kill_agent(&self) {
        let agent = self.agent.take();
        if let Some(agent) = agent {
            agent.kill().await;
        }
    }

    /// Kills it and starts it again.
    pub async fn restart_agent(&self) {
        self.kill_agent().await;
        self.start_agent();
    }

    /// Agents that start from now on die of what `draw` says.
    pub fn let_agents_die(&self, draw: Draw) {
        self.deaths.set(Some(draw));
    }

    /// How often an agent was started.
    pub fn starts(&self) -> u32 {
        self.restarts.get()
    }

    /// Starts agents again that died, for ever.
    pub async fn keep_agent(&self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let dead = self.agent.borrow().as_ref().is_some_and(Agent::is_dead);
            if dead {
                self.restarting.set(true);
                self.kill_agent().await;
                tokio::time::sleep(self.some_time(0, 5_000)).await;
                self.start_agent();
            }
        }
    }

    /// Has agents die, at one request after the other, before or after it takes effect, and a bad cloud, until `users` are done
    /// and so many have died. Both are well in the end.
    pub async fn while_agents_die<T>(&self, deaths: u32, users: impl Future<Output = T>) -> T {
        self.let_agents_die(|world| {
            let when = [When::Before, When::After][world.some(0, 1) as usize];
            (world.some(5, 60), when)
        });
        self.restart_agent().await;
        let all = async {
            let done = users.await;
            while self.starts() <= deaths {
                tokio::time::sleep(PERIOD).await;
            }
            done
        };
        let done = tokio::select! {
            done = all => done,
            () = self.keep_agent() => unreachable!("it keeps it for ever"),
        };
        self.sim.cloud.app().faults().clear();
        self.mend_agent().await;
        done
    }

    /// Makes sure that the agent lives, and goes on to live.
    pub async fn mend_agent(&self) {
        self.deaths.set(None);
        let mortal = self.of_agent(Agent::is_mortal) == Some(true);
        if mortal || self.restarting.get() {
            self.restart_agent().await;
        }
    }

    /// Something of the agent that runs; nothing while none does.
    pub fn of_agent<T>(&self, look: impl FnOnce(&Agent) -> T) -> Option<T> {
        self.agent.borrow().as_ref().map(look)
    }

    // --- users and controllers ---

    /// Creates a pod.
    pub fn create(&self, pod: Value) -> String {
        self.sim.api.create_pod(pod)
    }

    /// Says that users will have asked for the deletion of a pod.
    pub fn will_be_deleted(&self, name: &str) {
        if let Some(pod) = self.sim.api.pod(name) {
            self.deleted.borrow_mut().insert(uid(&pod));
        }
    }

    /// Deletes a pod.
    pub fn delete(&self, name: &str, grace_seconds: u32) {
        self.will_be_deleted(name);
        self.sim.api.delete_pod(name, grace_seconds);
    }

    /// Deletes all pods that are left.
    pub fn delete_all(&self, grace_seconds: u32) {
        for pod in self.sim.api.pods() {
            self.delete(name(&pod), grace_seconds);
        }
    }

    /// Whether users asked for the deletion of the pod of that UID.
    pub fn was_deleted(&self, uid: &str) -> bool {
        self.deleted.borrow().contains(uid)
    }

    /// Ends a pod's container, as its process does; waits until it runs.
    pub async fn exit(&self, uid: &str, code: i32) {
        let simulated = self.sim.cloud.app().simulated().expect("simulated").clone();
        let exit = Exit {
            code,
            signal: 0,
            oom: false,
            message: String::new(),
        };
        let ended = || {
            let groups = self.sim.groups();
            let ids = groups.get(uid).into_iter().flatten();
            ids.into_iter().any(|id| simulated.exit(id, "main", exit.clone()))
        };
        self.until(&format!("the container of {uid} to end"), ended, |ended| *ended)
            .await;
    }

    // --- waiting ---

    /// Waits until `look` gives what is wanted.
    pub async fn until<T: Debug>(&self, what: &str, mut look: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
        until_every(what, PERIOD, PATIENCE, async || look(), wanted).await
    }

    /// Waits until the pod has that phase.
    pub async fn phase(&self, name: &str, phase: &str) -> Value {
        let what = format!("{name} to be {phase}");
        self.pod(&what, name, |pod| {
            pod.as_ref().is_some_and(|pod| pod["status"]["phase"] == phase)
        })
        .await
    }

    /// Waits until the pod's object is gone.
    pub async fn gone(&self, name: &str) {
        self.pod(&format!("{name} to be gone"), name, Option::is_none).await;
    }

    /// Waits for something of a pod; a failure shows what the agent knows of it.
    pub async fn pod(&self, what: &str, name: &str, wanted: impl Fn(&Option<Value>) -> bool) -> Value {
        let look = || {
            let pod = self.sim.api.pod(name);
            Known {
                uid: pod.as_ref().map(uid),
                pod,
                world: self,
            }
        };
        self.until(what, look, |known| wanted(&known.pod))
            .await
            .pod
            .unwrap_or_default()
    }

    /// Waits until the pod of that UID has a group.
    pub async fn placed(&self, uid: &str) {
        let what = format!("a group of {uid}");
        self.until(&what, || self.sim.groups_ever(uid), |n| *n > 0).await;
    }

    /// Waits until no group of ours is left.
    pub async fn no_groups(&self) {
        let ours = || {
            let mut groups = self.sim.groups();
            groups.retain(|_, ids| {
                ids.retain(|id| *id != self.foreign);
                !ids.is_empty()
            });
            groups
        };
        self.until("no group of ours to be left", ours, |groups| groups.is_empty())
            .await;
    }

    /// Deletes whatever is left, and waits until nothing is.
    pub async fn end(&self) {
        self.delete_all(30);
        let left = || self.sim.api.pods().iter().map(uid).collect::<Vec<_>>();
        self.until("all pods to be gone", left, Vec::is_empty).await;
        self.no_groups().await;
        let records = || self.of_agent(|agent| agent.store.lock().len());
        self.until("the agent to forget them", records, |left| *left == Some(0))
            .await;
    }

    /// The group of another node.
    pub fn foreign(&self) -> &str {
        &self.foreign
    }
}

/// A pod, and its record in the agent.
struct Known<'a> {
    pod: Option<Value>,
    uid: Option<String>,
    world: &'a World,
}

impl Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pod = self.pod.as_ref().map(Value::to_string);
        write!(f, "{}\nthe agent's record: ", pod.as_deref().unwrap_or("no pod"))?;
        self.world
            .of_agent(|agent| {
                let records = agent.store.lock();
                write!(f, "{:?}", self.uid.as_ref().and_then(|uid| records.get(uid)))
            })
            .unwrap_or(Ok(()))
    }
}

/// UID of an object.
pub fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// Name of an object.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A pod that is not restarted.
pub fn job(name: &str) -> Value {
    let mut pod = harness::pod(name);
    pod["spec"]["restartPolicy"] = json!("Never");
    pod
}

/// `pod`, whose container behaves as this variable of mock-eci says.
pub fn with_variable(mut pod: Value, name: &str, value: impl ToString) -> Value {
    let container = &mut pod["spec"]["containers"][0];
    if !container["env"].is_array() {
        container["env"] = json!([]);
    }
    let variable = json!({ "name": format!("MOCK_ECI_{name}"), "value": value.to_string() });
    container["env"].as_array_mut().expect("made one above").push(variable);
    pod
}

/// `pod`, whose group behaves as this tag of mock-eci says.
pub fn with_tag(mut pod: Value, name: &str, value: impl ToString) -> Value {
    let tag = format!("mock-eci/{name}:{}", value.to_string());
    pod["metadata"]["annotations"] = json!({ "k8s.aliyun.com/eci-custom-tags": tag });
    pod
}

/// A pod that is not restarted, ends with `code` after `millis`, and mounts a projected token if asked to.
pub fn ending(name: &str, millis: u64, code: i32, token: bool) -> Value {
    let pod = if token {
        harness::pod_with_token(name)
    } else {
        job(name)
    };
    let pod = with_variable(pod, "EXIT_AFTER_MS", millis);
    with_variable(pod, "EXIT_CODE", code)
}
