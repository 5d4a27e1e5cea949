//! Burst: which pods may run on the pool, and when (docs/burst.md, docs/decisions/0019-ways-onto-the-pool.md).
//!
//! ```text
//! pod, namespace, eci-profile, setting ──► policy (pure) ──► mutate (pure) ──► at creation: the webhook
//!                                                        │                 └─► later: overflow ──► patch of the pod
//! pods without a node ──► watch ──► overflow: queue (pure) ──► feasible (pure), caps ──┘
//! ```
//!
//! To read it in order: [`policy`], [`profile`] and [`mutate`] say what should be; [`queue`] and [`feasible`] who is next and
//! whether the pool would take it.

pub mod feasible;
pub mod misplaced;
pub mod mutate;
pub mod names;
pub mod outages;
pub mod overflow;
pub mod pace;
pub mod pledges;
pub mod policy;
pub mod profile;
pub mod queue;
pub mod scene;
pub mod waiting;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Taint;
use kube::Client;
use provider::mapping::Settings;

use self::misplaced::Misplaced;
use self::outages::{OutageToleration, Outages};
use self::overflow::Overflow;
use self::policy::Policy;
use self::scene::{Keeper, ProfileName, Scene, Teller};
use crate::budget::Budgets;
use crate::caps::Caps;
use crate::metrics::{Health, Metrics};
use crate::pods::events::Notices;
use crate::pods::figures::Figures;
use crate::pods::store::Store;
use crate::shutdown::Shutdown;

/// Name under which burst reports.
const REPORTER: &str = "virtual-node-burst";

/// What burst needs to know.
pub struct BurstSettings {
    /// Policy of pods for which nobody else has one.
    pub policy: Option<Policy>,
    /// How long the scheduler is left to find room on workers.
    pub wait: Duration,
    /// Where the eci-profile is.
    pub profile: ProfileName,
    /// Names of the virtual nodes that are served here.
    pub nodes: Vec<String>,
    /// Taints by which they keep pods off.
    pub taints: Vec<Taint>,
    /// How long pods stay when their node is not ready.
    pub outage_toleration: OutageToleration,
    /// How pods are mapped.
    pub mapping: Arc<Settings>,
    /// Whether the API server streams lists.
    pub streaming_lists: bool,
}

/// What burst is connected to.
pub struct BurstConnections {
    /// The API server, by an identity of its own.
    pub kube: Client,
    /// What namespaces may have.
    pub caps: Caps,
    /// What they and their applications may cost.
    pub budgets: Budgets,
    /// The pods of each virtual node.
    pub stores: Vec<Store>,
    /// Readiness.
    pub health: Health,
    /// Metrics.
    pub metrics: Metrics,
}

/// Lets pods onto the virtual nodes until shutdown.
pub async fn run(settings: BurstSettings, connections: BurstConnections, shutdown: Shutdown) {
    let BurstConnections {
        kube,
        caps,
        budgets,
        stores,
        health,
        metrics,
    } = connections;
    let figures = Figures::new(metrics.clone(), REPORTER);
    let (notices, write_events) = Notices::new(kube.clone(), REPORTER, figures, shutdown.clone());
    let scene = Scene::new(settings.policy, &settings.taints);
    let gate = health.require("burst: pods without a node listed", "not listed yet");
    let misplaced = Misplaced {
        kube: kube.clone(),
        scene: scene.clone(),
        nodes: settings.nodes.clone(),
        notices: notices.clone(),
    };
    let keeper = Keeper {
        kube: kube.clone(),
        scene: scene.clone(),
        profile: settings.profile,
        nodes: settings.nodes,
        caps: caps.clone(),
        budgets: budgets.clone(),
        teller: Some(Teller {
            notices: notices.clone(),
            metrics: metrics.clone(),
        }),
        health,
        purpose: "burst",
    };
    let outages = Outages {
        kube: kube.clone(),
        stores,
        toleration: settings.outage_toleration,
    };
    let overflow = Overflow {
        kube,
        scene,
        mapping: settings.mapping,
        wait: SignedDuration::try_from(settings.wait).unwrap_or(SignedDuration::MAX),
        caps,
        budgets,
        notices,
        metrics,
        streaming_lists: settings.streaming_lists,
    };
    let working = async { tokio::join!(keeper.run(), overflow.run(gate), outages.run(), misplaced.run()) };
    // None of them ends by itself; all are dropped at the shutdown.
    tokio::join!(shutdown.race(working), write_events);
}
