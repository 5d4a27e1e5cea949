//! What the calls return.

use bytes::Bytes;
use provider::group::ObservedGroup;
use provider::response::{GroupEvents, StatusRecord, record_hash};

/// A group that was accepted; it is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// `ContainerGroupId`.
    pub id: String,
    /// `RequestId`.
    pub request_id: String,
}

/// One page of `DescribeContainerGroupStatus`.
#[derive(Clone, Debug)]
pub struct StatusPage {
    /// The records, in ECI's order.
    pub records: Vec<StatusEntry>,
    /// For the next page; `None` = this is the last.
    pub next_token: Option<String>,
    /// Matches in all, 0 if not reported.
    pub total: u32,
}

/// One record of a [`StatusPage`], as text. It shares the page's memory, which lives until the last of its records
/// goes: decode or drop soon.
#[derive(Clone, Debug)]
pub struct StatusEntry(pub(super) Bytes);

impl StatusEntry {
    /// Hash of the text: equal means unchanged. Not stable across builds.
    pub fn hash(&self) -> u64 {
        record_hash(&self.0)
    }

    /// Decodes it.
    ///
    /// # Errors
    /// If the record is not an object.
    pub fn decode(&self) -> Result<ObservedGroup, serde_json::Error> {
        serde_json::from_slice::<StatusRecord>(&self.0).map(Into::into)
    }
}

/// One page of `DescribeContainerGroups`.
#[derive(Clone, Debug, Default)]
pub struct GroupPage {
    /// The groups, in ECI's order.
    pub groups: Vec<ObservedGroup>,
    /// Events of those that have any, if they were asked for.
    pub events: Vec<GroupEvents>,
    /// For the next page; `None` = this is the last.
    pub next_token: Option<String>,
    /// Matches in all, 0 if not reported.
    pub total: u32,
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventsPage {
    /// Events by group.
    pub groups: Vec<GroupEvents>,
    /// For the next page; `None` = this is the last, or ECI does not say (its documented answer has no such member).
    pub next_token: Option<String>,
}
