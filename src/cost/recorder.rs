//! The handle by which pods and budgets give records away, and ask what all records have in common. [`writer`] keeps them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::budget::Budgets;
use crate::cost::application::{Application, Applications};
use crate::cost::live::{MOST_NAMESPACES, OTHERS};
use crate::cost::prices::Prices;
use crate::cost::record::CostRecord;
use crate::cost::writer::{Item, Writer};
use crate::cost::{chunks, reader};
use crate::metrics::Metrics;

/// Where records are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderSettings {
    /// Namespace of the ConfigMaps.
    pub namespace: String,
    /// Name of this writer, the same after a restart and unlike any other's.
    pub writer: String,
    /// How long they are kept.
    pub max_age: Duration,
    /// How many bytes of them are kept.
    pub max_bytes: u64,
}

/// A name for the writer of the nodes called `nodes`, fit for a label.
pub fn writer_name<'a>(cluster: &str, nodes: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = nodes.collect();
    names.sort_unstable();
    let mut digest = Sha256::new();
    for name in std::iter::once(cluster).chain(names) {
        digest.update(name);
        digest.update([0]);
    }
    let digest: String = digest
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("virtual-node-{digest}")
}

/// Whoever is told what became of a record: true = it is kept.
pub type Told = Box<dyn FnOnce(bool) + Send>;

/// Handle to the records; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::UnboundedSender<Item>,
    shared: Arc<Shared>,
}

/// Prices of a recorder, for who must not keep it from ending.
pub struct WeakPrices(Weak<Shared>);

impl WeakPrices {
    /// What `look` makes of the prices; none = the recorder has ended.
    pub fn with<T>(&self, look: impl FnOnce(&Prices) -> T) -> Option<T> {
        self.0.upgrade().map(|shared| look(&shared.prices))
    }
}

struct Shared {
    applications: Mutex<Applications>,
    /// Those with series of their own.
    namespaces: Mutex<HashSet<String>>,
    prices: Prices,
    cluster: String,
    region: String,
    /// Whether the store is away, by the last write.
    away: Arc<AtomicBool>,
    /// Who is told of each record.
    budgets: OnceLock<Budgets>,
    kube: kube::Client,
    namespace: String,
    metrics: Metrics,
}

impl Recorder {
    /// A recorder, and the task that writes. The task ends when all handles are gone and what they gave was written, or could not be.
    pub fn new(
        kube: kube::Client,
        settings: RecorderSettings,
        prices: Prices,
        (cluster, region): (&str, &str),
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, items) = mpsc::unbounded_channel();
        let away = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            applications: Mutex::default(),
            namespaces: Mutex::default(),
            prices,
            cluster: cluster.to_owned(),
            region: region.to_owned(),
            away: away.clone(),
            budgets: OnceLock::new(),
            kube: kube.clone(),
            namespace: settings.namespace.clone(),
            metrics: metrics.clone(),
        });
        let writer = Writer::new(kube, settings, away, metrics);
        (Self { queue, shared }, writer.run(items))
    }

    /// The one kept copy of `application`.
    pub fn share(&self, application: Application) -> Arc<Application> {
        lock(&self.shared.applications).share(application)
    }

    /// Prices.
    pub fn prices(&self) -> &Prices {
        &self.shared.prices
    }

    /// The API server, by the identity that keeps records.
    pub fn kube(&self) -> kube::Client {
        self.shared.kube.clone()
    }

    /// Prices, for as long as the recorder is there.
    pub fn weak_prices(&self) -> WeakPrices {
        WeakPrices(Arc::downgrade(&self.shared))
    }

    /// Id of the cluster.
    pub fn cluster(&self) -> &str {
        &self.shared.cluster
    }

    /// Region of the groups.
    pub fn region(&self) -> &str {
        &self.shared.region
    }

    /// Counts `record` in the metrics: once, by the agent that saw its group end.
    pub fn count(&self, record: &CostRecord) {
        let namespace = record.namespace.as_str();
        let namespace = {
            let mut namespaces = lock(&self.shared.namespaces);
            if namespaces.contains(namespace) || namespaces.len() < MOST_NAMESPACES {
                namespaces.insert(namespace.to_owned());
                namespace
            } else {
                OTHERS
            }
        };
        let labels = [namespace, record.role.as_str(), record.currency.as_str()];
        let units = record.charge.amount.0.max(0) as f64 / 1e9;
        self.shared.metrics.cost.with_label_values(&labels).inc_by(units);
    }

    /// Has `budgets` told of each record from here on.
    pub fn feed(&self, budgets: Budgets) {
        // Whoever came first stays: there is one for a process.
        let _ = self.shared.budgets.set(budgets);
    }

    /// Shows all that is kept to `take`, some of it perhaps twice; what was only foreseen comes last.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub async fn read_back(&self, mut take: impl FnMut(CostRecord)) -> Result<(), kube::Error> {
        let Shared { kube, namespace, .. } = &*self.shared;
        let mut foreseen = Vec::new();
        reader::visit(kube, namespace, |stored| {
            for record in chunks::contents(stored).records {
                if record.is_foreseen() {
                    foreseen.push(record);
                } else {
                    take(record);
                }
            }
        })
        .await?;
        foreseen.into_iter().for_each(take);
        Ok(())
    }

    /// Keeps `record` and tells `told` when that is done, or when it cannot be done at present. One that foresees the end of its group
    /// is kept until one of its end is, and no budget counts it.
    pub fn keep(&self, record: CostRecord, told: Told) {
        if let Some(budgets) = self.shared.budgets.get().filter(|_| !record.is_foreseen()) {
            budgets.ended(&record);
        }
        let told: Told = if self.shared.away.load(Ordering::Relaxed) {
            told(false);
            Box::new(drop)
        } else {
            told
        };
        // Without a writer the process ends, and the next one is told by what is still there.
        let _ = self.queue.send(Item { record, told });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
