//! What the groups that run now cost, for Prometheus: summed up when somebody scrapes, so that it is always right and keeps no books.
//!
//! Series are by namespace and role, for at most [`MOST_NAMESPACES`] namespaces; the others are summed up as [`OTHERS`]. Applications
//! are no labels: there are new ones every hour.

use std::collections::BTreeMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};

use crate::clock;
use crate::pods::store::Store;

/// Namespaces with series of their own.
pub const MOST_NAMESPACES: usize = 200;
/// Namespace label of the rest.
pub const OTHERS: &str = "_others";

/// What one group costs.
pub struct Running {
    /// Of one second, in units of the currency.
    pub per_second: f64,
    /// Since its billing began.
    pub so_far: f64,
    /// ISO 4217.
    pub currency: &'static str,
}

/// Says what the group of a record costs now; none = it is not billed now.
pub type Rate = Box<dyn Fn(&crate::pods::record::PodRecord, jiff::Timestamp) -> Option<Running> + Send + Sync>;

/// The figures of one node.
pub struct LiveCost {
    store: Store,
    rate: Rate,
    per_second: GaugeVec,
    so_far: GaugeVec,
}

impl LiveCost {
    /// Of the pods of `node`, which are in `store`.
    ///
    /// # Errors
    /// A name that Prometheus does not take, which is a mistake in this file.
    pub fn new(node: &str, store: Store, rate: Rate) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str| {
            let opts = Opts::new(name, help)
                .namespace("virtual_node")
                .const_label("node", node);
            GaugeVec::new(opts, &["namespace", "role", "currency"])
        };
        Ok(Self {
            store,
            rate,
            per_second: gauges(
                "cost_per_second",
                "What the container groups that are billed now cost a second",
            )?,
            so_far: gauges(
                "cost_so_far",
                "What the container groups that are billed now have cost since they began",
            )?,
        })
    }
}

impl Collector for LiveCost {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.per_second.desc();
        all.extend(self.so_far.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = clock::now();
        let mut sums: BTreeMap<(String, &'static str, &'static str), (f64, f64)> = BTreeMap::new();
        let mut namespaces = std::collections::BTreeSet::new();
        for (_, record) in self.store.lock().iter() {
            let (Some(running), Some(meter)) = ((self.rate)(record, now), &record.meter) else {
                continue;
            };
            let own = &*record.facts.namespace;
            let namespace = if namespaces.contains(own) || namespaces.len() < MOST_NAMESPACES {
                namespaces.insert(own.to_owned());
                own
            } else {
                OTHERS
            };
            let key = (namespace.to_owned(), meter.role.as_str(), running.currency);
            let sum = sums.entry(key).or_default();
            sum.0 += running.per_second;
            sum.1 += running.so_far;
        }
        self.per_second.reset();
        self.so_far.reset();
        for ((namespace, role, currency), (per_second, so_far)) in sums {
            let labels = [namespace.as_str(), role, currency];
            self.per_second.with_label_values(&labels).set(per_second);
            self.so_far.with_label_values(&labels).set(so_far);
        }
        let mut all = self.per_second.collect();
        all.extend(self.so_far.collect());
        all
    }
}
