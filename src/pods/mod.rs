//! The pods of one virtual node: from the watch to the cloud, and from the cloud to their status.
//!
//! ```text
//! API server ──► watch ──┐                                   ┌──► act ──► ECI (create, delete)
//!                        ├──► store ──► reconcile ──► decide ┤
//! ECI ──► poll, adopt ───┘   (by UID)                        └──► act ──► API server (status, removal), events
//! ```
//!
//! To read it in order: [`record`] (what is known of a pod), [`decide`] (what follows from it), [`reconcile`] (the loop),
//! [`act`] (the effects), [`absorb`] (what their results change), [`poll`] and [`adopt`] (what the cloud says), [`publish`] (what the API server is told).
//!
//! # Guarantees
//! - No state but the API server's and the cloud's: after `kill -9` the same records come out of the watch and the tags.
//! - Exactly one group per pod: see `docs/decisions/` and [`decide`].
//! - Nothing is concluded from an error, nor from a list that shows none of our groups.

pub mod absorb;
pub mod act;
pub mod adopt;
pub mod bill;
mod billed;
pub mod claims;
pub mod cloud_state;
pub mod conditions;
pub mod decide;
pub mod desired;
pub mod endurance;
pub mod events;
pub mod expiry;
pub mod figures;
pub mod fresh;
pub mod input;
pub mod lanes;
pub mod live;
mod lookup;
mod metering;
#[cfg(test)]
mod model;
pub mod patience;
pub mod poll;
pub mod publish;
pub mod reconcile;
pub mod record;
pub mod refs;
pub mod releases;
mod running;
pub mod stock;
pub mod store;
mod tell;
pub mod trouble;
pub mod watch;

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use provider::mapping::Settings;
use provider::tags;
use tokio::sync::{mpsc, watch as latest};

use crate::budget::Budgets;
use crate::budget::look::Hand;
use crate::caps::Caps;
use crate::cost::live as live_cost;
use crate::cost::recorder::Recorder;
use crate::kubelet::archive::LogKeeper;
use crate::metrics::{Health, Metrics};
use crate::node::CloudConditions;
use crate::pods::act::Effects;
use crate::pods::adopt::Adopter;
use crate::pods::cloud_state::CloudState;
use crate::pods::events::Notices;
use crate::pods::figures::Figures;
use crate::pods::input::Input;
use crate::pods::lanes::Parallel;
use crate::pods::patience::Patience;
use crate::pods::poll::Poller;
use crate::pods::reconcile::Reconciler;
use crate::pods::refs::RefsReader;
use crate::pods::releases::Releases;
use crate::pods::stock::Stock;
use crate::pods::store::Store;
use crate::shutdown::Shutdown;

/// Inputs waiting for the reconciler; the watch and the poller wait when it is full.
const INPUTS: usize = 1_024;

/// What the pods of one node need.
pub struct PodsSettings {
    /// Settings of the mapping, which also name the node.
    pub mapping: Arc<Settings>,
    /// Calls a second that polling may use; none = no limit.
    pub poll_calls_per_second: Option<f64>,
    /// How long the cloud is given.
    pub patience: Patience,
    /// Bounds of effects.
    pub parallel: Parallel,
    /// Whether the API server streams lists (Kubernetes 1.34 and later).
    pub streaming_lists: bool,
}

/// What the pods of one node are connected to.
pub struct Connections {
    /// The API server, as the node.
    pub kube: kube::Client,
    /// The cloud.
    pub eci: eci::Client,
    /// Where the records are; the kubelet API reads them too.
    pub store: Store,
    /// What the node says of the cloud.
    pub conditions: latest::Sender<CloudConditions>,
    /// Where logs are kept beyond their groups.
    pub keeper: Option<Arc<dyn LogKeeper>>,
    /// Where records of what groups cost are kept.
    pub recorder: Option<Recorder>,
    /// Readiness: pods listed, groups listed.
    pub health: Health,
    /// What namespaces may have, shared by all nodes; nothing is granted before the gate of this node's name is open.
    pub caps: Caps,
    /// What they and their applications may cost, shared by all nodes.
    pub budgets: Budgets,
    /// Figures.
    pub metrics: Metrics,
}

/// Registers what the groups of `node` cost now.
fn live_costs(registry: &prometheus::Registry, node: &str, store: Store, rate: live_cost::Rate) {
    let registered = live_cost::LiveCost::new(node, store, rate).and_then(|live| registry.register(Box::new(live)));
    if let Err(error) = registered {
        tracing::warn!(%error, "what runs is not in the metrics of cost");
    }
}

/// Runs the pods of one node until shutdown, and then until what is under way was heard.
pub async fn run(settings: PodsSettings, connections: Connections, shutdown: Shutdown) {
    let Connections {
        kube,
        eci,
        store,
        conditions,
        keeper,
        recorder,
        health,
        caps,
        budgets,
        metrics,
    } = connections;
    let node = settings.mapping.node_name.clone();
    let figures_registry = metrics.registry().clone();
    let figures = Figures::new(metrics, &node);
    let pods_listed = health.require(format!("pods of {node} listed"), "not listed yet");
    let groups_listed = health.require(format!("groups of {node} listed"), "not listed yet");
    let ownership = tags::of_node(&settings.mapping.cluster_id, &node);
    let (inputs, inbox) = mpsc::channel(INPUTS);
    let (notices, write_events) = Notices::new(kube.clone(), &node, figures.clone(), shutdown.clone());
    let conditions = Arc::new(conditions);
    let effects = Arc::new(Effects {
        kube: kube.clone(),
        eci: eci.clone(),
        settings: settings.mapping.clone(),
        refs: RefsReader::new(kube.clone()),
        caps: caps.clone(),
        budgets: budgets.clone(),
        recorder: recorder.clone(),
        stock: Stock::new(conditions.clone()),
    });
    budgets.join(Hand {
        store: store.clone(),
        kube: kube.clone(),
        notices: notices.clone(),
        settings: settings.mapping.clone(),
    });
    let reconciler = Reconciler::new(
        store.clone(),
        effects,
        notices,
        figures.clone(),
        keeper,
        settings.parallel,
        inputs.clone(),
    );
    let releases = Releases {
        eci: eci.clone(),
        store: store.clone(),
        inputs: inputs.clone(),
        ownership: ownership.clone(),
        figures: figures.clone(),
        period: settings.patience.release_period,
    };
    let poller = Poller {
        node: node.clone(),
        eci: eci.clone(),
        store: store.clone(),
        inputs: inputs.clone(),
        ownership: ownership.clone(),
        adopter: Adopter {
            eci,
            ownership,
            orphan_age: settings.patience.orphan_age,
            figures: figures.clone(),
            caps,
            recorder: recorder.clone(),
        },
        cloud: CloudState::new(conditions, groups_listed, figures.clone()),
        figures,
        patience: settings.patience,
        calls_per_second: settings.poll_calls_per_second,
    };
    if let Some(recorder) = recorder {
        let (store, settings) = (store.clone(), settings.mapping.clone());
        let prices = recorder.weak_prices();
        let rate = move |record: &record::PodRecord, now| {
            let running = prices.with(|prices| bill::running(record, prices, &settings, now));
            running.flatten()
        };
        live_costs(&figures_registry, &node, store, Box::new(rate));
    }
    let watching = async {
        let mut events = pin!(watch::stream(kube, &node, settings.streaming_lists));
        while let Some(Some(event)) = shutdown.race(events.next()).await {
            let listed = matches!(event, kube::runtime::watcher::Event::InitDone);
            // A closed channel means shutdown.
            let _ = inputs.send(Input::Pod(Box::new(event))).await;
            if listed {
                pods_listed.open();
            }
        }
    };
    tokio::join!(
        reconciler.run(inbox, shutdown.clone()),
        poller.run(shutdown.clone()),
        releases.run(shutdown.clone()),
        watching,
        write_events
    );
}
