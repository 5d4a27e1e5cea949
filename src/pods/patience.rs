//! How long the cloud is given before something is concluded from what it does not show.

use std::time::Duration;

/// The graces. The defaults fit ECI; tests take smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often a complete list is read.
    pub list_period: Duration,
    /// A group made this shortly before a list began may not be on it yet.
    pub list_lag: Duration,
    /// A group without a pod is deleted when it is this old: a younger one may belong to a pod the watch has not shown yet.
    pub orphan_age: Duration,
    /// How often it is asked whether spot resources are about to be taken back: that is announced some minutes before.
    pub release_period: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            list_period: Duration::from_secs(30),
            list_lag: Duration::from_secs(10),
            orphan_age: Duration::from_secs(60),
            release_period: Duration::from_secs(10),
        }
    }
}
