//! The answers of ECI, decoded.
//!
//! Each call has a wire structure in which every field may be missing (see [`lenient`]), and a conversion into a type
//! that says what we know: [`ObservedGroup`](crate::group::ObservedGroup) for both calls that report groups.

mod account;
mod error;
mod events;
mod group;
mod lenient;
mod metrics;
mod status;

pub use account::{LogAnswer, MissingPrice, Price, PriceAnswer, Region, RegionsAnswer, SpotPrice, Usage, UsageAnswer};
pub use error::ErrorBody;
pub use events::{EventsAnswer, GroupEvent, GroupEvents};
pub use group::{ContainerGroup, GroupsAnswer};
pub use metrics::{
    ContainerUse, CpuUse, DiskUse, FilesystemUse, GroupMetrics, InterfaceUse, MemoryUse, MetricsAnswer, Sample,
};
pub use status::{StatusAnswer, StatusRecord, record_hash};

use serde::Deserialize;

/// Answer of a create.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreateAnswer {
    /// `RequestId`.
    #[serde(rename = "RequestId", deserialize_with = "lenient::text")]
    pub request_id: String,
    /// `ContainerGroupId`.
    #[serde(rename = "ContainerGroupId", deserialize_with = "lenient::text")]
    pub container_group_id: String,
}

/// Answer of a call that has nothing to tell but that it was done.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EmptyAnswer {
    /// `RequestId`.
    #[serde(rename = "RequestId", deserialize_with = "lenient::text")]
    pub request_id: String,
}

/// Empty text is what the API writes for "none".
fn none_if_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
