//! Times as the API server writes them.

use std::time::Duration;

use jiff::Timestamp;

/// To the second, as `metav1.Time` has it.
pub fn text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A period; negative ones are none.
pub fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.try_into().unwrap_or_default())
}
