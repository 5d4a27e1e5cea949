//! What the poller learned about the cloud itself, as the node's conditions and the agent's readiness.

use std::sync::Arc;

use tokio::sync::watch;

use crate::metrics::Gate;
use crate::node::{CloudCondition, CloudConditions};
use crate::pods::figures::Figures;

/// Where the poller reports what the cloud is like; cheap to clone.
#[derive(Clone)]
pub struct CloudState {
    conditions: Arc<watch::Sender<CloudConditions>>,
    listed: Gate,
    figures: Figures,
}

impl CloudState {
    /// Reports to `conditions`; opens `listed` with the first trusted list.
    pub fn new(conditions: Arc<watch::Sender<CloudConditions>>, listed: Gate, figures: Figures) -> Self {
        Self {
            conditions,
            listed,
            figures,
        }
    }

    /// ECI answered.
    pub fn reached(&self) {
        self.conditions.send_if_modified(|now| {
            let change = now.reachable.status != Some(true);
            if change {
                if now.reachable.status == Some(false) {
                    tracing::info!("ECI answers again");
                }
                now.reachable = CloudCondition::new(true, "Answering", "ECI answers");
            }
            change
        });
    }

    /// A question failed: nothing is concluded from it.
    pub fn failed(&self, error: &eci::Error) {
        self.figures.trouble(error.class().label());
        let message = crate::chain::chain(error);
        self.conditions.send_if_modified(|now| {
            let change = now.reachable.status != Some(false);
            if change {
                tracing::warn!(error = message, "ECI cannot be asked; pods keep the state they have");
                now.reachable = CloudCondition::new(false, error.class().reason(), message);
            }
            change
        });
    }

    /// An answer could not be read: a bug here or news there; the record is left out.
    pub fn unreadable(&self, error: &(dyn std::error::Error + 'static)) {
        self.figures.trouble("Unreadable");
        tracing::warn!(
            error = crate::chain::chain(error),
            "a record of ECI's answer could not be read and is ignored"
        );
    }

    /// A complete list came; `expected` groups should have been in it.
    pub fn listed(&self, trusted: bool, expected: usize) {
        if trusted {
            self.listed.open();
        }
        self.conditions.send_if_modified(|now| {
            let change = now.list_untrusted.status != Some(!trusted);
            if change {
                now.list_untrusted = if trusted {
                    CloudCondition::new(false, "GroupsListed", "the lists of container groups show ours")
                } else {
                    tracing::warn!(expected, "ECI listed none of our groups; nothing is concluded from that");
                    CloudCondition::new(
                        true,
                        "NoneOfOursListed",
                        format!(
                            "ECI's list shows none of {expected} container groups that should exist. A caller without the right to \
                             list them gets an empty list: check the RAM policy (eci:DescribeContainerGroupStatus)."
                        ),
                    )
                };
            }
            change
        });
    }
}
