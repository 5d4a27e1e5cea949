//! The domain's records in the wire's words.

pub(crate) mod event;
pub(super) mod group;
pub(super) mod metric;
pub(super) mod resource;
pub(super) mod status;

use jiff::Timestamp;

/// A time as ECI writes it: RFC 3339, UTC, whole seconds; empty when there is none.
fn time(at: Option<Timestamp>) -> String {
    at.and_then(|at| Timestamp::from_second(at.as_second()).ok())
        .map(|at| at.to_string())
        .unwrap_or_default()
}

/// A time as logs have it: RFC 3339, UTC, nanoseconds.
pub(super) fn nano_time(at: Timestamp) -> String {
    format!("{at:.9}")
}
