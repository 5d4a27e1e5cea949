//! Whether the node's own zone has stock: its condition `OutOfStock`.
//!
//! It is information and no taint: a node may not taint itself (NodeRestriction), and pods that nothing ties to the zone run in
//! another one anyway (docs/decisions/0028-zones.md). Sizes differ in their stock, so one refusal says nothing while others start.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock;
use crate::node::{CloudCondition, CloudConditions};

/// A zone in which a group got resources this recently is not out of stock, whatever another group did not get.
const RECENT: Duration = Duration::from_secs(60);
/// ECI's reasons that are about the stock of a zone, and not about quotas or addresses.
const REASONS: [&str; 3] = ["NoStock", "StockExhaust", "StockClose"];

/// What is known of the stock of a node's own zone; cheap to clone.
#[derive(Clone)]
pub struct Stock {
    conditions: Arc<watch::Sender<CloudConditions>>,
    started: Arc<Mutex<Option<Instant>>>,
}

impl Stock {
    /// Reports to `conditions`.
    pub fn new(conditions: Arc<watch::Sender<CloudConditions>>) -> Self {
        Self {
            conditions,
            started: Arc::default(),
        }
    }

    /// A group got no resources, for this reason.
    pub fn missed(&self, reason: &str, message: &str) {
        let started = *self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = started.is_some_and(|at| clock::monotonic().duration_since(at) < RECENT);
        if recent || !REASONS.contains(&reason) {
            return;
        }
        self.conditions.send_if_modified(|now| {
            let change = now.out_of_stock.status != Some(true);
            if change {
                tracing::warn!(reason, message, "the node's zone is out of stock");
                now.out_of_stock = CloudCondition::new(true, reason, message);
            }
            change
        });
    }

    /// A group got resources.
    pub fn found(&self) {
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::monotonic());
        self.conditions.send_if_modified(|now| {
            let change = now.out_of_stock.status != Some(false);
            if change {
                now.out_of_stock = CloudCondition::new(false, "StockFound", "container groups get resources");
            }
            change
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_zone_is_out_of_stock_when_nothing_starts_any_more() {
        let (sender, seen) = watch::channel(CloudConditions::default());
        let stock = Stock::new(Arc::new(sender));
        let status = || seen.borrow().out_of_stock.status;
        assert_eq!(status(), None);
        stock.missed("QuotaExceeded", "the account's");
        assert_eq!(status(), None, "not about the zone");
        stock.missed("NoStock", "of anything");
        assert_eq!(status(), Some(true));
        stock.found();
        assert_eq!(status(), Some(false));
        stock.missed("NoStock", "of a large size");
        assert_eq!(status(), Some(false), "others start");
        tokio::time::advance(RECENT).await;
        stock.missed("NoStock", "of anything");
        assert_eq!(status(), Some(true));
    }
}
